"""assert_close: values within |actual - expected| <= atol + rtol * |expected|, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy

from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.ops.limits import result_type
from flambeau.tensor.tensor import Tensor

TOLERANCES: dict[DType, tuple[float, float]] = {
    dtypes.float16: (1e-3, 1e-5),
    dtypes.bfloat16: (1.6e-2, 1e-5),
    dtypes.float32: (1.3e-6, 1e-5),
    dtypes.float64: (1e-7, 1e-7),
}
"""rtol and atol of each dtype, PyTorch's; of all others both are 0."""


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raises AssertionError where `actual` is not close to `expected`, with where and how far.

    Both are tensors, numbers, None, or sequences and mappings of these. ValueError where only one
    of rtol and atol is given.
    """
    if (rtol is None) != (atol is None):
        raise ValueError("rtol and atol must both be specified or both be unspecified")

    def compare(place: str, a: Any, b: Any) -> str | None:
        if a is None and b is None:
            return None
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            return _compare_mappings(place, a, b, compare)
        if _is_sequence(a) and _is_sequence(b):
            return _compare_sequences(place, a, b, compare)
        return _compare_tensors(
            place, a, b, (rtol, atol), equal_nan, check_device, check_dtype, check_stride
        )

    problem = compare("", actual, expected)
    if problem is not None:
        text = msg(problem) if callable(msg) else (msg or problem)
        raise AssertionError(text)


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """PyTorch's older assert_close: dtypes may differ, NaN equals NaN."""
    tensor = _tensor(actual)
    if rtol is None and atol is None:
        rtol, atol = TOLERANCES.get(tensor.dtype, (0.0, 0.0))
    assert_close(
        tensor,
        _tensor(expected),
        rtol=rtol,
        atol=atol,
        equal_nan=equal_nan,
        check_device=False,
        check_dtype=False,
        msg=msg or None,
    )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


_Compare = Callable[[str, Any, Any], "str | None"]


def _compare_mappings(
    place: str, a: Mapping[Any, Any], b: Mapping[Any, Any], compare: _Compare
) -> str | None:
    if set(a) != set(b):
        return (
            f"The keys of the mappings do not match{_at(place)}: missing "
            f"{sorted(map(str, set(b) - set(a)))}, unexpected {sorted(map(str, set(a) - set(b)))}"
        )
    problems = (compare(f"{place}[{key!r}]", a[key], b[key]) for key in b)
    return next((each for each in problems if each is not None), None)


def _compare_sequences(
    place: str, a: Sequence[Any], b: Sequence[Any], compare: _Compare
) -> str | None:
    if len(a) != len(b):
        return f"The length of the sequences mismatch{_at(place)}: {len(a)} != {len(b)}"
    problems = (compare(f"{place}[{i}]", *both) for i, both in enumerate(zip(a, b, strict=True)))
    return next((each for each in problems if each is not None), None)


def _tensor(value: Any) -> Tensor:
    from flambeau.ops.data import as_tensor

    if isinstance(value, Tensor):
        return value
    try:
        return as_tensor(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"assert_close: expected tensors, numbers or containers of these, got {type(value)}"
        ) from error


def _compare_tensors(
    place: str,
    a: Any,
    b: Any,
    tolerances: tuple[float | None, float | None],
    equal_nan: bool,
    check_device: bool,
    check_dtype: bool,
    check_stride: bool,
) -> str | None:
    a, b = _tensor(a), _tensor(b)
    facts: list[tuple[str, Any, Any, bool]] = [
        ("shape", a.shape, b.shape, True),
        ("device", a.device, b.device, check_device),
        ("dtype", a.dtype, b.dtype, check_dtype),
        ("stride", a.stride(), b.stride(), check_stride),
    ]
    for name, own, other, checked in facts:
        if checked and own != other:
            return f"The values for attribute '{name}' do not match{_at(place)}: {own} != {other}"
    relative, absolute = tolerances
    if relative is None or absolute is None:
        pairs = [TOLERANCES.get(each.dtype, (0.0, 0.0)) for each in (a, b)]
        relative, absolute = (max(values) for values in zip(*pairs, strict=True))
    common = result_type(a, b)
    own, other = (each.detach().to("cpu", common).numpy() for each in (a, b))
    return _compare_arrays(place, own, other, relative, absolute, equal_nan)


def _compare_arrays(
    place: str, a: Any, b: Any, relative: float, absolute: float, equal_nan: bool
) -> str | None:
    if a.dtype.kind in "biu":
        wide_a, wide_b = a.astype(numpy.float64), b.astype(numpy.float64)
        exact = a == b
    else:
        wide_a, wide_b = (_wide(each) for each in (a, b))
        exact = wide_a == wide_b
    with numpy.errstate(invalid="ignore", over="ignore"):
        distance = numpy.abs(wide_a - wide_b)
        close = exact | (
            (distance <= absolute + relative * numpy.abs(wide_b)) & numpy.isfinite(distance)
        )
    if equal_nan:
        close |= numpy.isnan(wide_a) & numpy.isnan(wide_b)
    if close.all():
        return None
    return _difference(place, wide_a, wide_b, close, distance, relative, absolute)


def _wide(array: Any) -> Any:
    return array if array.dtype.kind == "c" else array.astype(numpy.float64)


def _difference(
    place: str, a: Any, b: Any, close: Any, distance: Any, relative: float, absolute: float
) -> str:
    if a.ndim == 0:
        return (
            f"Scalars are not close{_at(place)}!\n\nExpected {b} but got {a}.\n"
            f"Absolute difference: {distance} (up to {absolute} allowed)"
        )
    wrong = numpy.where(close, -1.0, numpy.nan_to_num(distance, nan=numpy.inf))
    worst = numpy.unravel_index(int(wrong.argmax()), wrong.shape)
    with numpy.errstate(divide="ignore", invalid="ignore"):
        ratio = numpy.where(close, -1.0, numpy.nan_to_num(distance / numpy.abs(b), nan=numpy.inf))
    relatively = numpy.unravel_index(int(ratio.argmax()), ratio.shape)
    bad = int((~close).sum())
    return (
        f"Tensor-likes are not close{_at(place)}!\n\n"
        f"Mismatched elements: {bad} / {close.size} ({100 * bad / close.size:.1f}%)\n"
        f"Greatest absolute difference: {distance[worst]} at index {_plain(worst)} "
        f"(up to {absolute} allowed)\n"
        f"Greatest relative difference: {ratio[relatively]} at index {_plain(relatively)} "
        f"(up to {relative} allowed)"
    )


def _plain(index: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(each) for each in index)


def _at(place: str) -> str:
    return f" at {place}" if place else ""
