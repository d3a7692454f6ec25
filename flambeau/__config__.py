"""torch.__config__: what this build is made of."""

from __future__ import annotations

import platform

import numpy

from flambeau.version import __version__

__all__ = ["parallel_info", "show"]


def show() -> str:
    """A description, one fact a line."""
    facts = [
        f"Python {platform.python_version()} on {platform.machine()}",
        f"numpy {numpy.__version__} for linear algebra on the host",
        "kernels compiled while the program runs, by LLVM (cpu) and WebGPU (webgpu)",
    ]
    return f"Flambeau {__version__}, with:\n" + "".join(f"  - {each}\n" for each in facts)


def parallel_info() -> str:
    """How many threads the cpu device uses."""
    from flambeau.runtime import get_num_threads

    return f"threads of the cpu device: {get_num_threads()}\n"
