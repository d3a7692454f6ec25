"""softmax, its logarithm, and samples of the relaxed categorical distribution."""

from __future__ import annotations

import warnings
from typing import Any

from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.ops.axes import DTYPE_TITLES, axis_of
from flambeau.ops.fused import fused
from flambeau.ops.math import exp
from flambeau.ops.publish import public
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def _implicit(name: str, dim: int | None, rank: int, stacklevel: int) -> int:
    if dim is not None:
        return dim
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include "
        "dim=X as an argument.",
        UserWarning,
        stacklevel=stacklevel,
    )
    return 0 if rank in (0, 1, 3) else 1


def _softmax_gradient(y: Any, g: Any, axis: int) -> Any:
    weighted = y * g
    return weighted - y * record(op.REDUCE, (weighted,), ("add", (axis,)))


@fused(saves="result", gradient=_softmax_gradient)
def _softmax(x: Any, axis: int) -> Any:
    raised = exp(x - record(op.REDUCE, (x,), ("max", (axis,))))
    return raised / record(op.REDUCE, (raised,), ("add", (axis,)))


def _log_softmax_gradient(y: Any, g: Any, axis: int) -> Any:
    return g - exp(y) * record(op.REDUCE, (g,), ("add", (axis,)))


@fused(saves="result", gradient=_log_softmax_gradient)
def _log_softmax(x: Any, axis: int) -> Any:
    shifted = x - record(op.REDUCE, (x,), ("max", (axis,)))
    total = record(op.REDUCE, (exp(shifted),), ("add", (axis,)))
    return shifted - record(op.LOG, (total,))


def _over(formula: Any, name: str, input: Tensor, dim: int) -> Any:
    of = input._type
    axis = axis_of(dim, len(of.shape))
    if not of.dtype.is_floating_point:
        title = DTYPE_TITLES[of.dtype.name]
        raise NotImplementedError(f"\"{name}_lastdim_kernel_impl\" not implemented for '{title}'")
    if not of.shape:
        return record(formula, (input.reshape(1),), (0,)).reshape(())
    if of.size == 0:
        return record(op.MATERIALIZE, (input,))
    return record(formula, (input,), (axis,))


def _converted(input: Tensor, dtype: DType | None) -> Any:
    return input if dtype in (None, input._type.dtype) else record(op.CAST, (input,), (dtype,))


@public(out=False)
def softmax(
    input: Tensor, dim: int | None = None, dtype: DType | None = None, *, _stacklevel: int = 3
) -> Any:
    """exp(x) / Σ exp(x) along `dim`, without overflow."""
    dim = _implicit("softmax", dim, input.ndim, _stacklevel)
    return _over(_softmax, "softmax", _converted(input, dtype), dim)


@public(out=False)
def log_softmax(
    input: Tensor, dim: int | None = None, dtype: DType | None = None, *, _stacklevel: int = 3
) -> Any:
    """The logarithm of softmax, without overflow."""
    dim = _implicit("log_softmax", dim, input.ndim, _stacklevel)
    return _over(_log_softmax, "log_softmax", _converted(input, dtype), dim)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Any:
    """softmax of -x."""
    dim = _implicit("softmin", dim, input.ndim, _stacklevel)
    return softmax(-_converted(input, dtype), dim)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Any:
    """A sample of the relaxed categorical distribution (E. Jang and others, 2016).

    hard=True gives the one-hot vector of the greatest, with the gradient of the relaxed one.
    """
    noise = -logits.detach().clone().exponential_().log()
    relaxed = softmax((logits + noise) / tau, dim)
    if not hard:
        return relaxed
    places = relaxed.detach().max(dim, keepdim=True)[1]
    chosen = (relaxed.detach() * 0).scatter_(dim, places, 1.0)
    return chosen - relaxed.detach() + relaxed
