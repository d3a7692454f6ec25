"""Sparse tensors: coordinates and values. Imported when they are first asked for."""
