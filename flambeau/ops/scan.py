"""Running sums, products and extremes along a dimension, and differences."""

from __future__ import annotations

from typing import Any

from flambeau.graph import build, op
from flambeau.graph.dtype import DType, bool_, int64
from flambeau.ops import return_types
from flambeau.ops.axes import axis_of
from flambeau.ops.comparison import isnan
from flambeau.ops.fused import fused
from flambeau.ops.logic import where
from flambeau.ops.promote import as_node
from flambeau.ops.publish import public
from flambeau.ops.shape import cat
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


@fused(saves="", wide=False)
def _cumsum(x: Any, axis: int) -> Any:
    return record(op.SCAN, (x,), ("add", axis))


def _running(kind: str, input: Tensor, dim: int, dtype: DType | None) -> Any:
    axis = axis_of(dim, input.ndim)
    of = input._type.dtype
    found = dtype or (of if of.has_gradient else int64)
    node = as_node(input, found)
    if input.ndim == 0:
        return record(op.MATERIALIZE, (node,))
    if kind == "add":
        return record(_cumsum, (node,), (axis,))
    return record(op.SCAN, (node,), (kind, axis))


@public(inplace=True)
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Any:
    """The running sum along `dim`. Integers and bools give int64."""
    return _running("add", input, dim, dtype)


@public(inplace=True)
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None) -> Any:
    """The running product along `dim`. Integers and bools give int64."""
    return _running("mul", input, dim, dtype)


@fused(wide=False)
def _cummax(x: Any, axis: int, smallest: bool) -> Any:
    """The running extreme, and the last place where it was reached; NaN wins."""
    ordered = x
    if smallest:
        ordered = -x if x.dtype.is_floating_point else ~x
    running = record(op.SCAN, (ordered,), ("max", axis))
    reached = ordered == running
    if x.dtype.is_floating_point:
        reached = reached | isnan(x)
    line = tuple([x.shape[axis] if place == axis else 1 for place in range(len(x.shape))])
    here = Tensor._traced(build.expand(build.reshape(build.iota(x.shape[axis]), line), x.shape))
    places = record(op.SCAN, (where(reached, here, 0),), ("max", axis))
    if smallest:
        running = -running if x.dtype.is_floating_point else ~running
    return running, places


def _running_extreme(kind: Any, input: Tensor, dim: int, smallest: bool) -> Any:
    axis = axis_of(dim, input.ndim)
    if input.ndim == 0:
        return kind(input.clone(), (input.detach() != input.detach()).long())
    if input._type.dtype is bool_:
        values, places = record(_cummax, (input.to(int64),), (axis, smallest))
        return kind(values.to(bool_), places)
    return kind(*record(_cummax, (input,), (axis, smallest)))


@public()
def cummax(input: Tensor, dim: int) -> Any:
    """(running greatest, its last index) along `dim`."""
    return _running_extreme(return_types.cummax_, input, dim, False)


@public()
def cummin(input: Tensor, dim: int) -> Any:
    """(running smallest, its last index) along `dim`."""
    return _running_extreme(return_types.cummin_, input, dim, True)


@public()
def logcumsumexp(input: Tensor, dim: int) -> Any:
    """The logarithm of the running sum of exponentials along `dim`.

    By doubling: each step adds what lies 1, 2, 4 … places before, relative to the greater of the
    two, so that no term is lost beside one that only comes later. W. D. Hillis and G. L. Steele,
    Data Parallel Algorithms, 1986.
    """
    axis = axis_of(dim, input.ndim)
    if not input.ndim:
        return input.clone()
    extent, result, step = input.shape[axis], input.clone(), 1
    while step < extent:
        first, rest = result.narrow(axis, 0, step), result.narrow(axis, step, extent - step)
        result = cat([first, record(_added, (rest, result.narrow(axis, 0, extent - step)))], axis)
        step *= 2
    return result


@fused()
def _added(x: Any, y: Any) -> Any:
    """log(eˣ + eʸ); of two that are -inf, and of their gradients, nothing becomes NaN."""
    greater = record(op.MAX, (x, y)).detach()
    shift = where(greater.abs() == float("inf"), 0.0, greater)
    total = record(op.EXP, (x - shift,)) + record(op.EXP, (y - shift,))
    empty = total == 0
    return where(empty, greater, record(op.LOG, (where(empty, 1.0, total),)) + shift)


@public(out=False)
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along `dim`, n times; with tensors put before and behind first."""
    if input.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    axis = axis_of(dim, input.ndim)
    if n == 0:
        return input.clone()
    parts = [each for each in (prepend, input, append) if each is not None]
    result: Any = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(min(n, result.shape[axis])):
        extent = max(result.shape[axis] - 1, 0)
        after, before = result.narrow(axis, 1, extent), result.narrow(axis, 0, extent)
        result = after ^ before if result.dtype is bool_ else after - before
    return result


@public("trapz", out=False)
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1) -> Any:
    """The integral along `dim` by trapezoids, at places x or dx apart."""
    extent = y.shape[dim]
    middle = (y.narrow(dim, 1, extent - 1) + y.narrow(dim, 0, extent - 1)) * 0.5
    if x is None:
        return (middle * dx).sum(dim)
    steps = diff(x, dim=dim if x.ndim == y.ndim else -1)
    if x.ndim == 1:
        shape = [1] * y.ndim
        shape[dim] = -1
        steps = steps.reshape(shape)
    return (middle * steps).sum(dim)
