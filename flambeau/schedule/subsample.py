"""1×1 convolutions with a stride read every second place of every second row.

Where that image is read again and again, once for each block of outputs, its places are first laid
side by side: a small kernel walks through memory once, and what is left is a convolution of stride
1, whose places lie as one line. A training step makes one such copy for the forward and for the
weight's gradient.
"""

from __future__ import annotations

from flambeau.graph import op
from flambeau.graph.node import Node
from flambeau.graph.rewrite import Rewriter
from flambeau.kernel.conv import Geometry

FEWEST = 256
"""With fewer outputs the places are read where they lie: as fast, and a launch less."""


def subsample(rewriter: Rewriter, node: Node) -> Node | None:
    """The rewrite rule, for CONV."""
    geometry = Geometry(*node.attrs)
    image, other = node.inputs
    if geometry.mode == "input":
        return None
    taps = other.shape[2:] if geometry.mode == "forward" else node.shape[2:]
    outputs = other.shape[0 if geometry.mode == "forward" else 1]
    if outputs < FEWEST * geometry.groups or max(geometry.stride) == 1 or node.type.size == 0:
        return None
    if any(each != 1 for each in taps) or any(low or high for low, high in geometry.padding):
        return None
    steps = (1, 1, *geometry.stride)
    sizes = tuple([-(-extent // step) for extent, step in zip(image.shape, steps, strict=True)])
    if sizes[2:] != (node if geometry.mode == "forward" else other).shape[2:]:
        return None
    some = rewriter.make(op.SLICE, (image,), (sizes, steps), (0,) * len(sizes))
    dense = rewriter.make(op.MATERIALIZE, (some,))
    ones = (1,) * len(taps)
    return rewriter.make(op.CONV, (dense, other), tuple(geometry._replace(stride=ones)))
