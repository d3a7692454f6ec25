"""Sort: a row becomes words, which are sorted in the thread's scratch memory (see sort_ir.py).

A word holds an element's key, an unsigned number of the same order, above its position: no two
are equal, and sorting them is stable by itself. Keys of up to 32 bits make words of 64, the others
words of 128.
"""

from __future__ import annotations

from flambeau.device.cpu import sort_ir
from flambeau.device.cpu.choose import LANES
from flambeau.device.cpu.emit import (
    INDEX,
    REGISTER_TYPES,
    Emitter,
    Operand,
    counting,
    float_literal,
    vector_literal,
    vector_type,
)
from flambeau.device.cpu.values import Values
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.kernel.ir import Sort, stride_of
from flambeau.kernel.tile import reachable


def render(emitter: Emitter, values: Values, statement: Sort) -> int:
    """Write the sort of one row; returns the bytes of scratch memory that it needs."""
    extent, count = statement.axis.extent, statement.count
    if not count:
        return 0
    packed = statement.source.dtype.itemsize <= 4 and extent < 2**32
    word = "i64" if packed else "i128"
    selecting = count < extent
    emitter.declarations.update(dict.fromkeys(sort_ir.declarations()))
    emitter.declarations[sort_ir.functions(word, selecting)] = None
    room = (extent + sort_ir.ROOM) * (8 if packed else 16)
    other = emitter.element("i8", "%scratch", room)
    _fill(emitter, values, statement, word)
    given = f"ptr %scratch, ptr {other}, i64 {extent}"
    if selecting:
        given += f", i64 {statement.first}, i64 {count}"
    function = "select" if selecting else "order"
    done = emitter.let(f"call ptr @{function}_{word}({given})")
    _write_out(emitter, values, statement, done, word)
    return 2 * room


def _fill(emitter: Emitter, values: Values, statement: Sort, word: str) -> None:
    """Write the row's words into the scratch memory: vectors of them where it lies in a row."""
    axis = statement.axis
    lanes = 1 if not _in_a_row(values, statement) else LANES if word == "i64" else LANES // 2
    whole = axis.extent // lanes * lanes
    if whole:
        loop = emitter.open_loop(0, whole, lanes, (), lanes, None)
        _fill_step(emitter, values, statement, word, loop.index, lanes)
        emitter.close_loop(loop)
    if whole < axis.extent:
        loop = emitter.open_loop(whole, axis.extent)
        _fill_step(emitter, values, statement, word, loop.index, 1)
        emitter.close_loop(loop)


def _in_a_row(values: Values, statement: Sort) -> bool:
    loads = [each for each in reachable([statement.source]) if each.op == "load"]
    return all(stride_of(each.args[0], statement.axis) in (0, 1) for each in loads)


def _fill_step(
    emitter: Emitter, values: Values, statement: Sort, word: str, index: str, lanes: int
) -> None:
    place = counting(index, lanes) if lanes > 1 else Operand(index, INDEX)
    values.bind(statement.axis, place)
    found = values.value(statement.source)
    element = Operand(emitter.spread(found, lanes), found.dtype, lanes)
    key = order_key(emitter, element, statement.descending)
    low = emitter.spread(place, lanes)
    target = emitter.element(word, "%scratch", index)
    if word != "i64" and lanes > 1:
        halves = f"<{lanes} x i64> {low}, <{lanes} x i64> {key}"
        order = [lane + lanes * half for lane in range(lanes) for half in (0, 1)]
        places = f"<{2 * lanes} x i32> {vector_literal('i32', order)}"
        whole = emitter.let(f"shufflevector {halves}, {places}")
        emitter.line(f"store <{2 * lanes} x i64> {whole}, ptr {target}, align 8")
        return
    narrow, kind = (vector_type(each, lanes) for each in (key_type(found.dtype), word))
    high = emitter.let(f"zext {narrow} {key} to {kind}")
    high = emitter.let(f"shl {kind} {high}, {_every(32 if word == 'i64' else 64, word, lanes)}")
    if word != "i64":
        low = emitter.let(f"zext i64 {low} to {word}")
    whole = emitter.let(f"or {kind} {high}, {low}")
    emitter.line(f"store {kind} {whole}, ptr {target}, align 8")


def _write_out(emitter: Emitter, values: Values, statement: Sort, done: str, word: str) -> None:
    base, stride = values.value(statement.base), values.value(statement.stride)
    loop = emitter.open_loop(0, statement.count)
    place = emitter.element(word, done, loop.index)  # the position is in the lower half
    mask = "4294967295" if word == "i64" else "-1"
    position = emitter.let(f"and i64 {emitter.let(f'load i64, ptr {place}')}, {mask}")
    values.bind(statement.axis, Operand(position, INDEX))
    step = emitter.let(f"mul i64 {loop.index}, {stride.name}")
    target = emitter.let(f"add i64 {base.name}, {step}")
    if statement.values is not None:
        values.store_at(statement.values, target, values.value(statement.source))
    if statement.indices is not None:
        values.store_at(statement.indices, target, Operand(position, dtypes.int64))
    emitter.close_loop(loop)


# keys -------------------------------------------------------------------------------------------


def key_type(dtype: DType) -> str:
    """The LLVM type of a key."""
    return "i64" if dtype.itemsize == 8 else "i32"


def _every(number: int, kind: str, lanes: int) -> str:
    """A number in every lane."""
    return str(number) if lanes == 1 else f"splat ({kind} {number})"


def order_key(emitter: Emitter, x: Operand, descending: bool) -> str:
    """Unsigned numbers (see key_type) in the order of values; NaN is the greatest."""
    kind = key_type(x.dtype)
    whole = vector_type(kind, x.lanes)
    key = _float_key(emitter, x) if x.dtype.is_floating_point else _integer_key(emitter, x)
    if descending:
        key = emitter.let(f"xor {whole} {key}, {_every(-1, kind, x.lanes)}")
    return key


def _float_key(emitter: Emitter, x: Operand) -> str:
    scalar, lanes = key_type(x.dtype), x.lanes
    kind, register = vector_type(scalar, lanes), emitter.typed(x)
    bits = int(scalar[1:])
    zero = emitter.splat(REGISTER_TYPES[x.dtype.name], float_literal(0.0), lanes)
    plain = emitter.let(f"fadd {register} {x.name}, {zero}")  # -0.0 is 0.0
    raw = emitter.let(f"bitcast {register} {plain} to {kind}")
    nan = emitter.let(f"fcmp uno {register} {x.name}, {x.name}")
    greatest = _every((1 << (bits - 1)) - 1, scalar, lanes)
    test = vector_type("i1", lanes)
    raw = emitter.let(f"select {test} {nan}, {kind} {greatest}, {kind} {raw}")
    sign = emitter.let(f"ashr {kind} {raw}, {_every(bits - 1, scalar, lanes)}")
    flip = emitter.let(f"or {kind} {sign}, {_every(-(1 << (bits - 1)), scalar, lanes)}")
    return emitter.let(f"xor {kind} {raw}, {flip}")


def _integer_key(emitter: Emitter, x: Operand) -> str:
    dtype, scalar = x.dtype, key_type(x.dtype)
    kind, register = vector_type(scalar, x.lanes), emitter.typed(x)
    name = x.name
    if register != kind:
        how = "sext" if dtype.is_signed else "zext"
        name = emitter.let(f"{how} {register} {name} to {kind}")
    if dtype.is_signed:
        least = -(1 << (int(scalar[1:]) - 1))
        name = emitter.let(f"xor {kind} {name}, {_every(least, scalar, x.lanes)}")
    return name
