"""PyTorch's operations, one family a file. What each publishes is in its `__all__`."""
