"""torch.signal.windows: windows as scipy has them, symmetric unless `sym=False`.

M points; with sym=False the M first of the M + 1 points of the symmetric window, for spectra.
All functions take `dtype` (a floating one), `device` and `requires_grad` as other functions that
make tensors do, and raise ValueError for a negative M and other dtypes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy

from flambeau.graph.dtype import float32, float64
from flambeau.ops.data import tensor
from flambeau.tensor.device import get_default_dtype
from flambeau.tensor.tensor import Tensor

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]

_OPTIONS = frozenset({"dtype", "layout", "device", "requires_grad"})


def _window(
    name: str, count: int, sym: bool, values: Callable[[Any, int], Any], options: dict[str, Any]
) -> Tensor:
    """values(0 … n, n) for the n + 1 points of the symmetric window."""
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument '{min(unknown)}'")
    if count < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={count}")
    dtype = options.get("dtype") or get_default_dtype()
    if dtype not in (float32, float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    if count <= 1:
        made = numpy.ones(count)
    else:
        last = count - 1 if sym else count
        made = values(numpy.arange(count, dtype=numpy.float64), last)
    grad = options.get("requires_grad", False)
    return tensor(made, dtype=dtype, device=options.get("device"), requires_grad=grad)


def _cosines(weights: Iterable[float]) -> Callable[[Any, int], Any]:
    """Σ (-1)ᵏ aₖ cos(2πki/n)"""
    listed = list(weights)
    if not listed:
        raise ValueError("Coefficients cannot be empty")

    def values(i: Any, n: int) -> Any:
        total = numpy.zeros(i.shape)
        for k, each in enumerate(listed):
            total += (-1) ** k * each * numpy.cos(2 * math.pi * k * i / n)
        return total

    return values


def bartlett(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """1 - |2i/n - 1|"""
    return _window("bartlett", M, sym, lambda i, n: 1 - numpy.abs(2 * i / n - 1), options)


def blackman(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """general_cosine with 0.42, 0.5, 0.08."""
    return _window("blackman", M, sym, _cosines((0.42, 0.5, 0.08)), options)


def cosine(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """sin(π (i + ½) / (n + 1))"""
    return _window("cosine", M, sym, lambda i, n: numpy.sin(math.pi * (i + 0.5) / (n + 1)), options)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, **options: Any
) -> Tensor:
    """exp(-|i - center| / tau); center is the middle, which only sym=False lets one change."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")

    def values(i: Any, n: int) -> Any:
        middle = n / 2 if center is None else center
        return numpy.exp(-numpy.abs(i - middle) / tau)

    return _window("exponential", M, sym, values, options)


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, **options: Any) -> Tensor:
    """exp(-½ ((i - n/2) / std)²)"""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return _window(
        "gaussian", M, sym, lambda i, n: numpy.exp(-0.5 * ((i - n / 2) / std) ** 2), options
    )


def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, **options: Any) -> Tensor:
    """Σ (-1)ᵏ aₖ cos(2πki/n). Raises TypeError or ValueError unless `a` is a list of numbers."""
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    return _window("general_cosine", M, sym, _cosines(a), options)


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, **options: Any) -> Tensor:
    """alpha - (1 - alpha) cos(2πi/n)"""
    return _window("general_hamming", M, sym, _cosines((alpha, 1.0 - alpha)), options)


def hamming(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """0.54 - 0.46 cos(2πi/n)"""
    return _window("hamming", M, sym, _cosines((0.54, 0.46)), options)


def hann(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """½ - ½ cos(2πi/n)"""
    return _window("hann", M, sym, _cosines((0.5, 0.5)), options)


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, **options: Any) -> Tensor:
    """I₀(β √(1 - (2i/n - 1)²)) / I₀(β)"""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")

    def values(i: Any, n: int) -> Any:
        inside = numpy.sqrt(numpy.maximum(1 - (2 * i / n - 1) ** 2, 0))
        return numpy.i0(beta * inside) / numpy.i0(beta)

    return _window("kaiser", M, sym, values, options)


def nuttall(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """general_cosine with 0.3635819, 0.4891775, 0.1365995, 0.0106411 (A. Nuttall, 1981)."""
    return _window(
        "nuttall", M, sym, _cosines((0.3635819, 0.4891775, 0.1365995, 0.0106411)), options
    )
