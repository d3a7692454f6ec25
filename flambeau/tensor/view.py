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

    def sliced(self, starts: Shape, sizes: Shape, steps: Shape) -> View:
        offset = self.offset + sum(
            start * stride for start, stride in zip(starts, self.strides, strict=True)
        )
        strides = tuple([stride * step for stride, step in zip(self.strides, steps, strict=True)])
        step = ("SLICE", sizes, steps)
        return View((*self.steps, step), (*self.starts, *starts), sizes, strides, offset)

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
        return any(
            stride == 0 and extent > 1
            for stride, extent in zip(self.strides, self.shape, strict=True)
        )


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
