"""Every rule of the gradients' table against differences, once and twice, on bare primitives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.autograd.rules import RULES, table
from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.op import Primitive
from flambeau.tensor.record import record

Function = Callable[..., Any]


def bare(primitive: Primitive, attrs: tuple[Any, ...] = (), scalars: tuple[Any, ...] = ()):
    """A function of tensors that records just this primitive."""
    return lambda *tensors: record(primitive, tensors, attrs, scalars)


def indices(*values: Any) -> Any:
    return torch.tensor(list(values))


def scattered(mode: str) -> Function:
    """A scatter where one place is written twice."""
    return lambda x, v: record(op.SCATTER, (x, indices(2, 0, 2), v), (0, mode))


def scattered_along(mode: str) -> Any:
    def scatter(x: Any, value: Any) -> Any:
        return record(op.SCATTER, (x, indices(2, 0, 2, 1).reshape(2, 2), value), (0, mode, True))

    return scatter


def assigned(base: Any, value: Any) -> Any:
    chain = (("SLICE", (2, 2), (1, 1)), ("PERMUTE", (1, 0)))
    return record(op.ASSIGN, (base, value), (chain,), (1, 0))


def attention_of(causal: bool, number: int, of: str = "") -> Function:
    """One result; the backward's normaliser is the forward's, as it has to be."""

    def forward(*tensors: Any) -> Any:
        return record(op.ATTENTION, tensors, (causal, 0.7))[number]

    def backward(query: Any, key: Any, value: Any, given: Any, _: Any, delta: Any) -> Any:
        normaliser = record(op.ATTENTION, (query, key, value), (causal, 0.7))[1]
        inputs = (query, key, value, given, normaliser, delta)
        return record(op.ATTENTION_BACKWARD, inputs, (causal, 0.7, of))[number]

    return backward if of else forward


GEOMETRY = ((1, 2), ((1, 0), (0, 1)), (1, 1), 2)

# primitive: a list of (function, shapes of the float inputs); numbers lie between 0.3 and 1.7
DIFFERENTIABLE: dict[Primitive, list[tuple[Function, tuple[tuple[int, ...], ...]]]] = {
    op.NEG: [(bare(op.NEG), ((3,),))],
    op.SQRT: [(bare(op.SQRT), ((3,),))],
    op.EXP: [(bare(op.EXP), ((3,),))],
    op.LOG: [(bare(op.LOG), ((3,),))],
    op.SIN: [(bare(op.SIN), ((3,),))],
    op.COS: [(bare(op.COS), ((3,),))],
    op.TAN: [(bare(op.TAN), ((3,),))],
    op.CAST: [(lambda x: record(op.CAST, (x * 2,), (dtypes.float64,)), ((3,),))],
    op.ADD: [(bare(op.ADD), ((2, 3), (3,)))],
    op.MUL: [(bare(op.MUL), ((2, 3), (2, 1))), (lambda x: x * x, ((3,),))],
    op.FMA: [(bare(op.FMA), ((2, 3), (2, 1), (3,)))],
    op.DIV: [(bare(op.DIV), ((2, 3), (3,)))],
    op.MOD: [(lambda x, y: record(op.MOD, (x * 3, y)), ((4,), (4,)))],
    op.MAX: [(bare(op.MAX), ((2, 3), (3,)))],
    op.WHERE: [
        (
            lambda x, y: record(op.WHERE, (torch.tensor([True, False, True]), x, y)),
            ((2, 3), (3,)),
        )
    ],
    op.REDUCE: [
        (bare(op.REDUCE, ("add", (0, 2))), ((2, 3, 2),)),
        (bare(op.REDUCE, ("max", (1,))), ((2, 3),)),
        (bare(op.REDUCE, ("mul", (0, 2))), ((2, 2, 2),)),
    ],
    op.SCAN: [
        (bare(op.SCAN, ("add", 1)), ((2, 3),)),
        (bare(op.SCAN, ("mul", 0)), ((3, 2),)),
        (bare(op.SCAN, ("max", 1)), ((2, 4),)),
    ],
    op.SORT: [
        (lambda x: bare(op.SORT, (1, False))(x)[0], ((2, 4),)),
        (lambda x: bare(op.SORT, (0, True))(x)[0], ((3, 2),)),
        (lambda x: bare(op.SORT, (1, True, 1, 2))(x)[0], ((2, 4),)),
    ],
    op.MATMUL: [(bare(op.MATMUL), ((2, 1, 2, 3), (2, 3, 2))), (bare(op.MATMUL), ((2, 3), (3, 2)))],
    op.ATTENTION: [
        (attention_of(causal, number), ((2, 2, 3), (1, 3, 3), (2, 3, 2), (2, 3)))
        for causal in (False, True)
        for number in (0, 1)
    ],
    op.ATTENTION_BACKWARD: [
        (attention_of(causal, number, of), shapes)
        for shapes in [((2, 3), (3, 3), (3, 2), (2, 2), (2, 1), (2, 1))]
        for causal, of, number in ((False, "query", 0), (True, "keys", 0), (False, "keys", 1))
    ],
    op.CONV: [
        (bare(op.CONV, ("forward", *GEOMETRY, ())), ((2, 4, 3, 4), (2, 2, 2, 2))),
        (bare(op.CONV, ("input", *GEOMETRY, (3, 4))), ((2, 2, 3, 2), (2, 2, 2, 2))),
        (bare(op.CONV, ("weight", *GEOMETRY, (2, 2))), ((2, 4, 3, 4), (2, 2, 3, 2))),
    ],
    op.RESHAPE: [(bare(op.RESHAPE, ((3, 2),)), ((2, 3),))],
    op.PERMUTE: [(bare(op.PERMUTE, ((2, 0, 1),)), ((2, 3, 2),))],
    op.EXPAND: [(bare(op.EXPAND, ((2, 3, 2),)), ((3, 1),))],
    op.PAD: [(bare(op.PAD, ((4, 5), (2, 1), (0.0).hex()), (1, 2)), ((2, 3),))],
    op.SLICE: [
        (bare(op.SLICE, ((2, 2), (1, 2)), (1, 0)), ((3, 4),)),
        (bare(op.SLICE, ((3,), (-1,)), (3,)), ((4,),)),
    ],
    op.WINDOW: [(bare(op.WINDOW, ((0, 1), (2, 2), (1, 2), (1, 1))), ((3, 4),))],
    op.CAT: [(bare(op.CAT, (1,)), ((2, 1), (2, 3), (2, 2)))],
    op.GATHER: [(lambda x: record(op.GATHER, (x, indices(1, 0, 1)), (0,)), ((3, 2),))],
    op.SCATTER: [
        (scattered("set"), ((3, 2), (3, 2))),
        (scattered("add"), ((3, 2), (3, 2))),
        (scattered("max"), ((3, 2), (3, 2))),
        (scattered_along("set"), ((3, 3), (2, 2))),
        (scattered_along("add"), ((3, 3), (2, 2))),
        (scattered_along("max"), ((3, 3), (2, 2))),
    ],
    op.MATERIALIZE: [(bare(op.MATERIALIZE), ((3,),))],
    op.ASSIGN: [(assigned, ((3, 2), (2, 2)))],
}
PIECEWISE_CONSTANT = {
    op.FLOOR: lambda x: record(op.FLOOR, (x,)),
}
WITHOUT_FLOATS = {op.LT, op.EQ, op.AND, op.OR, op.XOR, op.SHL, op.SHR, op.IDIV, op.BITCAST}
SOURCES = {op.BUFFER, op.CONST, op.IOTA}
ELSEWHERE = {
    op.COPY: "tests/ops/test_creation.py: between devices",
    op.DETACH: "below: it cuts",
    op.REAL: "tests/ops/test_complex.py",
    op.IMAG: "tests/ops/test_complex.py",
    op.COMPLEX_OF: "tests/ops/test_complex.py",
    op.GRAFT: "tests/test_semantics.py: in-place writes through detached tensors",
}


def test_every_rule_has_a_check() -> None:
    known = {*DIFFERENTIABLE, *PIECEWISE_CONSTANT, *WITHOUT_FLOATS, *SOURCES, *ELSEWHERE}
    assert {each.name for each in RULES} == {each.name for each in known}
    assert len(table().splitlines()) == len(RULES)


CASES = [
    pytest.param(function, shapes, id=f"{primitive.name}-{number}")
    for primitive, entries in DIFFERENTIABLE.items()
    for number, (function, shapes) in enumerate(entries)
]


@pytest.mark.parametrize("name", ["reference", "cpu"])
@pytest.mark.parametrize(("function", "shapes"), CASES)
def test_rule(function: Function, shapes: tuple[tuple[int, ...], ...], name: str) -> None:
    with torch.device(name):
        generator = np.random.default_rng(5)
        inputs = [
            torch.tensor(generator.uniform(0.3, 1.7, shape), requires_grad=True) for shape in shapes
        ]
        assert torch.autograd.gradcheck(function, inputs)
        if name == "reference":
            assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("function", PIECEWISE_CONSTANT.values(), ids=lambda f: "FLOOR")
def test_piecewise_constant(function: Function) -> None:
    x = torch.tensor([0.5, 1.5], requires_grad=True)
    (found,) = torch.autograd.grad((function(x) + x).sum(), x)
    assert found.tolist() == [1.0, 1.0]
    (found,) = torch.autograd.grad(function(x).sum(), x)
    assert found.tolist() == [0.0, 0.0]


def test_no_gradient_through_comparisons_and_bits() -> None:
    x = torch.tensor([0.5, 1.5], requires_grad=True)
    assert not record(op.LT, (x, x)).requires_grad
    assert not record(op.EQ, (x, x)).requires_grad
    assert not record(op.BITCAST, (x,), (dtypes.int32,)).requires_grad


def test_detach_cuts() -> None:
    """Also where the detached tensor is the first to be read."""
    x = torch.tensor([2.0], requires_grad=True)
    (found,) = torch.autograd.grad((x.detach() * x).sum(), x)
    assert found.tolist() == [2.0]


def test_sine_gradient_of_large_angles() -> None:
    """Not sin(π/2 - x), which loses the bits of a large x."""
    x = torch.tensor([1000.0, 12345.0], requires_grad=True)
    (found,) = torch.autograd.grad(x.sin().sum(), x)
    np.testing.assert_allclose(found.numpy(), np.cos([1000.0, 12345.0]), atol=3e-7)


@pytest.mark.parametrize("zeros", [(), (0,), (0, 2)])
def test_scatter_mul(zeros: tuple[int, ...]) -> None:
    """Each factor's gradient is the product of the others, also where some factors are 0."""
    values = [2.0, 3.0, 5.0, 7.0]
    for place in zeros:
        values[place] = 0.0
    x = torch.tensor(values[:1], requires_grad=True)
    y = torch.tensor(values[1:], requires_grad=True)
    record(op.SCATTER, (x, indices(0, 0, 0), y), (0, "mul")).sum().backward()
    found = [*x.grad.tolist(), *y.grad.tolist()]
    assert found == [math.prod(values[:i] + values[i + 1 :]) for i in range(4)]


def test_a_view_that_was_read_before_may_become_a_leaf() -> None:
    x = torch.arange(4.0).reshape(2, 2)
    assert (x * 2).sum().item() == 12.0
    x.requires_grad_()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [[3, 3], [3, 3]]


def test_views_of_a_detached_leaf_reach_it() -> None:
    x = torch.arange(4.0)
    for made in (x.detach(), x[1:].detach(), x.view(2, 2).detach()):
        leaf = made.requires_grad_()
        (leaf[0] * 3).sum().backward()
        assert leaf.grad is not None
        assert leaf.grad[0].sum().item() == 3.0 * leaf[0].numel()
    assert x.grad is None
    shared = x.detach().requires_grad_()
    with torch.no_grad():
        shared += 1
    assert x.tolist() == [1.0, 2.0, 3.0, 4.0]
