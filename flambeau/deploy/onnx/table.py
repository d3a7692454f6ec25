"""The table: what each operation is in ONNX.

`PRIMITIVES` has every primitive that can be written, `REASONS` says why the others cannot, and
`COMPOSITES` has the operations of the API for which ONNX has an operator; all other composites are
written as the primitives of their expansion. A rule that returns None leaves the step to that, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from flambeau.deploy.onnx import contraction as c
from flambeau.deploy.onnx import elementwise as e
from flambeau.deploy.onnx import layers, movement
from flambeau.deploy.onnx.steps import Step
from flambeau.deploy.onnx.writer import Value, Writer
from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.ops import (
    activation,
    arithmetic,
    comparison,
    embedding,
    extremes,
    gather,
    math,
    philox,
    pool,
    power,
    recurrent,
    reduce,
    resize,
    rounding,
    softmax,
    trigonometry,
)
from flambeau.ops import conv as conv_ops
from flambeau.ops import matmul as matmul_ops
from flambeau.ops import norm as norm_ops
from flambeau.ops import pad as pad_ops


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule, the opset that has its operators, and which dtypes are computed in wider ones.

    widens: "small" (integers below 32 bits and uint32, in int64), "bool" (in int32), "brain"
    (bfloat16, in float32), "half" (float16, too); results have the narrow dtype again.
    """

    rule: e.Rule
    since: int = 13
    widens: str = ""
    takes: int | None = None  # of how many inputs the others are only the loop or table; None: all


def _wide(dtype: DType, widens: str) -> DType | None:
    if dtype.kind == "bool":
        return dtypes.int32 if "bool" in widens else None
    if dtype.is_floating_point:
        names = ("half", "brain") if dtype is dtypes.bfloat16 else ("half",)
        narrow = dtype.itemsize == 2 and any(each in widens for each in names)
        return dtypes.float32 if narrow else None
    small = dtype.itemsize < 4 or dtype is dtypes.uint32
    return dtypes.int64 if small and "small" in widens else None


def _run(entry: Entry) -> Callable[[Writer, Step], Any]:
    """The entry's rule, in the dtypes that it can use."""

    def run(w: Writer, s: Step) -> Any:
        looked = s.inputs[: entry.takes]
        narrow = looked[-1].dtype if looked else s.dtype
        wide = _wide(narrow, entry.widens)
        if wide is None:
            return entry.rule(w, s)

        def widened(dtype: DType) -> DType:
            return wide if dtype is narrow else dtype

        inputs = [w.cast(each, widened(each.dtype)) for each in s.inputs]
        inner = replace(s, inputs=inputs, dtypes=[widened(each) for each in s.dtypes])
        made = entry.rule(w, inner)
        if made is None:
            return None
        if isinstance(made, Value):
            return w.cast(made, s.dtype)
        return tuple([w.cast(each, dtype) for each, dtype in zip(made, s.dtypes, strict=True)])

    return run


def _or(kind: str) -> e.Rule:
    """An operator of numbers, and of truth values the one that means the same."""
    return e.by_kind(e.plain(kind), e.plain({"Mul": "And"}.get(kind, "Or")))


def _bits(kind: str) -> e.Rule:
    """Of truth values there always were operators; of the bits of integers since opset 18."""

    def integers(w: Writer, s: Step) -> Value:
        if w.opset < 18:
            raise s.refuse("of integers it needs opset_version=18 or later")
        return w.emit(f"Bitwise{kind}", s.inputs, s.dtype, s.shape)

    return e.by_kind(integers, e.plain(kind))


def _of(function: Any) -> Any:
    """The operation that a @composite records."""
    return function.operation


