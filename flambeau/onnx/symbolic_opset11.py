"""Symbolic functions of PyTorch's old exporter: none. Libraries import the module."""
