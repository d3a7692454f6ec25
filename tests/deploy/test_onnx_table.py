"""Every primitive in ONNX, in each of its dtypes, against onnx's reference and onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from onnx_tools import arrays, by_reference, by_runtime, close, exported, kinds

import flambeau as torch
from flambeau.deploy.onnx import table
from flambeau.graph import op
from flambeau.tensor.record import record

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("uint8", "int8", "int16", "int32", "uint32", "int64")
NUMBERS = (*FLOATS, *INTEGERS)
ALL = ("bool", *NUMBERS)


class Case(NamedTuple):
    """A call of one primitive: dtypes of its arrays, their shapes, attributes and scalars."""

    operation: Any
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    attrs: Any = ()
    scalars: tuple[Any, ...] = ()
    index: int | None = None  # which input is an index, below this
    bound: int = 0
    positive: bool = False
    opset: int = 18


def one(operation: Any, dtypes: tuple[str, ...], *rest: Any, **more: Any) -> Case:
    return Case(operation, dtypes, ((2, 3, 4),), *rest, **more)


def two(operation: Any, dtypes: tuple[str, ...], **more: Any) -> Case:
    return Case(operation, dtypes, ((2, 3, 4), (3, 1)), **more)


def _conv(mode: str, shapes: Any, spatial: Any = ()) -> Case:
    attrs = (mode, (2, 1), ((1, 0), (1, 2)), (1, 2), 2, spatial)
    return Case(op.CONV, ("float32", "float64"), shapes, attrs)


CASES = [
    one(op.NEG, (*FLOATS, "int8", "int16", "int32", "int64")),
    one(op.SQRT, FLOATS, positive=True),
    one(op.EXP, FLOATS),
    one(op.LOG, FLOATS, positive=True),
    one(op.SIN, FLOATS),
    one(op.COS, FLOATS),
    one(op.TAN, FLOATS),
    one(op.FLOOR, FLOATS),
    two(op.ADD, ALL),
    two(op.MUL, ALL),
    Case(op.FMA, FLOATS, ((2, 3, 4), (3, 1), (4,))),
    two(op.DIV, FLOATS, positive=True),
    two(op.IDIV, INTEGERS, positive=True),
    two(op.MOD, ("float32", "float64", *INTEGERS), positive=True),
    two(op.MAX, ALL),
    two(op.LT, ALL),
    two(op.EQ, ALL),
    two(op.AND, ("bool", *INTEGERS)),
    two(op.OR, ("bool", *INTEGERS)),
    two(op.XOR, ("bool", *INTEGERS)),
    two(op.SHL, INTEGERS, positive=True),
    two(op.SHR, INTEGERS, positive=True),
    one(op.BITCAST, ("float32",), (torch.int32,), opset=26),
    one(op.BITCAST, ("int16",), (torch.float16,), opset=26),
    *[one(op.REDUCE, NUMBERS, (kind, (0, 2))) for kind in ("add", "mul", "max")],
    *[one(op.SCAN, NUMBERS, (kind, 1)) for kind in ("add", "mul", "max")],
    Case(op.MATMUL, NUMBERS, ((2, 3, 4), (4, 5))),
    _conv("forward", ((2, 4, 6, 7), (6, 2, 3, 2))),
    _conv("input", ((2, 6, 3, 8), (6, 2, 3, 2)), (6, 7)),
    _conv("weight", ((2, 4, 6, 7), (2, 6, 3, 8)), (3, 2)),
    one(op.RESHAPE, ALL, ((4, 6),)),
    one(op.PERMUTE, ALL, ((2, 0, 1),)),
    Case(op.EXPAND, ALL, ((3, 1),), ((2, 3, 4),)),
    one(op.PAD, ALL, ((4, 9, 5), (1, 3, 1), 0), (1, 1, 0)),
    one(op.PAD, ("float32",), ((2, 8, 7), (1, -2, -1), "0x1.0p-1"), (0, 6, 4)),
    one(op.SLICE, ALL, ((1, 2, 2), (1, -2, 2)), (1, 2, 1)),
    one(op.WINDOW, ALL, ((0, 2), (2, 2), (1, 1), (1, 2))),
    Case(op.CAT, ALL, ((2, 3), (2, 1), (2, 3)), (1,)),
    Case(op.GATHER, ALL, ((2, 3, 4), (5, 2)), (1,), (), 1, 3),
    *[
        Case(op.SCATTER, NUMBERS, ((2, 5, 3), (2, 1), (2, 2, 1, 3)), (1, mode), (), 1, 5)
        for mode in ("set", "add", "mul", "max")
    ],
    *[
        Case(op.SCATTER, ("float32", "int64"), ((2, 5), (2, 3), (2, 3)), (1, mode, True), (), 1, 5)
        for mode in ("add", "max")
    ],
    Case(
        op.ASSIGN,
        ALL,
        ((4, 6), (3, 2)),
        ((("SLICE", (2, 3), (2, 2)), ("PERMUTE", (1, 0))),),
        (1, 0),
    ),
    Case(op.ASSIGN, ("float32",), ((2, 3), (2, 3)), ((),)),
    Case(op.MATERIALIZE, ("float32",), ((2, 3),)),
    Case(op.DETACH, ("float32",), ((2, 3),)),
]

MULTIPLE: list[Case] = [
    one(op.SORT, ("float32", "float64", *INTEGERS), (1, False)),
    one(op.SORT, ("float32", "int64"), (1, True, 1, 2)),
    *[
        Case(op.ATTENTION, ("float32", "float64"), shapes, (causal, 0.5))
        for causal in (False, True)
        for shapes in (((2, 5, 4), (2, 6, 4), (2, 6, 3)), ((2, 5, 4), (6, 4), (6, 3), (5, 6)))
    ],
]


def _values(case: Case, dtype: str) -> list[Any]:
    rng = np.random.default_rng(0)
    made = []
    for number, shape in enumerate(case.shapes):
        if number == case.index:
            made.append(torch.from_numpy(np.arange(np.prod(shape)).reshape(shape) % case.bound))
            continue
        array = rng.integers(1 if case.positive else -4, 5, shape).astype(np.float64)
        if dtype in FLOATS:
            array = array + rng.integers(0, 8, shape) / 8
        if dtype.startswith("u"):
            array = np.abs(array)
        made.append(torch.from_numpy(array).to(getattr(torch, dtype)))
    return made


def _id(case: Case) -> str:
    return f"{case.operation.name}-{case.attrs}".replace(" ", "")[:60]


RUNTIME_LACKS = {
    ("bfloat16", "*"),
    ("float64", "CONV"),
    ("uint32", "EXPAND"),
    ("uint32", "CAT"),
}
"""What onnxruntime's CPU provider does not have, though ONNX has: only the reference runs it."""


