"""Calls of native code by address. Compiled modules call without ctypes: see native.pxd."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy

_INTEGER, _POINTER = ctypes.c_int64, ctypes.c_void_p


def address(array: numpy.ndarray[Any, Any]) -> int:
    """Where the first element of a contiguous array lies."""
    return int(array.__array_interface__["data"][0])


def call(function: int, first: int) -> int:
    """function(first), without the GIL."""
    return _one(function)(first)


def call_with_two(function: int, first: int, second: int) -> int:
    """function(first, second), without the GIL."""
    return _two(function)(first, second)


@functools.cache
def _one(function: int) -> Callable[[int], int]:
    return ctypes.CFUNCTYPE(_INTEGER, _POINTER)(function)


@functools.cache
def _two(function: int) -> Callable[[int, int], int]:
    return ctypes.CFUNCTYPE(_INTEGER, _POINTER, _POINTER)(function)
