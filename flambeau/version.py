"""The one place where the version stands."""

__version__ = "0.1.0"

cuda = None
"""There is no CUDA in Flambeau; programs that look at torch.version.cuda find None."""
hip = None
"""Nor is there HIP."""
xpu = None
"""Nor is there XPU."""
git_version = "unknown"
"""The commit that this was built of is not recorded."""
debug = False
"""There is no debug build."""
