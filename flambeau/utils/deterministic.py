"""torch.utils.deterministic."""

fill_uninitialized_memory = True
"""Memory is always zeros before it is written; what a program sets is kept."""
