"""Sort: rows of keys are merge-sorted in the thread's scratch memory.

A key of up to 32 bits is made an unsigned number of the same order and put above the element's
position in one 64-bit word: sorting the words is stable by itself. Keys of 64 bits are sorted as
pairs of key and position.
"""

from __future__ import annotations

from flambeau.device.cpu.emit import INDEX, REGISTER_TYPES, Emitter, Operand, float_literal
from flambeau.device.cpu.values import Values
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.kernel.ir import Sort

_MERGE = """
define internal ptr @{name}(ptr %from, ptr %to, i64 %n) {{
entry:
  br label %pass
pass:
  %a = phi ptr [ %from, %entry ], [ %b, %passed ]
  %b = phi ptr [ %to, %entry ], [ %a, %passed ]
  %width = phi i64 [ 1, %entry ], [ %twice, %passed ]
  %sorted = icmp sge i64 %width, %n
  br i1 %sorted, label %done, label %pairs
pairs:
  %twice = shl i64 %width, 1
  br label %pair
pair:
  %low = phi i64 [ 0, %pairs ], [ %high, %merged ]
  %past = add i64 %low, %width
  %middle = call i64 @llvm.smin.i64(i64 %past, i64 %n)
  %end = add i64 %middle, %width
  %high = call i64 @llvm.smin.i64(i64 %end, i64 %n)
  br label %step
step:
  %i = phi i64 [ %low, %pair ], [ %inext, %step ]
  %j = phi i64 [ %middle, %pair ], [ %jnext, %step ]
  %k = phi i64 [ %low, %pair ], [ %knext, %step ]
  %pl = getelementptr {element}, ptr %a, i64 %i
  %pr = getelementptr {element}, ptr %a, i64 %j
  %left = load i64, ptr %pl
  %right = load i64, ptr %pr
  %ordered = icmp ule i64 %left, %right
  %out = icmp sge i64 %j, %high
  %in = icmp slt i64 %i, %middle
  %either = or i1 %ordered, %out
  %take = and i1 %in, %either
  %source = select i1 %take, ptr %pl, ptr %pr
  %whole = load {element}, ptr %source
  %target = getelementptr {element}, ptr %b, i64 %k
  store {element} %whole, ptr %target
  %one = zext i1 %take to i64
  %inext = add i64 %i, %one
  %zero = sub i64 1, %one
  %jnext = add i64 %j, %zero
  %knext = add i64 %k, 1
  %more = icmp slt i64 %knext, %high
  br i1 %more, label %step, label %merged
merged:
  %rest = icmp slt i64 %high, %n
  br i1 %rest, label %pair, label %passed
passed:
  br label %pass
done:
  ret ptr %a
}}
"""


def render(emitter: Emitter, values: Values, statement: Sort) -> int:
    """Write the sort of one row; returns the bytes of scratch memory that it needs."""
    dtype = statement.source.dtype
    extent = statement.axis.extent
    if extent == 0:
        return 0
    packed = dtype.itemsize <= 4 and extent < 2**32
    element = "i64" if packed else "{ i64, i64 }"
    name = "merge_words" if packed else "merge_pairs"
    emitter.declarations[_MERGE.format(name=name, element=element)] = None
    emitter.declarations["declare i64 @llvm.smin.i64(i64, i64)"] = None
    size = 8 if packed else 16
    room = (extent + 1) * size
    other = emitter.let(f"getelementptr i8, ptr %scratch, i64 {room}")
    fill = emitter.open_loop(0, extent)
    values.bind(statement.axis, Operand(fill.index, INDEX))
    key = order_key(emitter, values.value(statement.source), statement.descending)
    place = emitter.let(f"getelementptr {element}, ptr %scratch, i64 {fill.index}")
    if packed:
        wide = emitter.let(f"zext i32 {key} to i64")
        high = emitter.let(f"shl i64 {wide}, 32")
        emitter.line(f"store i64 {emitter.let(f'or i64 {high}, {fill.index}')}, ptr {place}")
    else:
        emitter.line(f"store i64 {key}, ptr {place}")
        second = emitter.let(f"getelementptr i64, ptr {place}, i64 1")
        emitter.line(f"store i64 {fill.index}, ptr {second}")
    emitter.close_loop(fill)
    done = emitter.let(f"call ptr @{name}(ptr %scratch, ptr {other}, i64 {extent})")
    _write_out(emitter, values, statement, done, packed)
    return 2 * room


def _write_out(emitter: Emitter, values: Values, statement: Sort, done: str, packed: bool) -> None:
    base, stride = values.value(statement.base), values.value(statement.stride)
    loop = emitter.open_loop(0, statement.axis.extent)
    words = f"getelementptr {'i64' if packed else '{ i64, i64 }'}, ptr {done}, i64 {loop.index}"
    place = emitter.let(words)
    if packed:
        word = emitter.let(f"load i64, ptr {place}")
        position = emitter.let(f"and i64 {word}, 4294967295")
    else:
        second = emitter.let(f"getelementptr i64, ptr {place}, i64 1")
        position = emitter.let(f"load i64, ptr {second}")
    values.bind(statement.axis, Operand(position, INDEX))
    step = emitter.let(f"mul i64 {loop.index}, {stride.name}")
    target = emitter.let(f"add i64 {base.name}, {step}")
    if statement.values is not None:
        values.store_at(statement.values, target, values.value(statement.source))
    if statement.indices is not None:
        values.store_at(statement.indices, target, Operand(position, dtypes.int64))
    emitter.close_loop(loop)


def order_key(emitter: Emitter, x: Operand, descending: bool) -> str:
    """An unsigned i32 (i64 for 64-bit dtypes) in the order of values; NaN is the greatest."""
    dtype = x.dtype
    bits = 64 if dtype.itemsize == 8 else 32
    kind = f"i{bits}"
    key = (
        _float_key(emitter, x, kind, bits)
        if dtype.is_floating_point
        else _integer_key(emitter, x.name, dtype, kind, bits)
    )
    return emitter.let(f"xor {kind} {key}, -1") if descending else key


def _float_key(emitter: Emitter, x: Operand, kind: str, bits: int) -> str:
    register = REGISTER_TYPES[x.dtype.name]
    plain = emitter.let(f"fadd {register} {x.name}, {float_literal(0.0)}")  # -0.0 is 0.0
    raw = emitter.let(f"bitcast {register} {plain} to {kind}")
    nan = emitter.let(f"fcmp uno {register} {x.name}, {x.name}")
    greatest = (1 << (bits - 1)) - 1
    raw = emitter.let(f"select i1 {nan}, {kind} {greatest}, {kind} {raw}")
    sign = emitter.let(f"ashr {kind} {raw}, {bits - 1}")
    flip = emitter.let(f"or {kind} {sign}, {-(1 << (bits - 1))}")
    return emitter.let(f"xor {kind} {raw}, {flip}")


def _integer_key(emitter: Emitter, name: str, dtype: DType, kind: str, bits: int) -> str:
    register = REGISTER_TYPES[dtype.name]
    if register != kind:
        how = "sext" if dtype.is_signed else "zext"
        name = emitter.let(f"{how} {register} {name} to {kind}")
    if dtype.is_signed:
        name = emitter.let(f"xor {kind} {name}, {-(1 << (bits - 1))}")
    return name
