"""Gradient clipping: one composite for the norm of all gradients, one for scaling them in place."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from flambeau.autograd.mode import no_grad
from flambeau.ops.composite import composite
from flambeau.optim.update import Update
from flambeau.tensor.tensor import Tensor

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
]


def _gradients(parameters: Any) -> list[Tensor]:
    """The gradients that there are. A generator that was used up is warned about."""
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    else:
        parameters = list(parameters)
        if not parameters:
            warnings.warn(
                "`parameters` is an empty generator, no gradient clipping will occur.",
                stacklevel=3,
            )
    return [each.grad for each in parameters if each.grad is not None]


@composite(saves="inputs")
def _total_norm(tensors: Any, kind: float) -> Any:
    """The norm of the tensors' norms."""
    magnitudes = [each.abs() for each in tensors]
    if kind == math.inf:
        return _largest([each.amax() for each in magnitudes])
    if kind == -math.inf:
        return -_largest([-each.amin() for each in magnitudes])
    if kind == 0:
        parts = [(each != 0).to(each.dtype).sum() for each in magnitudes]
        return _added([(each != 0).to(each.dtype) for each in parts])
    if kind == 2:
        return _added([(each * each).sum() for each in tensors]).sqrt()
    return _added([(each**kind).sum() for each in magnitudes]) ** (1.0 / kind)


def _largest(values: Sequence[Any]) -> Any:
    result = values[0]
    for each in values[1:]:
        result = result.maximum(each)
    return result


def _added(values: Sequence[Any]) -> Any:
    result = values[0]
    for each in values[1:]:
        result = result + each
    return result


def get_total_norm(
    tensors: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors together, as if they were one vector.

    Raises RuntimeError where it is not finite, if asked to.
    """
    found = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not found:
        from flambeau.ops.data import tensor

        return tensor(0.0)
    with no_grad():
        first = found[0].device
        total: Tensor = _total_norm([each.to(first) for each in found], float(norm_type))
        if error_if_nonfinite and not math.isfinite(float(total._to_numpy())):
            raise RuntimeError(
                f"The total norm of order {norm_type} for gradients from `parameters` is "
                "non-finite, so it cannot be clipped. To disable this error and scale the "
                "gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
            )
    return total


@Update
def _scaled(_: Any, gradient: Any, *, factor: Any) -> tuple[Any, ...]:
    """gradient · factor."""
    return (gradient * factor,)


@Update
def _limited(_: Any, gradient: Any, *, limit: Any) -> tuple[Any, ...]:
    """The gradient within ±limit."""
    return (gradient.minimum(limit).maximum(-limit),)


def _apply(update: Update, gradients: Sequence[Tensor], scalars: dict[str, Any]) -> None:
    """Run an update over the gradients, by dtype and device."""
    groups: dict[Any, list[Tensor]] = {}
    for each in gradients:
        groups.setdefault((each.dtype, each.device), []).append(each)
    for group in groups.values():
        update(group, [group], scalars)


@no_grad()
def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale the gradients in place by max_norm / total_norm where that is below 1."""
    gradients = _gradients(parameters)
    if gradients:
        factor: Any = float(max_norm) / (total_norm + 1e-6)
        _apply(_scaled, gradients, {"factor": factor.clamp(max=1.0)})


@no_grad()
def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the parameters' gradients in place so that their norm is at most max_norm.

    Returns the norm before. Raises RuntimeError where it is not finite, if asked to.
    """
    given = parameters if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(given), norm_type, error_if_nonfinite)
    if isinstance(given, Tensor) or given:
        clip_grads_with_norm_(given, max_norm, total)
    return total


def clip_grad_norm(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The old name of clip_grad_norm_."""
    warnings.warn(
        "torch.nn.utils.clip_grad_norm is now deprecated in favor of "
        "torch.nn.utils.clip_grad_norm_.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limit every element of the parameters' gradients to ±clip_value, in place."""
    _apply(_limited, _gradients(parameters), {"limit": float(clip_value)})
