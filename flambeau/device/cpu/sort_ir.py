"""Sorting and selecting words, as LLVM IR: functions that kernels with a Sort call.

    order_<word>(from, to, n)                  sorts n words
    select_<word>(from, to, n, first, count)   puts places first … first + count - 1 in order

Both work in two stretches of memory and return where the result lies. A word is an i64 or an i128;
words are different from each other and below the greatest there is. Both stretches have ROOM words
more than n.

Selecting sifts: a sample of the words says between which two the wanted places lie in all
likelihood, and only those between them are kept, as long as that gets rid of an eighth. Where the
sample was wrong, the bounds are made wider, and in the end all is sorted. The sample decides about
time alone: whatever it is, the same words come out.
"""

from __future__ import annotations

from flambeau.device.cpu.emit import vector_literal
from flambeau.device.cpu.sift_ir import sift

ROOM = 128
"""Words behind a row that are used."""

_MERGE = """
define internal ptr @merge_{word}(ptr %from, ptr %to, i64 %start, i64 %n) {{
entry:
  br label %pass
pass:
  %a = phi ptr [ %from, %entry ], [ %b, %passed ]
  %b = phi ptr [ %to, %entry ], [ %a, %passed ]
  %width = phi i64 [ %start, %entry ], [ %twice, %passed ]
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
  %length = sub i64 %high, %low
  %whole = icmp eq i64 %length, %twice
  br i1 %whole, label %both, label %step
both:
  %middle_last = sub i64 %middle, 1
  %high_last = sub i64 %high, 1
  br label %ends
ends:
  %bi = phi i64 [ %low, %both ], [ %binext, %ends ]
  %bj = phi i64 [ %middle, %both ], [ %bjnext, %ends ]
  %bk = phi i64 [ %low, %both ], [ %bknext, %ends ]
  %ei = phi i64 [ %middle_last, %both ], [ %einext, %ends ]
  %ej = phi i64 [ %high_last, %both ], [ %ejnext, %ends ]
  %ek = phi i64 [ %high_last, %both ], [ %eknext, %ends ]
  %bpi = getelementptr {word}, ptr %a, i64 %bi
  %bpj = getelementptr {word}, ptr %a, i64 %bj
  %bx = load {word}, ptr %bpi, align 8
  %by = load {word}, ptr %bpj, align 8
  %bless = icmp ult {word} %bx, %by
  %bleast = select i1 %bless, {word} %bx, {word} %by
  %bpk = getelementptr {word}, ptr %b, i64 %bk
  store {word} %bleast, ptr %bpk, align 8
  %bone = zext i1 %bless to i64
  %binext = add i64 %bi, %bone
  %bsum = add i64 %bj, 1
  %bjnext = sub i64 %bsum, %bone
  %bknext = add i64 %bk, 1
  %epi = getelementptr {word}, ptr %a, i64 %ei
  %epj = getelementptr {word}, ptr %a, i64 %ej
  %ex = load {word}, ptr %epi, align 8
  %ey = load {word}, ptr %epj, align 8
  %emore = icmp ugt {word} %ex, %ey
  %emost = select i1 %emore, {word} %ex, {word} %ey
  %epk = getelementptr {word}, ptr %b, i64 %ek
  store {word} %emost, ptr %epk, align 8
  %eone = zext i1 %emore to i64
  %einext = sub i64 %ei, %eone
  %esum = sub i64 %ej, 1
  %ejnext = add i64 %esum, %eone
  %eknext = sub i64 %ek, 1
  %apart = icmp slt i64 %bknext, %middle
  br i1 %apart, label %ends, label %merged
step:
  %i = phi i64 [ %low, %pair ], [ %inext, %step ]
  %j = phi i64 [ %middle, %pair ], [ %jnext, %step ]
  %k = phi i64 [ %low, %pair ], [ %knext, %step ]
  %pl = getelementptr {word}, ptr %a, i64 %i
  %pr = getelementptr {word}, ptr %a, i64 %j
  %left = load {word}, ptr %pl, align 8
  %right = load {word}, ptr %pr, align 8
  %ordered = icmp ule {word} %left, %right
  %out = icmp sge i64 %j, %high
  %in = icmp slt i64 %i, %middle
  %either = or i1 %ordered, %out
  %take = and i1 %in, %either
  %source = select i1 %take, ptr %pl, ptr %pr
  %taken = load {word}, ptr %source, align 8
  %target = getelementptr {word}, ptr %b, i64 %k
  store {word} %taken, ptr %target, align 8
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

_ORDER_WIDE = """
define internal ptr @order_i128(ptr %from, ptr %to, i64 %n) {
  %done = call ptr @merge_i128(ptr %from, ptr %to, i64 1, i64 %n)
  ret ptr %done
}
"""

_ORDER = """
define internal ptr @order_i64(ptr %from, ptr %to, i64 %n) {
entry:
  %few = icmp slt i64 %n, 24
  br i1 %few, label %plain, label %pad
plain:
  %merged = call ptr @merge_i64(ptr %from, ptr %to, i64 1, i64 %n)
  ret ptr %merged
pad:
  %filled = add i64 %n, 63
  %whole = and i64 %filled, -64
  %padded = icmp eq i64 %n, %whole
  br i1 %padded, label %runs, label %fill
fill:
  %f = phi i64 [ %n, %pad ], [ %fnext, %fill ]
  %fill_at = getelementptr i64, ptr %from, i64 %f
  store i64 -1, ptr %fill_at, align 8
  %fnext = add i64 %f, 1
  %more_fill = icmp slt i64 %fnext, %whole
  br i1 %more_fill, label %fill, label %runs
runs:
  br label %block
block:
  %at = phi i64 [ 0, %runs ], [ %next, %block ]
  %square = getelementptr i64, ptr %from, i64 %at
SQUARE
  %next = add i64 %at, 64
  %more = icmp slt i64 %next, %whole
  br i1 %more, label %block, label %sorted
sorted:
  %done = call ptr @merge_i64(ptr %from, ptr %to, i64 8, i64 %whole)
  ret ptr %done
}
"""

_NETWORK = (
    *((0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (1, 2), (5, 6)),
    *((0, 4), (1, 5), (2, 6), (3, 7), (2, 4), (3, 5), (1, 2), (3, 4), (5, 6)),
)
"""Batcher's odd-even merge sort of eight: pairs of places, of which the first gets the less."""