def _check(case: Case, dtype: str) -> None:
    values = _values(case, dtype)

    def run(*inputs: Any) -> Any:
        return record(case.operation, inputs, case.attrs, case.scalars)

    proto = exported(run, tuple(values), opset_version=case.opset, do_constant_folding=False)
    expected = arrays(run(*values))
    tolerance = {"float16": 2e-3, "bfloat16": 2e-2}.get(dtype, 1e-5)
    name = case.operation.name
    if (name, case.attrs[:1]) != ("CONV", ("input",)):  # onnx's evaluator fails with groups
        close(by_reference(proto, values), expected, tolerance)
    if case.attrs[:1] == (torch.bfloat16,):
        return
    if not RUNTIME_LACKS & {(dtype, "*"), (dtype, name)} and case.opset <= 24:
        close(by_runtime(proto, values), expected, tolerance)


@pytest.mark.parametrize("case", CASES + MULTIPLE, ids=_id)
def test_a_primitive_gives_the_same_values_in_onnx(case: Case) -> None:
    for dtype in case.dtypes:
        _check(case, dtype)


@pytest.mark.parametrize("target", ALL)
def test_casts(target: str) -> None:
    for source in ("bool", "uint8", "int64", "float32", "float64"):
        _check(Case(op.CAST, (source,), ((3, 4),), (getattr(torch, target),)), source)


