"""abs, sign, rounding to whole numbers and clamping."""

from __future__ import annotations

import builtins
from typing import Any

from flambeau.graph import op
from flambeau.graph.dtype import bool_
from flambeau.ops.axes import DTYPE_TITLES
from flambeau.ops.comparison import isnan
from flambeau.ops.fused import fused
from flambeau.ops.limits import finfo
from flambeau.ops.logic import where
from flambeau.ops.promote import as_node, elementwise, result_dtype
from flambeau.ops.publish import public
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def _abs_gradient(x: Any, g: Any) -> Any:
    return g * sign(x)


@fused(gradient=_abs_gradient, wide=False)
def _abs(x: Any) -> Any:
    return where(x > 0, x, 0 - x)  # 0 - x: -0.0 gives 0.0


@public("absolute", inplace=True)
def abs(input: Tensor) -> Any:  # PyTorch's name
    """|input|. The gradient at 0 is 0."""
    if input._type.dtype is bool_:
        raise NotImplementedError("\"abs_cpu\" not implemented for 'Bool'")
    if input._type.dtype.is_complex:
        from flambeau.ops.complex_numbers.functions import absolute

        return absolute(input)
    return record(_abs, (input,))


Tensor.__abs__ = abs  # type: ignore[method-assign, assignment]  # operators come from here


def _zero_gradient(x: Any, g: Any) -> Any:
    return None


@fused(saves="", gradient=_zero_gradient, wide=False)
def _sign(x: Any) -> Any:
    one = (x > 0).to(x.dtype)
    return one - (x < 0).to(x.dtype) if x.dtype.is_signed else one


@public(inplace=True)
def sign(input: Tensor) -> Any:
    """-1, 0 or 1; 0 for NaN. The gradient is 0."""
    return input.clone() if input._type.dtype is bool_ else record(_sign, (input,))


@public(inplace=True)
def sgn(input: Tensor) -> Any:
    """As sign; of complex numbers z / |z|."""
    if input._type.dtype.is_complex:
        from flambeau.ops.complex_numbers.functions import sign as complex_sign

        return complex_sign(input)
    return sign(input)


@fused(saves="", wide=False)
def _ceil(x: Any) -> Any:
    return -record(op.FLOOR, (-x,))


@fused(saves="", wide=False)
def _trunc(x: Any) -> Any:
    return where(x < 0, -record(op.FLOOR, (-x,)), record(op.FLOOR, (x,)))


@fused(saves="", gradient=_zero_gradient, wide=False)
def _round(x: Any) -> Any:
    """To the nearest whole number, halves to the even one; -0.4 gives -0.0."""
    below = record(op.FLOOR, (x,))
    rest = x - below
    odd = below - 2 * record(op.FLOOR, (below * 0.5,))
    up = (rest > 0.5) | ((rest == 0.5) & (odd != 0))
    nearest = below + up.to(x.dtype)
    return where(nearest == 0, x * 0.0, nearest)


@fused(saves="")
def _round_decimals(x: Any, scale: Any) -> Any:
    return round(x * scale) / scale


@fused(saves="")
def _round_up_decimals(x: Any, scale: Any) -> Any:
    return round(x / scale) * scale


def _whole(formula: Any, input: Tensor) -> Any:
    """Integers are whole already."""
    if input._type.dtype.is_floating_point:
        return record(formula, (input,))
    if input._type.dtype is bool_:
        name = formula.name.lower()
        raise NotImplementedError(f"\"{name}_vml_cpu\" not implemented for 'Bool'")
    return input.clone()


@public(inplace=True)
def floor(input: Tensor) -> Any:
    """The greatest whole number that is not greater."""
    return _whole(op.FLOOR, input)


@public(inplace=True)
def ceil(input: Tensor) -> Any:
    """The smallest whole number that is not smaller."""
    return _whole(_ceil, input)


@public("fix", inplace=True)
def trunc(input: Tensor) -> Any:
    """Rounded towards zero."""
    return _whole(_trunc, input)


@public(inplace=True)
def round(input: Tensor, *, decimals: int = 0) -> Any:  # PyTorch's name
    """To the nearest whole number (or multiple of 10⁻ᵈᵉᶜⁱᵐᵃˡˢ), halves to the even one."""
    if decimals and input._type.dtype.is_floating_point:
        scale = 10.0 ** builtins.abs(decimals)
        return elementwise(
            _round_up_decimals if decimals < 0 else _round_decimals, input, scale, dtype=input.dtype
        )
    return _whole(_round, input)


@public(inplace=True)
def frac(input: Tensor) -> Any:
    """What trunc takes off. Raises NotImplementedError for integers."""
    if not input._type.dtype.is_floating_point:
        title = DTYPE_TITLES[input.dtype.name]
        raise NotImplementedError(f"\"frac_cpu\" not implemented for '{title}'")
    return input - trunc(input)


# clamping ---------------------------------------------------------------------------------------


def _clamp_gradient(x: Any, *rest: Any) -> Any:
    """1 within the bounds and at them; bounds get what they replaced."""
    *bounds, g, has_low, has_high = rest
    low = bounds[0] if has_low else None
    high = bounds[-1] if has_high else None
    inside: Any = None
    if low is not None:
        inside = low <= x
    if high is not None:
        inside = x <= high if inside is None else inside & (x <= high)
    found = [where(inside, g, 0.0)]
    if low is not None:
        below = x < low if high is None else (x < low) & (low < high)
        found.append(where(below, g, 0.0))
    if high is not None:
        above = high < x if low is None else (high < x) | (high < low)
        found.append(where(above, g, 0.0))
    return tuple(found)


@fused(gradient=_clamp_gradient, wide=False)
def _clamp(x: Any, *rest: Any) -> Any:
    *bounds, has_low, has_high = rest
    if has_low:
        x = record(op.MAX, (x, bounds[0]))
    if has_high:
        high = bounds[-1]
        if x.dtype.is_floating_point:
            return -record(op.MAX, (-x, -high))
        x = where(high < x, high, x)
    return x


@public("clip", inplace=True)
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Any:  # PyTorch's names
    """No less than `min` and no more than `max`: numbers, tensors or None.

    At the bounds the gradient is 1. Where min is greater than max the result is max. Raises
    RuntimeError where both are None.
    """
    bounds = [each for each in (min, max) if each is not None]
    if not bounds:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    values = [input, *bounds]
    dtype = result_dtype(values)
    inputs = [as_node(each, dtype) for each in values]
    return record(_clamp, inputs, (min is not None, max is not None))


@public(inplace=True)
def clamp_min(input: Tensor, min: Any) -> Any:  # PyTorch's name
    """No less than `min`."""
    return clamp(input, min)


@public(inplace=True)
def clamp_max(input: Tensor, max: Any) -> Any:  # PyTorch's name
    """No more than `max`."""
    return clamp(input, None, max)


@fused(saves="", wide=False)
def _nan_to_num(x: Any, nan: Any, high: Any, low: Any) -> Any:
    return where(isnan(x), nan, where(x == float("inf"), high, where(x == -float("inf"), low, x)))


@public(inplace=True)
def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Any:
    """NaN as `nan` (0), infinities as the greatest and least numbers of the dtype, or as given."""
    dtype = input._type.dtype
    if not dtype.is_floating_point:
        return input.clone()
    limits = finfo(dtype)
    high = limits.max if posinf is None else posinf
    low = limits.min if neginf is None else neginf
    return elementwise(_nan_to_num, input, 0.0 if nan is None else nan, high, low, dtype=dtype)
