"""Views: a chain of movement steps over a storage, and the strides that PyTorch would report."""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph.node import Shape

Step = tuple[Any, ...]


def contiguous_strides(shape: Shape) -> Shape:
    """Row-major strides, in elements."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
    return tuple(strides)


class View:
    """How a tensor sees its storage: steps (see graph.op.ASSIGN), slice starts, strides, offset."""

    __slots__ = ("offset", "shape", "starts", "steps", "strides")

    def __init__(
        self,
        steps: tuple[Step, ...],
        starts: tuple[int, ...],
        shape: Shape,
        strides: Shape,
        offset: int,
    ) -> None:
        self.steps = steps
        self.starts = starts
        self.shape = shape
        self.strides = strides
        self.offset = offset

    @staticmethod
    def whole(shape: Shape) -> View:
        return View((), (), shape, contiguous_strides(shape), 0)

    def begins_with(self, first: View) -> bool:
        """Whether this view is of a tensor that is seen through `first`."""
        steps, starts = len(first.steps), len(first.starts)
        return self.steps[:steps] == first.steps and self.starts[:starts] == first.starts

    def after(self, first: View) -> View:
        """What this view does to a tensor that is seen through `first`, with which it begins."""
        count = len(first.steps)
        assert self.steps[:count] == first.steps
        starts = self.starts[len(first.starts) :]
        return View(self.steps[count:], starts, self.shape, self.strides, self.offset)

    def sliced(self, starts: Shape, sizes: Shape, steps: Shape) -> View:
        offset, strides = self.offset, []
        for start, stride, step in zip(starts, self.strides, steps, strict=True):
            offset += start * stride
            strides.append(stride * step)
        cut = ("SLICE", sizes, steps)
        return View((*self.steps, cut), (*self.starts, *starts), sizes, tuple(strides), offset)

    def permuted(self, axes: Shape) -> View:
        shape = tuple([self.shape[axis] for axis in axes])
        strides = tuple([self.strides[axis] for axis in axes])
        return View((*self.steps, ("PERMUTE", axes)), self.starts, shape, strides, self.offset)

    def expanded(self, shape: Shape) -> View:
        lead = len(shape) - len(self.shape)
        strides = (0,) * lead + tuple(
            [
                0 if old == 1 and new != 1 else stride
                for old, new, stride in zip(self.shape, shape[lead:], self.strides, strict=True)
            ]
        )
        name = "RESHAPE" if math.prod(shape) == math.prod(self.shape) else "EXPAND"
        return View((*self.steps, (name, shape)), self.starts, shape, strides, self.offset)

    def reshaped(self, shape: Shape) -> View | None:
        """None where the elements do not lie so that strides could describe the new shape."""
        strides = reshaped_strides(self.shape, self.strides, shape)
        if strides is None:
            return None
        return View((*self.steps, ("RESHAPE", shape)), self.starts, shape, strides, self.offset)

    def unsqueezed(self, axis: int) -> View:
        shape = (*self.shape[:axis], 1, *self.shape[axis:])
        stride = self.shape[axis] * self.strides[axis] if axis < len(self.shape) else 1
        strides = (*self.strides[:axis], stride, *self.strides[axis:])
        return View((*self.steps, ("RESHAPE", shape)), self.starts, shape, strides, self.offset)

    @property
    def repeats(self) -> bool:
        """Whether several elements of the view are one element of the storage."""
        for stride, extent in zip(self.strides, self.shape, strict=True):
            if stride == 0 and extent > 1:
                return True
        return False


def reshaped_strides(shape: Shape, strides: Shape, target: Shape) -> Shape | None:
    """The strides of `target` over the same memory, or None: split and merge runs of axes."""
    if 0 in shape:
        return contiguous_strides(target)
    runs: list[tuple[int, int]] = []  # (elements, stride of the last) of runs that can be merged
    for extent, stride in zip(shape, strides, strict=True):
        if extent == 1:
            continue
        if runs and runs[-1][1] == extent * stride:
            runs[-1] = (runs[-1][0] * extent, stride)
        else:
            runs.append((extent, stride))
    result: list[int] = []
    left, step = runs.pop() if runs else (1, 1)
    for extent in reversed(target):
        if left == 1 and extent != 1:
            left, step = runs.pop()
        if left % extent:
            return None
        result.append(step)
        step *= extent
        left //= extent
    return tuple(reversed(result))


def strided(whole: Shape, size: Shape, stride: Shape, offset: int) -> View | None:
    """The view of a row-major array that these strides describe, as a chain of movements.

    None where no chain of reshapes, slices and permutations gives it (overlapping windows).
    """
    if tuple(size) == tuple(whole) and stride == contiguous_strides(whole) and offset == 0:
        return View.whole(whole)
    flat = View.whole(whole).reshaped((math.prod(whole),))
    assert flat is not None  # the whole is contiguous
    if 0 in size:
        made: View | None = flat.sliced((0,), (0,), (1,)).reshaped(size)
    else:
        axes = [axis for axis, extent in enumerate(size) if extent > 1 and stride[axis] > 0]
        made = _spread(flat, [(size[axis], stride[axis]) for axis in axes], offset)
        if made is not None:
            order = sorted(range(len(axes)), key=lambda place: -stride[axes[place]])
            made = made.permuted(tuple([order.index(place) for place in range(len(axes))]))
            shape = tuple([size[axis] if axis in axes else 1 for axis in range(len(size))])
            made = made.reshaped(shape)
            if made is not None and shape != tuple(size):
                made = made.expanded(tuple(size))
    if made is None:
        return None
    return View(made.steps, made.starts, tuple(size), tuple(stride), offset)


def _spread(flat: View, axes: list[tuple[int, int]], offset: int) -> View | None:
    """A slice of a flat array along axes (extent, stride), widest stride first in the result.

    The array is cut into a grid, each of whose axes an axis of the slice runs along in steps.
    """
    axes = sorted(axes, key=lambda each: -each[1])
    total = flat.shape[0]
    units = _units(total, axes, offset)
    if units is None:
        return None
    blocks = [total - total % units[0] if units else total, *units]
    extents, begins, left = [], [], offset
    for block, unit in zip(blocks, [*units, 1], strict=True):
        extents.append(block // unit)
        begins.append(left // unit)
        left %= unit
    grid = flat.sliced((0,), (blocks[0],), (1,)).reshaped(tuple(extents))
    assert grid is not None  # it is contiguous
    sizes = tuple([extent for extent, _ in axes])
    steps = [step // unit for (_, step), unit in zip(axes, units, strict=True)]
    return grid.sliced(tuple(begins), (*sizes, 1), (*steps, 1)).reshaped(sizes)


def _units(total: int, axes: list[tuple[int, int]], offset: int) -> list[int] | None:
    """For each axis the stride of the grid's axis that it runs along: a divisor of its own."""
    return _inner_units(total, axes, offset, outermost=True)


def _inner_units(
    block: int, axes: list[tuple[int, int]], offset: int, outermost: bool = False
) -> list[int] | None:
    if not axes:
        return []
    extent, step = axes[0]
    for count in (*range(1, min(step, _MANY)), step):
        unit = step // count
        if step % count or (block % unit and not outermost):
            continue
        if offset // unit + (extent - 1) * count < block // unit:
            inner = _inner_units(unit, axes[1:], offset % unit)
            if inner is not None:
                return [unit, *inner]
    return None


_MANY = 64  # steps that are tried before single elements
