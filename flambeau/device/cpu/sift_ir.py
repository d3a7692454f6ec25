"""Sifting words, as LLVM IR: the part of selecting (see sort_ir.py) that looks at every word.

    sift_<word>(a, b, m, low, high)   puts the words of a within low … high into b, in their order;
                                      gives how many those are, and how many are less than low

Eight words at a time. What is kept of them is packed and stored as if it were eight: the next
store overwrites what is too much, and b has room behind its end.
"""

from __future__ import annotations

from flambeau.device.cpu.emit import vector_literal

_SIFT_WIDE = """
define internal { i64, i64 } @sift_i128(ptr %a, ptr %b, i64 %m, i128 %low, i128 %high) {
entry:
  %low_place = trunc i128 %low to i64
  %low_shifted = lshr i128 %low, 64
  %low_key = trunc i128 %low_shifted to i64
  %high_place = trunc i128 %high to i64
  %high_shifted = lshr i128 %high, 64
  %high_key = trunc i128 %high_shifted to i64
LOOP
  %from = getelementptr i128, ptr %a, i64 %i
  %words = load <16 x i64>, ptr %from, align 8
  %places = shufflevector <16 x i64> %words, <16 x i64> poison, <8 x i32> EVEN
  %keys = shufflevector <16 x i64> %words, <16 x i64> poison, <8 x i32> ODD
  %less = icmp ult <8 x i64> %keys, %low_keys
  %low_tie = icmp eq <8 x i64> %keys, %low_keys
  %low_before = icmp ult <8 x i64> %places, %low_places
  %low_tied = and <8 x i1> %low_tie, %low_before
  %below = or <8 x i1> %less, %low_tied
  %greater = icmp ugt <8 x i64> %keys, %high_keys
  %high_tie = icmp eq <8 x i64> %keys, %high_keys
  %high_behind = icmp ugt <8 x i64> %places, %high_places
  %high_tied = and <8 x i1> %high_tie, %high_behind
  %above = or <8 x i1> %greater, %high_tied
  %outside = or <8 x i1> %below, %above
  %between = xor <8 x i1> %outside, splat (i1 true)
  %keep = and <8 x i1> %between, %there
  %under_here = and <8 x i1> %below, %there
  %packed_places = call <8 x i64> @llvm.experimental.vector.compress.v8i64(
    <8 x i64> %places, <8 x i1> %keep, <8 x i64> poison)
  %packed_keys = call <8 x i64> @llvm.experimental.vector.compress.v8i64(
    <8 x i64> %keys, <8 x i1> %keep, <8 x i64> poison)
  %packed = shufflevector <8 x i64> %packed_places, <8 x i64> %packed_keys, <16 x i32> JOINED
  %to = getelementptr i128, ptr %b, i64 %k
  store <16 x i64> %packed, ptr %to, align 8
COUNTS"""

_SIFT = """
define internal { i64, i64 } @sift_i64(ptr %a, ptr %b, i64 %m, i64 %low, i64 %high) {
entry:
LOOP
  %from = getelementptr i64, ptr %a, i64 %i
  %words = load <8 x i64>, ptr %from, align 8
  %below = icmp ult <8 x i64> %words, %lows
  %not_below = icmp uge <8 x i64> %words, %lows
  %fits = icmp ule <8 x i64> %words, %highs
  %between = and <8 x i1> %not_below, %fits
  %keep = and <8 x i1> %between, %there
  %under_here = and <8 x i1> %below, %there
  %packed = call <8 x i64> @llvm.experimental.vector.compress.v8i64(
    <8 x i64> %words, <8 x i1> %keep, <8 x i64> poison)
  %to = getelementptr i64, ptr %b, i64 %k
  store <8 x i64> %packed, ptr %to, align 8
COUNTS"""

_LOOP = """\
SPLATS
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %inext, %loop ]
  %k = phi i64 [ 0, %entry ], [ %knext, %loop ]
  %under = phi i64 [ 0, %entry ], [ %unext, %loop ]
  %i_first = insertelement <8 x i64> poison, i64 %i, i64 0
  %starts = shufflevector <8 x i64> %i_first, <8 x i64> poison, <8 x i32> zeroinitializer
  %numbers = add <8 x i64> %starts, LANES
  %there = icmp ult <8 x i64> %numbers, %ms"""

_COUNTS = """\
  %keep_bits = bitcast <8 x i1> %keep to i8
  %keep_count = call i8 @llvm.ctpop.i8(i8 %keep_bits)
  %kept = zext i8 %keep_count to i64
  %knext = add i64 %k, %kept
  %under_bits = bitcast <8 x i1> %under_here to i8
  %under_count = call i8 @llvm.ctpop.i8(i8 %under_bits)
  %more_under = zext i8 %under_count to i64
  %unext = add i64 %under, %more_under
  %inext = add i64 %i, 8
  %more = icmp slt i64 %inext, %m
  br i1 %more, label %loop, label %end
end:
  %half = insertvalue { i64, i64 } poison, i64 %knext, 0
  %whole = insertvalue { i64, i64 } %half, i64 %unext, 1
  ret { i64, i64 } %whole
}
"""


def sift(word: str) -> str:
    """The text of sift_<word>."""
    if word == "i64":
        return _filled(_SIFT, "low", "high")
    return _filled(_SIFT_WIDE, "low_place", "low_key", "high_place", "high_key")


def _filled(text: str, *bounds: str) -> str:
    """A sift's text: `bounds` and the number of words become vectors %…s of their own."""
    splats: list[str] = []
    for each in (*bounds, "m"):
        splats.append(f"  %{each}_first = insertelement <8 x i64> poison, i64 %{each}, i64 0")
        splats.append(
            f"  %{each}s = shufflevector <8 x i64> %{each}_first, <8 x i64> poison, "
            "<8 x i32> zeroinitializer"
        )
    joined = [lane + 8 * half for lane in range(8) for half in (0, 1)]
    parts = {
        "LOOP": _LOOP,
        "COUNTS": _COUNTS,
        "SPLATS": "\n".join(splats),
        "LANES": vector_literal("i64", range(8)),
        "EVEN": vector_literal("i32", range(0, 16, 2)),
        "ODD": vector_literal("i32", range(1, 16, 2)),
        "JOINED": vector_literal("i32", joined),
    }
    for name, part in parts.items():
        text = text.replace(name, part)
    return text