def _square() -> str:
    """Makes 64 words eight sorted runs: sorts the columns of a square, then turns it."""
    kind = "<8 x i64>"
    lines: list[str] = []

    def let(text: str) -> str:
        lines.append(f"  %s{len(lines)} = {text}")
        return f"%s{len(lines) - 1}"

    places = [let(f"getelementptr i64, ptr %square, i64 {8 * row}") for row in range(8)]
    rows = [let(f"load {kind}, ptr {place}, align 8") for place in places]
    for low, high in _NETWORK:
        pair = f"{kind} {rows[low]}, {kind} {rows[high]}"
        rows[low] = let(f"call {kind} @llvm.umin.v8i64({pair})")
        rows[high] = let(f"call {kind} @llvm.umax.v8i64({pair})")
    for by in (1, 2, 4):
        first = [lane if not lane & by else 8 + lane - by for lane in range(8)]
        second = [lane + by if not lane & by else 8 + lane for lane in range(8)]
        for row in range(8):
            if not row & by:
                pair = f"{kind} {rows[row]}, {kind} {rows[row + by]}"
                rows[row], rows[row + by] = [
                    let(f"shufflevector {pair}, <8 x i32> {vector_literal('i32', order)}")
                    for order in (first, second)
                ]
    for value, place in zip(rows, places, strict=True):
        lines.append(f"  store {kind} {value}, ptr {place}, align 8")
    return "\n".join(lines)


