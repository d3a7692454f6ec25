"""Work that is measured in Flambeau and in PyTorch: one text for both.

The modules train, inference, small, products, elementwise, convolutions, attention and indexing
are written with `import flambeau as torch`; `load` gives them to either framework.
"""
