"""Recognition of matrix products."""

from __future__ import annotations

from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Fold, Kernel, Loop, Parameter, Store, Value
from flambeau.kernel.tile import axes_of, contraction_of, tile

f32 = dtypes.float32


def load(buffer: int, *axes: Axis) -> Value:
    index = ir.const(0)
    for number, axis in enumerate(axes):
        index = ir.index_add(index, ir.index_multiply(ir.axis(axis), 7**number))
    return ir.load(buffer, f32, index)


def kernel_of(domain: tuple[Axis, ...], a: Value, b: Value, k: Axis, **more: Any) -> Kernel:
    fold = Fold((k,), "add", ir.apply("MUL", a, b), f32, (), more.get("product", True))
    store = Store(2, load(2, *domain).args[0], ir.result(fold))
    extra = more.get("extra", ())
    parameters = tuple(
        Parameter(f32, 10**6, number in more.get("written", (2,))) for number in (0, 1, 2)
    )
    return Kernel("k", domain, (fold, store, *extra), parameters)


def test_axes_are_told_apart() -> None:
    batch, m1, m2, n, k = (Axis(each) for each in (2, 3, 4, 5, 6))
    a, b = load(0, batch, m1, m2, k), load(1, batch, k, n)
    found = contraction_of(kernel_of((batch, m1, m2, n), a, b, k))
    assert found is not None
    assert (found.batch, found.m, found.n, found.k) == ((batch,), (m1, m2), (n,), (k,))
    assert found.a is a
    assert found.b is b
    assert len(found.epilogue) == 1


def test_an_axis_of_the_epilogue_alone_is_batch() -> None:
    extra, m, n, k = (Axis(each) for each in (2, 3, 4, 5))
    found = contraction_of(kernel_of((extra, m, n), load(0, m, k), load(1, k, n), k))
    assert found is not None
    assert found.batch == (extra,)


def test_prologues_count() -> None:
    m, n, k = Axis(3), Axis(4), Axis(5)
    a = ir.apply("EXP", ir.apply("ADD", load(0, m, k), ir.axis(k)))
    found = contraction_of(kernel_of((m, n), a, load(1, n, k), k))
    assert found is not None
    assert found.m == (m,)


def test_what_is_no_product_of_matrices() -> None:
    m, n, k = Axis(3), Axis(4), Axis(5)
    a, b = load(0, m, k), load(1, n, k)
    assert contraction_of(kernel_of((m, n), a, load(1, m, k), k)) is None  # the same axes
    assert contraction_of(kernel_of((m, n), a, load(1, n), k)) is None  # nothing of k
    assert contraction_of(kernel_of((m, n), a, b, k, product=False)) is None  # an ordinary sum
    assert contraction_of(kernel_of((m, n), a, b, k, written=(0, 2))) is None
    assert contraction_of(kernel_of((m, n), a, b, Axis(0))) is None
    assert contraction_of(kernel_of((m, n), a, b, Axis(1))) is None
    loop = Loop((Axis(2),), ())
    assert contraction_of(kernel_of((m, n), a, b, k, extra=(loop,))) is None
    empty = Kernel("k", (), (Store(0, ir.const(0), ir.const(1.0, f32)),), ())
    assert contraction_of(empty) is None


def test_tile_sets_the_contraction() -> None:
    m, n, k = Axis(3), Axis(4), Axis(5)
    kernel = kernel_of((m, n), load(0, m, k), load(1, n, k), k)
    assert tile(kernel) is kernel
    assert kernel.contraction.k == (k,)


def test_axes_of_a_value() -> None:
    m, k = Axis(3), Axis(5)
    assert axes_of([load(0, m, k), ir.const(1)]) == {m, k}


def test_a_matrix_times_a_vector() -> None:
    batch, m, k = Axis(3), Axis(4), Axis(5)
    found = contraction_of(kernel_of((batch, m), load(0, batch, m, k), load(1, batch, k), k))
    assert found is not None
    assert (found.batch, found.m, found.n) == ((batch,), (m,), ())