@pytest.mark.parametrize("dtype", ALL)
def test_where(dtype: str) -> None:
    condition = torch.tensor([[True], [False]])
    values = (condition, *_values(two(op.WHERE, (dtype,)), dtype))

    def run(chosen: Any, x: Any, y: Any) -> Any:
        return record(op.WHERE, (chosen.reshape(2, 1, 1), x, y))

    proto = exported(run, values)
    close(by_reference(proto, values), arrays(run(*values)))
    if dtype != "bfloat16":
        close(by_runtime(proto, values), arrays(run(*values)))


def test_every_rule_is_tested_here() -> None:
    tested = {case.operation for case in CASES + MULTIPLE} | {op.CAST, op.WHERE, op.CONST, op.IOTA}
    assert set(table.PRIMITIVES) <= tested


REFUSED: list[tuple[Callable[..., Any], str | None]] = [
    (lambda x: torch.complex(x, x).abs(), "complex"),
    (lambda x: torch.linalg.inv(x[:2, :2]), "runs on the host"),
    (lambda x: x + torch.randn(2, 3), "a random number"),
    (lambda x: x[x > 0.5], "an operation on the host"),
    (lambda x: x.round().nonzero() + 1, "an operation on the host"),
    (lambda x: x.round().unique(), "an operation on the host"),
    (lambda x: torch.tensor([[2 * each for each in row] for row in x.tolist()]) + x, None),
    (lambda x: x.view(torch.int32), "opset_version=26"),
]


@pytest.mark.parametrize(("model", "message"), REFUSED)
def test_what_cannot_be_written_is_refused_by_name(model: Any, message: str) -> None:
    if message is None:  # a constant, as for PyTorch's tracer
        with pytest.warns(torch.jit.TracerWarning, match="reads values"):
            exported(model, torch.rand(2, 3))
        return
    with pytest.raises(torch.onnx.OnnxExporterError, match=message) as caught:
        exported(model, torch.rand(2, 3))
    assert "test_onnx_table.py" in str(caught.value)


COMPOSITES: list[tuple[str, Callable[..., Any], list[str]]] = [
    ("tanh", torch.tanh, ["Tanh"]),
    ("erf", torch.erf, ["Erf"]),
    ("exp2", torch.exp2, ["Pow"]),
    ("log2", lambda x: x.abs().log2(), ["Abs", "Log", "Mul"]),
    ("signbit", lambda x: (x * 0).signbit(), ["Mul", "Equal", "Reciprocal", "Where", "Less"]),
    ("pow", lambda x: x.abs() ** 1.7, ["Abs", "Pow"]),
    ("clamp", lambda x: x.clamp(-0.5, 0.5), ["Clip"]),
    ("clamp_min", lambda x: x.clamp(min=0.1), ["Clip"]),
    ("clamp by arrays", lambda x: x.clamp(x * 0.5, x + 1), ["Mul", "Add", "Max", "Min"]),
    ("relu", torch.relu, ["Relu"]),
    ("leaky_relu", lambda x: torch.nn.functional.leaky_relu(x, 0.2), ["LeakyRelu"]),
    ("elu", lambda x: torch.nn.functional.elu(x, 0.7), ["Elu"]),
    ("selu", torch.nn.functional.selu, ["Selu"]),
    ("silu", torch.nn.functional.silu, ["Sigmoid", "Mul"]),
    ("mish", torch.nn.functional.mish, ["Mish"]),
    ("softplus", torch.nn.functional.softplus, ["Softplus"]),
    ("relu6", torch.nn.functional.relu6, ["Clip"]),
    ("hardsigmoid", torch.nn.functional.hardsigmoid, ["HardSigmoid"]),
    ("hardswish", torch.nn.functional.hardswish, ["HardSwish"]),
    ("softsign", torch.nn.functional.softsign, ["Softsign"]),
    ("log_softmax", lambda x: x.log_softmax(0), ["LogSoftmax"]),
    ("sum", lambda x: x.sum(1), ["ReduceSum"]),
    ("mean", lambda x: x.mean((0, 2), keepdim=True), ["ReduceMean"]),
    ("amin", lambda x: x.amin(1), ["ReduceMin"]),
    ("max", lambda x: x.max(1), ["ReduceMax", "ArgMax"]),
    ("argmin", lambda x: x.argmin(1), ["ArgMin"]),
    ("fmod", lambda x: x.fmod(0.7), ["Mod"]),
    ("round", torch.round, ["Round"]),
    ("ne", lambda x: x != x.round(), ["Round", "Equal", "Not"]),
    ("le", lambda x: x <= 0.3, ["LessOrEqual"]),
    ("matmul", lambda x: x @ x.mT, ["Transpose", "MatMul"]),
    ("gather", lambda x: x.gather(1, (x > 0).long()), ["Less", "Cast", "GatherElements"]),
    ("reflect", lambda x: torch.nn.functional.pad(x, (2, 1), "reflect"), ["Pad"]),
    ("constant", lambda x: torch.nn.functional.pad(x, (2, -1), value=3.0), ["Slice", "Pad"]),
    ("layer_norm", lambda x: torch.nn.functional.layer_norm(x, (4,)), ["LayerNormalization"]),
    ("instance_norm", torch.nn.functional.instance_norm, ["InstanceNormalization"]),
    ("max_pool", lambda x: torch.nn.functional.max_pool1d(x, 2), ["MaxPool"]),
    ("avg_pool", lambda x: torch.nn.functional.avg_pool1d(x, 3, 1, 1), ["AveragePool"]),
]


