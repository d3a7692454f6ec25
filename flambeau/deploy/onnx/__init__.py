"""Models as ONNX files.

trace.py    runs the model and keeps what it recorded, at several sizes where axes are dynamic
steps.py    walks the recorded Nodes of all these traces together, and expands composites
table.py    the table: what each operation is in ONNX; its rules are in elementwise.py, movement.py,
            contraction.py and layers.py
writer.py   collects nodes and constants; extents.py finds expressions for extents
model.py    makes the protobuf; program.py saves it
"""
