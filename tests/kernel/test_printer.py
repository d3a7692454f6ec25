"""Kernel text: canonical, complete, readable."""

from __future__ import annotations

import pytest

from flambeau.graph import dtype as d
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Check, Fold, Kernel, Loop, Parameter, Sort, Store
from flambeau.kernel.printer import kernel_text


def simple(number: float = 1.0, kind: str = "add", code: int = 1) -> Kernel:
    row, inner, again = Axis(4), Axis(6), Axis(6)

    def at(axis: Axis) -> ir.Value:
        index = ir.index_add(ir.index_multiply(ir.axis(row), 6), ir.axis(axis))
        return ir.load(0, d.float32, index)

    fold = Fold((inner,), kind, at(inner), d.float32)
    total = ir.apply("ADD", ir.result(fold), ir.const(number, d.float32))
    place = ir.index_add(ir.index_multiply(ir.axis(row), 6), ir.axis(again))
    check = Check(ir.apply("LT", ir.axis(row), ir.const(3)), code, ir.axis(row))
    loop = Loop((again,), (Store(1, place, ir.apply("MUL", at(again), total)),))
    buffers = (Parameter(d.float32, 24, False), Parameter(d.float32, 24, True))
    return Kernel("example", (row,), (fold, check, loop), buffers)


def test_text_is_readable():
    assert kernel_text(simple()).split("\n") == [
        "kernel example  i0:4",
        "  b0: float32[24] read, b1: float32[24] write",
        "  r0 = fold add k0:6  b0[i0*6 + k0]",
        "  check i0 < 3 else error 1 of i0",
        "  loop j0:6",
        "    b1[i0*6 + j0] = b0[i0*6 + j0]*(r0 + 1.0:float32)",
    ]


def test_equal_kernels_have_equal_text():
    assert simple().text == simple().text
    assert simple().digest == simple().digest


def test_a_kernel_of_another_name_is_compiled_once():
    other = simple()
    other.name = "kernel other "
    assert other.text != simple().text
    assert other.digest == simple().digest


@pytest.mark.parametrize("other", [simple(2.0), simple(-1.0), simple(kind="max"), simple(code=2)])
def test_different_kernels_have_different_text(other):
    assert other.text != simple().text
    assert other.digest != simple().digest


def expression(*values: ir.Value) -> str:
    store = [Store(1, ir.const(n), value) for n, value in enumerate(values)]
    buffers = (Parameter(d.float32, 9, False), Parameter(d.float32, 9, True))
    text = kernel_text(Kernel("k", (), tuple(store), buffers, (d.float32,)))
    return text.split(" = ", 1)[1]


def test_order_of_operations_shows():
    a, b, c = (ir.load(0, d.float32, ir.const(n)) for n in range(3))
    assert expression(ir.apply("ADD", ir.apply("ADD", a, b), c)) == "b0[0] + b0[1] + b0[2]"
    assert expression(ir.apply("ADD", a, ir.apply("ADD", b, c))) == "b0[0] + (b0[1] + b0[2])"
    assert expression(ir.apply("MUL", ir.apply("ADD", a, b), c)) == "(b0[0] + b0[1])*b0[2]"
    assert expression(ir.apply("NEG", ir.apply("ADD", a, b))) == "-(b0[0] + b0[1])"
    assert expression(ir.apply("EXP", ir.scalar(0, d.float32))) == "exp(s0)"


def test_constants_show_sign_and_dtype():
    texts = [
        expression(ir.const(value, dtype))
        for value, dtype in [(0.0, d.float32), (-0.0, d.float32), (0.0, d.float64), (0, d.int32)]
    ]
    negated = expression(ir.apply("NEG", ir.const(1.0, d.float32)))
    assert len({*texts, negated, expression(ir.const(-1.0, d.float32))}) == 6


def test_shared_values_get_names():
    a = ir.load(0, d.float32, ir.const(0))
    e = ir.apply("EXP", ir.apply("SIN", a))
    text = kernel_text(
        Kernel(
            "k",
            (),
            (Store(1, ir.const(0), ir.apply("MUL", e, e)),),
            (Parameter(d.float32, 1, False), Parameter(d.float32, 1, True)),
        )
    )
    assert "v0 = exp(sin(b0[0]))" in text
    assert "b1[0] = v0*v0" in text


def test_a_chain_of_thousands_of_values():
    value = ir.load(0, d.float32, ir.const(0))
    for _ in range(5000):
        value = ir.apply("SIN", value)
    assert expression(value).count("sin(") == 5000


def test_every_statement_prints():
    axis = Axis(5)
    sort = Sort(
        axis,
        ir.load(0, d.float32, ir.axis(axis)),
        True,
        1,
        3,
        1,
        None,
        ir.const(0),
        ir.const(1),
        2,
        ir.const(0),
    )
    buffers = (
        Parameter(d.float32, 5, False),
        Parameter(d.float32, 5, True),
        Parameter(d.int64, 10, True),
    )
    store = Store(1, ir.const(0), ir.const(1.0, d.float32), ir.const(True, d.bool_), "max")
    text = kernel_text(Kernel("k", (), (sort, store), buffers))
    assert "sort descending k0:5 places 1:4  b0[k0] -> values b1[0 + rank*1] with b2[0]" in text
    assert "b1[0] max= 1.0:float32  if true" in text