@pytest.mark.parametrize(("name", "model", "operators"), COMPOSITES)
def test_an_operation_of_the_api_is_onnx_operators(
    name: str, model: Callable[..., Any], operators: list[str]
) -> None:
    values = (torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, 4)).astype("f4")),)
    proto = exported(model, values)
    assert kinds(proto) == operators, name
    expected = arrays(model(*values))
    close(by_reference(proto, values), expected)
    close(by_runtime(proto, values), expected)


EXPANDED: list[Callable[..., Any]] = [
    torch.nn.functional.gelu,
    lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    lambda x: torch.logsumexp(x, 1),
    lambda x: x.std(1),
    lambda x: x.cumprod(2),
    lambda x: x.tril(),
    lambda x: torch.nn.functional.normalize(x, dim=1),
    lambda x: torch.einsum("abc,adc->abd", x, x),
    lambda x: x.topk(2, 1),
    lambda x: x.roll(1, 2),
    lambda x: x.repeat(2, 1, 3),
    lambda x: x[:, [2, 0], ::2],
    lambda x: x[:, 1:].flip(2),
    lambda x: torch.nn.functional.interpolate(x, scale_factor=2, mode="linear"),
    lambda x: torch.nn.functional.avg_pool1d(x, 2, 1, 1, count_include_pad=False, ceil_mode=True),
    lambda x: torch.nn.functional.adaptive_avg_pool1d(x, 3),
    lambda x: torch.nn.functional.max_pool1d(x, 3, 2, 1, return_indices=True),
    lambda x: torch.nn.functional.one_hot((x > 0).long(), 3),
    lambda x: torch.nn.functional.cross_entropy(x, (x[:, 0] > 0).long()),
    lambda x: torch.nn.functional.group_norm(x, 3),
    lambda x: torch.where(x > 0, x, x.abs().sqrt()).unfold(2, 2, 1),
    lambda x: x.masked_fill(x < 0, 7.0).nan_to_num(),
    lambda x: (x * 5).to(torch.int64) // 2 % 3 << 2,
]


@pytest.mark.parametrize("number", range(len(EXPANDED)))
def test_what_onnx_has_no_operator_for_is_made_of_primitives(number: int) -> None:
    model = EXPANDED[number]
    values = (torch.from_numpy(np.random.default_rng(2).normal(size=(2, 3, 4)).astype("f4")),)
    proto = exported(model, values)
    expected = arrays(model(*values))
    close(by_reference(proto, values), expected)
    close(by_runtime(proto, values), expected)
