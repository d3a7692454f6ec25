"""flambeau.compile: a call is recorded, and then replayed without its Python.

The first calls run plainly, watched (recorder.py). When two of them did the same, the next ones
are replays (replay.py): guards are asked, then the same plans run on what the storages hold now.
Where a guard fails the call runs plainly, watched again. What cannot be replayed runs plainly.
"""