_SELECT = """
define internal ptr @select_{word}(ptr %from, ptr %to, i64 %n, i64 %first, i64 %count) {{
entry:
  %quarter = lshr i64 %count, 2
  %enough = add i64 %count, %quarter
  %few = call i64 @llvm.smax.i64(i64 %enough, i64 64)
  br label %round
round:
  %a = phi ptr [ %from, %entry ], [ %b, %good ], [ %a, %bad ]
  %b = phi ptr [ %to, %entry ], [ %a, %good ], [ %b, %bad ]
  %m = phi i64 [ %n, %entry ], [ %kept, %good ], [ %m, %bad ]
  %f = phi i64 [ %first, %entry ], [ %fnext, %good ], [ %f, %bad ]
  %doubt = phi double [ 2.0, %entry ], [ 2.0, %good ], [ %more_doubt, %bad ]
  %small = icmp sle i64 %m, %few
  br i1 %small, label %sort, label %draw
draw:
  %zeros = call i64 @llvm.ctlz.i64(i64 %m, i1 true)
  %digits = sub i64 64, %zeros
  %half = lshr i64 %digits, 1
  %size = shl i64 1, %half
  %gap = udiv i64 %m, %size
  br label %take
take:
  %t = phi i64 [ 0, %draw ], [ %tnext, %take ]
  %drawn_at = mul i64 %t, %gap
  %drawn_from = getelementptr {word}, ptr %a, i64 %drawn_at
  %drawn = load {word}, ptr %drawn_from, align 8
  %drawn_to = getelementptr {word}, ptr %b, i64 %t
  store {word} %drawn, ptr %drawn_to, align 8
  %tnext = add i64 %t, 1
  %more_drawn = icmp slt i64 %tnext, %size
  br i1 %more_drawn, label %take, label %drawn_all
drawn_all:
  %behind = add i64 %size, 64
  %other = getelementptr {word}, ptr %b, i64 %behind
  %sample = call ptr @order_{word}(ptr %b, ptr %other, i64 %size)
  %size_f = sitofp i64 %size to double
  %m_f = sitofp i64 %m to double
  %scale = fdiv double %size_f, %m_f
  %f_f = sitofp i64 %f to double
  %low_place = fmul double %f_f, %scale
  %low_spread = call double @spread(double %low_place, double %size_f, double %doubt)
  %low_at = fsub double %low_place, %low_spread
  %low_cut = fptosi double %low_at to i64
  %low_none = icmp sle i64 %low_cut, 0
  %low_safe = call i64 @llvm.smax.i64(i64 %low_cut, i64 0)
  %low_from = getelementptr {word}, ptr %sample, i64 %low_safe
  %low_word = load {word}, ptr %low_from, align 8
  %low = select i1 %low_none, {word} 0, {word} %low_word
  %end_place = add i64 %f, %count
  %end_f = sitofp i64 %end_place to double
  %high_place = fmul double %end_f, %scale
  %high_spread = call double @spread(double %high_place, double %size_f, double %doubt)
  %high_at = fadd double %high_place, %high_spread
  %high_cut = fptosi double %high_at to i64
  %high_last = sub i64 %size, 1
  %high_none = icmp sge i64 %high_cut, %high_last
  %high_safe = call i64 @llvm.smin.i64(i64 %high_cut, i64 %high_last)
  %high_from = getelementptr {word}, ptr %sample, i64 %high_safe
  %high_word = load {word}, ptr %high_from, align 8
  %high = select i1 %high_none, {word} -1, {word} %high_word
  %found = call {{ i64, i64 }} @sift_{word}(ptr %a, ptr %b, i64 %m, {word} %low, {word} %high)
  %kept = extractvalue {{ i64, i64 }} %found, 0
  %under = extractvalue {{ i64, i64 }} %found, 1
  %fnext = sub i64 %f, %under
  %end = add i64 %fnext, %count
  %low_fine = icmp sge i64 %fnext, 0
  %high_fine = icmp sle i64 %end, %kept
  %both = and i1 %low_fine, %high_fine
  br i1 %both, label %right, label %bad
right:
  %eighth = lshr i64 %m, 3
  %fewer = sub i64 %m, %eighth
  %less = icmp sle i64 %kept, %fewer
  br i1 %less, label %good, label %sort
good:
  br label %round
bad:
  %more_doubt = fmul double %doubt, 4.0
  %hopeless = fcmp ogt double %more_doubt, 32.0
  br i1 %hopeless, label %sort, label %round
sort:
  %done = call ptr @order_{word}(ptr %a, ptr %b, i64 %m)
  %place = getelementptr {word}, ptr %done, i64 %f
  ret ptr %place
}}
"""

_SPREAD = """
define internal double @spread(double %place, double %size, double %doubt) alwaysinline {
  %rest = fsub double %size, %place
  %near = call double @llvm.minnum.f64(double %place, double %rest)
  %more = fadd double %near, 1.0
  %root = call double @llvm.sqrt.f64(double %more)
  %wide = fmul double %root, %doubt
  ret double %wide
}
"""

_INTRINSICS = """
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.ctlz.i64(i64, i1)
declare i8 @llvm.ctpop.i8(i8)
declare double @llvm.sqrt.f64(double)
declare double @llvm.minnum.f64(double, double)
declare <8 x i64> @llvm.umin.v8i64(<8 x i64>, <8 x i64>)
declare <8 x i64> @llvm.umax.v8i64(<8 x i64>, <8 x i64>)
declare <8 x i64> @llvm.experimental.vector.compress.v8i64(<8 x i64>, <8 x i1>, <8 x i64>)
"""


def functions(word: str, selecting: bool) -> str:
    """The module text of order_<word> and, where wanted, select_<word>."""
    narrow = word == "i64"
    order = _ORDER.replace("SQUARE", _square()) if narrow else _ORDER_WIDE
    text = _MERGE.format(word=word) + order
    if not selecting:
        return text
    return text + _SPREAD + sift(word) + _SELECT.format(word=word)


def declarations() -> list[str]:
    """The intrinsics that the functions use."""
    return _INTRINSICS.strip().splitlines()
