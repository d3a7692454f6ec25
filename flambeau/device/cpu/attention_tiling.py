"""How an Attend is cut into blocks and panels, and where they lie in a thread's scratch memory.

The blocks of steps are the same on every processor; lanes never meet. So the bits do not depend on
the width of vectors, on threads or on how many lanes there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from flambeau.device.cpu.target import Target
from flambeau.device.cpu.tiling import Tiling, multiplying, side_of
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Attend, Axis, Fold, Loop, Store
from flambeau.kernel.tile import Contraction

STEPS = 64
"""Steps of a block, a multiple of all vectors; the sums of longer ones had more error."""

LANES = 256
"""Lanes of a work item, about: a block of steps is packed anew for each item."""

ITEMS = 8
"""Where there are fewer work items than that, they are made smaller."""

VECTORS = 2
"""Vectors of a panel of lanes."""

ROOM = 1 << 18
"""Bytes of packed lanes, about."""

Packed = tuple[Contraction, Tiling]


@dataclass(frozen=True, eq=False)
class Blocks:
    """All that is decided before code is written."""

    kind: str
    itemsize: int
    lanes: int  # of a vector
    vectors: int  # of a panel
    height: int  # steps of a panel
    steps: int  # of a block
    step_room: int  # of a block, whole panels
    step_blocks: int
    lane_panels: int
    lane_block: int  # panels of an item
    lane_blocks: int
    sum_rows: tuple[int, ...]  # rows of each sum, whole panels
    turned: int  # elements of a row of turned sums
    products: tuple[Packed, ...]
    sums: tuple[Packed, ...]
    offsets: dict[str, int]
    scratch: int

    @property
    def width(self) -> int:
        return self.lanes * self.vectors


def blocks_of(attend: Attend, values: Values, target: Target, points: int) -> Blocks:
    """`points` is how many points the kernel's domain has."""
    double = attend.products[0].dtype.itemsize == 8
    kind, itemsize = ("double", 8) if double else ("float", 4)
    lanes = max(2, target.vector_bytes // itemsize)
    width = lanes * VECTORS
    most = (target.registers - VECTORS - 1) // VECTORS
    extent = attend.steps.extent
    step_blocks = -(-extent // STEPS)
    steps = min(extent, STEPS)
    height = _height(steps, most, step_blocks > 1)
    room = -(-steps // height) * height
    shape = (kind, itemsize, lanes)
    products = [_product(fold, attend, values, shape, height) for fold in attend.products]
    sums = [_sum(fold, attend, values, shape, most) for fold in attend.sums]
    rows = [tiling.rows.panels * tiling.rows.width for _, tiling in sums]
    panels = -(-attend.lanes.extent // width)
    depth = sum(tiling.depth for _, tiling in products)
    block = _lane_block(panels, width, points, depth * width * itemsize)
    turned = max(-(-tiling.rows.length // lanes) * lanes for _, tiling in sums)
    sizes = {f"right {n}": block * width * t.depth for n, (_, t) in enumerate(products)}
    sizes |= {f"left {n}": room * t.depth for n, (_, t) in enumerate(products)}
    sizes |= {f"tile {n}": room * width for n in range(len(products))}
    sizes |= {f"factor {n}": each * room for n, each in enumerate(rows)}
    sizes |= {f"sums {n}": block * each * width for n, each in enumerate(rows)}
    sizes |= {"greatest": block * width, "total": block * width}
    sizes |= {"square": lanes * lanes, "turned": width * turned}
    offsets: dict[str, int] = {}
    scratch = 0
    slack = lanes * max(width, most) * itemsize + 64  # packing writes whole squares
    for what, size in sizes.items():
        offsets[what] = scratch
        scratch += -(-size * itemsize // 64) * 64 + slack
    return Blocks(
        kind,
        itemsize,
        lanes,
        VECTORS,
        height,
        steps,
        room,
        step_blocks,
        panels,
        block,
        -(-panels // block),
        tuple(rows),
        turned,
        tuple(products),
        tuple(sums),
        offsets,
        scratch,
    )


def _height(extent: int, most: int, divides: bool) -> int:
    """Rows of a register tile that waste least; one that divides STEPS where blocks follow."""
    heights = [each for each in range(1, most + 1) if not divides or STEPS % each == 0]
    return min(heights, key=lambda each: (-(-extent // each) * multiplying(each, VECTORS), -each))


def _lane_block(panels: int, width: int, points: int, nbytes: int) -> int:
    """Panels of a work item."""
    block = max(1, min(LANES // width, ROOM // nbytes))
    while block > 1 and points * -(-panels // block) < ITEMS:
        block //= 2
    return -(-panels // -(-panels // block))


def _product(
    fold: Fold, attend: Attend, values: Values, shape: tuple[str, int, int], height: int
) -> Packed:
    """Σ depth of (step, depth) · (lane, depth)."""
    kind, itemsize, lanes = shape
    left, right = fold.value.args
    contraction = Contraction(
        fold, (), (attend.steps,), (attend.lanes,), fold.axes, left, right, ()
    )
    rows = side_of((left, (attend.steps,)), True, height, contraction, values, lanes)
    wide = lanes * VECTORS
    columns = side_of((right, (attend.lanes,)), True, wide, contraction, values, lanes)
    depth = prod(axis.extent for axis in fold.axes)
    tiling = Tiling(
        kind, itemsize, lanes, VECTORS, rows, columns, 0, depth, 1, depth, 1, 1, False, 1, 1
    )
    return contraction, tiling


def _sum(
    fold: Fold, attend: Attend, values: Values, shape: tuple[str, int, int], most: int
) -> Packed:
    """Σ step of factor(step, width) · weight(step, lane); the weights are packed as they are."""
    kind, itemsize, lanes = shape
    weight, factor = fold.value.args
    width = _width(attend, fold, values)
    contraction = Contraction(
        fold, (), (width,), (attend.lanes,), (attend.steps,), factor, weight, ()
    )
    height = _height(width.extent, most, False)
    rows = side_of((factor, (width,)), True, height, contraction, values, lanes)
    steps = attend.steps.extent
    tiling = Tiling(
        kind, itemsize, lanes, VECTORS, rows, rows, 0, steps, 1, steps, 1, 1, False, 1, 1
    )
    return contraction, tiling


def _width(attend: Attend, fold: Fold, values: Values) -> Axis:
    """The axis along which a sum is stored; its factor may be the same all along."""
    loops = [each for each in attend.body if isinstance(each, Loop)]
    stores = [(loop, each) for loop in loops for each in loop.body if isinstance(each, Store)]
    return next(loop.axes[0] for loop, each in stores if fold in values.dependencies(each.value))
