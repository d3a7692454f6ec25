"""Axes that a value knows only together."""

from __future__ import annotations

from flambeau.graph import dtype as dtypes
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Value
from flambeau.kernel.shift import Pair, pairs


def line(*parts: tuple[Axis, int], start: int = 0) -> Value:
    total = ir.const(start)
    for axis, step in parts:
        total = ir.index_add(total, ir.index_multiply(ir.axis(axis), step))
    return total


def test_a_convolution_reads_one_line_shifted() -> None:
    p, t = Axis(20), Axis(3)
    value = ir.load(0, dtypes.float32, line((p, 2), (t, 1)))
    (found,) = pairs(value, (p,), (t,))
    assert found == Pair(p, t, 2, 1)
    assert found.extent == 19 * 2 + 2 + 1


def test_rows_and_columns_find_their_own_taps() -> None:
    """Without an edge, rows and columns have a ratio, too."""
    sample, h, w, i, j = Axis(9), Axis(6), Axis(6), Axis(3), Axis(3)
    place = line((sample, 64), (h, 8), (w, 1), (i, 16), (j, 2))
    value = ir.load(0, dtypes.float32, place)
    assert pairs(value, (sample, h, w), (i, j)) == (Pair(h, i, 1, 2), Pair(w, j, 1, 2))


def test_an_edge_must_know_them_together_as_well() -> None:
    p, t = Axis(20), Axis(3)
    place = line((p, 1), (t, 1), start=-1)
    both = ir.apply("LT", ir.const(-1), place)
    one = ir.apply("LT", ir.axis(t), ir.const(2))
    for valid, count in ((both, 1), (one, 0)):
        value = ir.load(0, dtypes.float32, place, valid)
        assert len(pairs(value, (p,), (t,))) == count


def test_a_matrix_is_no_line() -> None:
    """Rows of a matrix do not overlap, nor do patches that lie side by side."""
    k, n = Axis(30), Axis(12)
    assert pairs(ir.load(0, dtypes.float32, line((k, 12), (n, 1))), (k,), (n,)) == ()
    assert pairs(ir.load(0, dtypes.float32, line((k, 1), (n, 30))), (k,), (n,)) == ()
    patch = Axis(2)
    assert pairs(ir.load(0, dtypes.float32, line((k, 2), (patch, 1))), (k,), (patch,)) == ()


def test_a_quotient_is_no_line() -> None:
    p, t = Axis(20), Axis(3)
    half = ir.index_divide(ir.axis(p), 2)
    place = ir.index_add(line((p, 1), (t, 1)), half)
    assert pairs(ir.load(0, dtypes.float32, place), (p,), (t,)) == ()