PRIMITIVES: dict[Any, Entry] = {
    op.CONST: Entry(e.const),
    op.IOTA: Entry(e.iota),
    op.NEG: Entry(e.plain("Neg"), widens="small"),
    op.SQRT: Entry(e.plain("Sqrt")),
    op.EXP: Entry(e.plain("Exp")),
    op.LOG: Entry(e.plain("Log")),
    op.SIN: Entry(e.plain("Sin"), widens="brain"),
    op.COS: Entry(e.plain("Cos"), widens="brain"),
    op.TAN: Entry(e.tangent, widens="half"),
    op.FLOOR: Entry(e.plain("Floor")),
    op.CAST: Entry(e.cast),
    op.BITCAST: Entry(e.bitcast, since=26),
    op.ADD: Entry(_or("Add"), widens="small"),
    op.MUL: Entry(_or("Mul"), widens="small"),
    op.FMA: Entry(e.multiply_add, widens="half"),
    op.DIV: Entry(e.plain("Div")),
    op.IDIV: Entry(e.floor_divide, widens="small"),
    op.MOD: Entry(e.remainder, widens="small"),
    op.MAX: Entry(_or("Max"), widens="small"),
    op.LT: Entry(e.by_kind(e.plain("Less"), e.less_of_bools), widens="small"),
    op.EQ: Entry(e.plain("Equal"), widens="small"),
    op.AND: Entry(_bits("And")),
    op.OR: Entry(_bits("Or")),
    op.XOR: Entry(_bits("Xor")),
    op.SHL: Entry(e.shift_left),
    op.SHR: Entry(e.shift_right),
    op.WHERE: Entry(e.by_kind(e.plain("Where"), e.where_of_bools), widens="small"),
    op.REDUCE: Entry(c.reduce, widens="small bool half"),
    op.SCAN: Entry(c.scan, since=14, widens="small bool half"),
    op.SORT: Entry(c.sort, widens="small bool brain"),
    op.MATMUL: Entry(e.plain("MatMul"), widens="small brain"),
    op.CONV: Entry(c.conv, widens="brain"),
    op.ATTENTION: Entry(c.attention, widens="brain"),
    op.RESHAPE: Entry(movement.reshape),
    op.PERMUTE: Entry(movement.permute),
    op.EXPAND: Entry(movement.expand),
    op.PAD: Entry(movement.pad, widens="small bool brain"),
    op.SLICE: Entry(movement.slice_),
    op.WINDOW: Entry(movement.window),
    op.CAT: Entry(movement.cat),
    op.GATHER: Entry(movement.gather),
    op.SCATTER: Entry(movement.scatter, widens="small bool half"),
    op.ASSIGN: Entry(movement.assign, widens="small"),
}
"""How primitives are written."""

WALKED = frozenset(
    (
        *(op.BUFFER, op.MATERIALIZE, op.COPY, op.DETACH, op.FUNCTION, op.GRAFT, op.PICK),
        op.ATTENTION_BACKWARD,
    )
)
"""Primitives that the walk itself resolves, see steps.py."""

_COMPLEX = "ONNX's operators do not compute with complex numbers: use the parts"
REASONS: dict[Any, str] = {
    op.REAL: _COMPLEX,
    op.IMAG: _COMPLEX,
    op.COMPLEX_OF: _COMPLEX,
    op.CALL: "it runs on the host in Python (linear algebra, fft, user kernels)",
}
"""Why the other primitives cannot be written."""

_TRIGONOMETRY = {
    trigonometry._atan: "Atan",
    trigonometry._asin: "Asin",
    trigonometry._acos: "Acos",
    trigonometry._tanh: "Tanh",
    trigonometry._sinh: "Sinh",
    trigonometry._cosh: "Cosh",
    trigonometry._asinh: "Asinh",
    trigonometry._acosh: "Acosh",
    trigonometry._atanh: "Atanh",
}

