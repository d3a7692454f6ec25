"""Patches of images as columns, and back: functional.unfold and fold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.node import Shape
from flambeau.ops.axes import integers
from flambeau.ops.composite import composite
from flambeau.ops.pool import Geometry, spread_back, windows
from flambeau.tensor.tensor import Tensor


def _pair(value: Any, name: str) -> tuple[int, int]:
    found = integers(value, name)
    found = found * 2 if len(found) == 1 else found
    if len(found) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(found)}")
    return found[0], found[1]


def _patches(spatial: Shape, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Geometry:
    """The windows over (h, w). Raises RuntimeError where an argument does not fit."""
    sizes, gaps = _pair(kernel, "kernel_size"), _pair(dilation, "dilation")
    edges, steps = _pair(padding, "padding"), _pair(stride, "stride")
    positive = {"kernel size": ("kernel", sizes), "dilation": ("dilation", gaps)}
    positive["stride"] = ("stride", steps)
    for title, (name, each) in positive.items():
        if min(each) <= 0:
            raise RuntimeError(
                f"{title} should be greater than zero, but got {name}_height: {each[0]} "
                f"{name}_width: {each[1]}"
            )
    if min(edges) < 0:
        raise RuntimeError(f"padding should be non-negative, but got {edges}")
    places = tuple(
        [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(spatial, edges, gaps, sizes, steps, strict=True)
        ]
    )
    return Geometry(sizes, steps, edges, edges, gaps, places)


def _described(g: Geometry) -> str:
    return f"kernel_size={g.kernel}, dilation={g.dilation}, padding={g.before}, stride={g.stride}"


@composite(saves="")
def _unfolded(input: Tensor, g: Geometry) -> Tensor:
    x = input._read()
    rows, channels = x.shape[:2]
    made = windows(x, g, 0)
    places = tuple([axis for axis in range(2, 6) if axis not in made.taps])
    moved = b.permute(made.node, (0, 1, *made.taps, *places))
    columns = channels * g.kernel[0] * g.kernel[1]
    return Tensor._traced(b.reshape(moved, (rows, columns, g.places[0] * g.places[1])))


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Patches of (n, c, h, w) as columns: (n, c kh kw, number of patches); also without n.

    Raises RuntimeError where arguments do not fit.
    """
    if input.ndim not in (3, 4):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {list(input._type.shape)}"
        )
    spatial = input._type.shape[-2:]
    g = _patches(spatial, kernel_size, dilation, padding, stride)
    if min(g.places) < 1:
        raise RuntimeError(
            f"Given input with spatial size {spatial}, kernel_size={g.kernel}, "
            f"dilation={g.dilation}, padding={g.before}, calculated shape of the array of sliding "
            f"blocks as {g.places}, but its components must be at least one."
        )
    return _batched(input, 4, lambda batch: _unfolded(batch, g))


@composite(saves="")
def _folded(input: Tensor, g: Geometry, spatial: Shape) -> Tensor:
    x = input._read()
    channels = x.shape[1] // (g.kernel[0] * g.kernel[1])
    image = b.full((x.shape[0], channels, *spatial), 0, x.dtype)
    made = windows(image, g, 0)
    split = b.reshape(x, (*image.shape[:2], *g.kernel, *g.places))
    taps, places = iter((2, 3)), iter((4, 5))
    order = [next(taps) if axis in made.taps else next(places) for axis in range(2, 6)]
    return Tensor._traced(spread_back(image, g, b.permute(split, (0, 1, *order))))


def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """An image (n, c, *output_size) of patches that unfold cut out; where they overlap, their sum.

    `input` is (n, c kh kw, number of patches), or without n. Raises RuntimeError where it does
    not fit.
    """
    shape = input._type.shape
    if len(shape) not in (2, 3):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {list(shape)}"
        )
    spatial = _pair(output_size, "output_size")
    g = _patches(spatial, kernel_size, dilation, padding, stride)
    if shape[-2] % (g.kernel[0] * g.kernel[1]):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={shape[-2]} and kernel_size={g.kernel}."
        )
    count = g.places[0] * g.places[1]
    if count != shape[-1] or min(g.places) < 1:
        raise RuntimeError(
            f"Given output_size={spatial}, {_described(g)}, expected size of input's "
            f"dimension 2 to match the calculated number of sliding blocks {g.places[0]} * "
            f"{g.places[1]} = {count}, but got input.size(2)={shape[-1]}."
        )
    return _batched(input, 3, lambda batch: _folded(batch, g, spatial))


def _batched(input: Tensor, rank: int, run: Callable[[Tensor], Tensor]) -> Tensor:
    """`run` on a batch, also where the input is one sample."""
    if input.ndim == rank:
        return run(input)
    return run(input.unsqueeze(0)).squeeze(0)
