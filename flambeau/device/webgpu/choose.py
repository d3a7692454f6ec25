"""Which of the renderers takes a kernel: tiles, a workgroup a point, or a thread a point."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flambeau.device.webgpu.render import Rendered, Renderer
from flambeau.device.webgpu.tiled import FILL, TiledRenderer, extent, product_of, worth
from flambeau.device.webgpu.together import TogetherRenderer, suits
from flambeau.kernel.ir import Kernel


def render(kernel: Kernel, bindings: Sequence[int], most_points: int) -> Rendered:
    """A kernel as WGSL. Kernels of up to `most_points` points may be shared by workgroups.

    Raises NotImplementedError where webgpu cannot run it.
    """
    points = math.prod(each.extent for each in kernel.domain)
    if points > 2**31 - 1:
        raise NotImplementedError(
            f"kernel {kernel.name} has more than 2^31 - 1 points, which webgpu cannot count"
        )
    workgroup = suits(kernel, most_points)
    product = product_of(kernel) if points else None
    if product is not None and not (workgroup and extent(product.fold.axes) > 4 * points):
        each = worth(product, FILL if most_points > 1000 else 2)
        if each is not None:
            return TiledRenderer(kernel, bindings, product, each).render()
    if workgroup:
        return TogetherRenderer(kernel, bindings, workgroup).render()
    return Renderer(kernel, bindings).render()