COMPOSITES: dict[Any, Entry] = {
    **{
        formula: Entry(e.floats_only(name), widens="brain")
        for formula, name in _TRIGONOMETRY.items()
    },
    math._exp2: Entry(e.exp2, widens="brain"),
    math._log2: Entry(e.log2, widens="brain"),
    math._log10: Entry(e.log10, widens="brain"),
    math._log1p: Entry(e.log1p, widens="brain"),
    math._expm1: Entry(e.expm1, widens="brain"),
    trigonometry._atan2: Entry(e.atan2, widens="brain"),
    math._logaddexp: Entry(e.logaddexp, widens="brain"),
    math._erfc: Entry(e.erfc, widens="brain"),
    comparison._signbit: Entry(e.signbit, widens="brain"),
    math._erf: Entry(e.floats_only("Erf"), widens="brain"),
    power._pow: Entry(e.floats_only("Pow"), widens="brain"),
    power._integer_pow: Entry(e.plain("Pow"), widens="small"),
    rounding._abs: Entry(e.plain("Abs"), widens="small"),
    rounding._sign: Entry(e.floats_only("Sign")),
    rounding._ceil: Entry(e.floats_only("Ceil")),
    rounding._round: Entry(e.floats_only("Round"), widens="brain"),
    rounding._clamp: Entry(e.clamp, widens="small"),
    arithmetic._sub: Entry(e.plain("Sub"), widens="small"),
    arithmetic._fmod: Entry(e.plain("Mod", fmod=1)),
    arithmetic._reciprocal: Entry(e.floats_only("Reciprocal")),
    comparison._ne: Entry(e.unequal, widens="small"),
    comparison._le: Entry(e.plain("LessOrEqual"), since=16, widens="small bool"),
    comparison._minimum: Entry(e.by_kind(e.plain("Min"), e.plain("And")), widens="small"),
    comparison._isnan: Entry(e.floats_only("IsNaN")),
    comparison._isinf: Entry(e.infinite),
    activation._relu: Entry(e.floats_only("Relu")),
    activation._leaky_relu: Entry(e.leaky_relu, widens="brain"),
    activation._elu: Entry(e.elu, widens="brain"),
    activation._sigmoid: Entry(e.floats_only("Sigmoid"), widens="brain"),
    activation._silu: Entry(e.silu, widens="brain"),
    activation._mish: Entry(e.floats_only("Mish"), since=18, widens="brain"),
    activation._softplus: Entry(e.softplus, widens="brain"),
    activation._gelu: Entry(e.gelu, widens="brain"),
    activation._hardtanh: Entry(e.hardtanh, widens="small"),
    activation._hardsigmoid: Entry(
        e.floats_only("HardSigmoid", alpha=1 / 6, beta=0.5), widens="brain"
    ),
    activation._hardswish: Entry(e.floats_only("HardSwish"), since=14, widens="brain"),
    activation._softsign: Entry(e.floats_only("Softsign"), widens="brain"),
    softmax._softmax: Entry(c.over_axis("Softmax"), widens="brain"),
    softmax._log_softmax: Entry(c.over_axis("LogSoftmax"), widens="brain"),
    reduce._sum: Entry(c.reducer("ReduceSum")),
    reduce._mean: Entry(c.reducer("ReduceMean")),
    reduce._prod: Entry(c.reducer("ReduceProd")),
    extremes._amax: Entry(c.reducer("ReduceMax")),
    extremes._amin: Entry(c.reducer("ReduceMin")),
    extremes._place: Entry(c.place, widens="small brain"),
    extremes._value_and_place: Entry(c.value_and_place),
    _of(matmul_ops._matmul): Entry(e.plain("MatMul"), widens="small brain"),
    _of(matmul_ops._linear): Entry(c.linear, widens="brain"),
    _of(conv_ops.convolution): Entry(c.convolution, widens="brain"),
    _of(conv_ops.transposed_convolution): Entry(c.transposed_convolution, widens="brain"),
    _of(norm_ops.batch_norm_evaluation): Entry(layers.batch_norm, widens="brain"),
    _of(norm_ops._layer_norm): Entry(layers.layer_norm, since=17, widens="brain"),
    _of(norm_ops._instance_norm): Entry(layers.instance_norm, widens="brain"),
    _of(pool.max_windows): Entry(layers.max_pool, widens="brain"),
    _of(pool.mean_windows): Entry(layers.mean_pool, widens="brain"),
    _of(resize._resample): Entry(layers.resample, takes=1),
    _of(resize._taken): Entry(layers.resample, takes=1),
    recurrent._lstm: Entry(layers.recurrent("LSTM"), takes=4, widens="brain"),
    recurrent._gru: Entry(layers.recurrent("GRU"), takes=4, widens="brain"),
    recurrent._plain: Entry(layers.recurrent("RNN"), takes=3, widens="brain"),
    _of(embedding._embedding): Entry(movement.embedding),
    gather.scattered: Entry(c.scatter_along, since=18),
    _of(pad_ops._constant): Entry(movement.constant_pad, widens="small bool"),
    _of(pad_ops._continued): Entry(movement.continued_pad),
    philox._dropout: Entry(e.dropout),
}
"""Operations of the API that are one ONNX operator, or a few."""


def find(operation: Any, opset: int) -> Callable[[Writer, Step], Any] | None:
    """The rule for an operation, where there is one for this opset."""
    entry = PRIMITIVES.get(operation) or COMPOSITES.get(operation)
    if entry is None or opset < entry.since:
        return None
    return _run(entry)


def inputs_taken(operation: Any) -> int | None:
    """How many of its inputs an operation's rule needs, see Entry; None: all."""
    entry = COMPOSITES.get(operation)
    return None if entry is None else entry.takes


def reason(operation: Any, opset: int) -> str:
    """Why a primitive cannot be written."""
    if operation in PRIMITIVES:
        since = PRIMITIVES[operation].since
        return f"it needs opset_version={since} or later, not {opset}"
    return REASONS[operation]
