"""Extensions in C++ and CUDA: not here. PyTorch's torch.utils.cpp_extension.

Such extensions are written against PyTorch's own C++ library. The names are here so that programs
which build them on demand can be imported, and fall back; using one says what to do.
"""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = [
    "CUDA_HOME",
    "BuildExtension",
    "CUDAExtension",
    "CppExtension",
    "include_paths",
    "is_ninja_available",
    "load",
    "load_inline",
]

CUDA_HOME = None
ROCM_HOME = None
HIP_HOME = None
IS_HIP_EXTENSION = False


def _refuse(name: str) -> NoReturn:
    raise RuntimeError(
        f"torch.utils.cpp_extension.{name}: extensions in C++ or CUDA are written against "
        "PyTorch's C++ library, which is not here. Write the operation with tensors (it is "
        "compiled while it runs), or use the program's fallback in Python."
    )


def load(name: str, sources: Any, *args: Any, **kwargs: Any) -> Any:
    """Raises RuntimeError that says what to do instead."""
    _refuse(f"load('{name}')")


def load_inline(name: str, cpp_sources: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Raises RuntimeError that says what to do instead."""
    _refuse(f"load_inline('{name}')")


def CppExtension(name: str, sources: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N802  # PyTorch's name
    """Raises RuntimeError that says what to do instead."""
    _refuse("CppExtension")


def CUDAExtension(name: str, sources: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N802  # PyTorch's name
    """Raises RuntimeError that says what to do instead."""
    _refuse("CUDAExtension")


def include_paths(*args: Any, **kwargs: Any) -> Any:
    """Raises RuntimeError that says what to do instead."""
    _refuse("include_paths")


def is_ninja_available() -> bool:
    """False: nothing is built."""
    return False


class BuildExtension:
    """A setup.py's build command: building raises RuntimeError that says what to do instead."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse("BuildExtension")

    @classmethod
    def with_options(cls, **options: Any) -> type[BuildExtension]:
        """The same command, whatever the options."""
        return cls
