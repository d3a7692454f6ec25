"""What a device asks of kernels, and what decides between recomputing and storing."""

from __future__ import annotations

from dataclasses import dataclass

from flambeau.graph import op

DEAR = frozenset({op.EXP, op.LOG, op.SIN, op.COS, op.TAN, op.DIV, op.SQRT, op.IDIV, op.MOD})
"""Elementwise operations that cost several times as much as an addition."""

FEWEST = 4
"""Every operation can be computed by kernels of so many buffers: three operands and a result."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one kernel, and of what is split and recomputed.

    buffers: at most so many buffers in a kernel; 4 or more. values: at most about so many values.
    loop: a row kernel needs so many rows, unless the whole array has at most `small` elements.
    long, part: a reduction over more than `long` elements is computed in two stages, the first over
    about `part` elements each; floating-point results depend on both. matmul, conv: how costly an
    operand may be that is computed where a matrix product or a convolution reads it (a convolution
    reads each element once for every tap: storing it first took a U-Net's step from 264 to 112 ms
    and a ResNet-18's from 680 to 660 ms). recompute: how
    costly a value may be that several kernels compute again rather than load. attention: whether
    there is a kernel for it; else it becomes products and a softmax, and all scores are stored.
    """

    buffers: int = 24
    values: int = 300
    loop: int = 16
    small: int = 16384
    long: int = 131072
    part: int = 16384
    matmul: int = 8
    conv: int = 0
    recompute: int = 40
    attention: bool = True
