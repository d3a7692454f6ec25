"""The one place where the version stands."""

__version__ = "0.1.0"

cuda = None
"""There is no CUDA in Flambeau; programs that look at torch.version.cuda find None."""
hip = None
"""Nor is there HIP."""
