"""PyTorch's torch.distributed.algorithms, as far as one process needs it."""
