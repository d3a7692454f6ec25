"""conv2d forward, input gradient and weight gradient over the layers of known networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
from benchmarks.suite.registry import add, done, normal
from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it

# network: input channels, output channels, side, kernel, stride; "depthwise" in the network's name:
# as many groups as channels; "transposed": conv_transpose2d
_LAYERS = {
    "ResNet start": [(3, 64, 224, 7, 2)],
    "ResNet-18": [
        (64, 64, 56, 3, 1),
        (64, 128, 56, 3, 2),
        (64, 128, 56, 1, 2),
        (128, 128, 28, 3, 1),
        (128, 256, 28, 3, 2),
        (128, 256, 28, 1, 2),
        (256, 256, 14, 3, 1),
        (256, 512, 14, 3, 2),
        (256, 512, 14, 1, 2),
        (512, 512, 7, 3, 1),
    ],
    "ResNet-50": [
        (64, 64, 56, 1, 1),
        (64, 256, 56, 1, 1),
        (256, 64, 56, 1, 1),
        (256, 128, 56, 1, 1),
        (256, 512, 56, 1, 2),
        (128, 128, 56, 3, 2),
        (128, 512, 28, 1, 1),
        (512, 128, 28, 1, 1),
        (256, 256, 28, 3, 2),
        (256, 1024, 14, 1, 1),
        (1024, 256, 14, 1, 1),
        (1024, 2048, 14, 1, 2),
        (512, 512, 14, 3, 2),
        (512, 2048, 7, 1, 1),
        (2048, 512, 7, 1, 1),
    ],
    "VGG": [
        (3, 64, 224, 3, 1),
        (64, 64, 224, 3, 1),
        (64, 128, 112, 3, 1),
        (128, 256, 56, 3, 1),
        (256, 512, 28, 3, 1),
        (512, 512, 14, 3, 1),
    ],
    "MobileNetV2 depthwise": [
        (32, 32, 112, 3, 1),
        (96, 96, 112, 3, 2),
        (144, 144, 56, 3, 1),
        (144, 144, 56, 3, 2),
        (192, 192, 28, 3, 1),
        (192, 192, 28, 3, 2),
        (576, 576, 14, 3, 1),
        (576, 576, 14, 3, 2),
        (960, 960, 7, 3, 1),
    ],
    "MobileNetV2": [
        (3, 32, 224, 3, 2),
        (16, 96, 112, 1, 1),
        (24, 144, 56, 1, 1),
        (144, 24, 56, 1, 1),
        (32, 192, 28, 1, 1),
        (96, 576, 14, 1, 1),
        (160, 960, 7, 1, 1),
    ],
    "U-Net": [
        (3, 16, 128, 3, 1),
        (16, 16, 128, 3, 1),
        (32, 16, 128, 3, 1),
        (32, 32, 64, 3, 1),
        (128, 64, 64, 3, 1),
        (128, 128, 16, 3, 1),
    ],
    "U-Net transposed": [(32, 16, 64, 2, 2), (64, 32, 32, 2, 2), (128, 64, 16, 2, 2)],
}
_QUICK = {
    (64, 64, 56, 3, 1),
    (64, 128, 56, 3, 2),
    (64, 256, 56, 1, 1),
    (64, 128, 112, 3, 1),
    (144, 144, 56, 3, 1),
}
_MOST_FLOPS, _MOST_ELEMENTS = 3e10, 1 << 27  # beyond: seconds a run; less batch has the same kernel


def convolution(
    kind: str, batch: int, into: int, out: int, side: int, kernel: int, stride: int, layer: str
) -> Callable[[], Any]:
    """kind: forward, input gradient or weight gradient alone."""
    x = normal(batch, into, side, side)
    groups = into if layer == "depthwise" else 1
    transposed = layer == "transposed"
    shape = (into, out) if transposed else (out, into // groups)
    weight = normal(*shape, kernel, kernel, seed=1)
    padding = 0 if transposed else kernel // 2

    def apply() -> Any:
        if transposed:
            return F.conv_transpose2d(x, weight, None, stride, padding)
        return F.conv2d(x, weight, None, stride, padding, 1, groups)

    if kind == "forward":
        return lambda: done(apply())
    gradient = normal(*apply().shape, seed=2)
    leaf = (x if kind == "input gradient" else weight).requires_grad_()

    def run() -> None:
        """PyTorch's graph is built without its forward's cost: see `vjp`."""
        done(*vjp(gradient))

    vjp = _gradient_alone(apply, leaf)
    return run


def _gradient_alone(apply: Callable[[], Any], leaf: Any) -> Callable[[Any], Any]:
    """A function from the result's gradient to the leaf's; the forward ran before."""
    result = apply()
    done(result)
    return lambda gradient: torch.autograd.grad(result, leaf, gradient, retain_graph=True)


def _multiplications(layer: str, into: int, out: int, side: int, kernel: int, stride: int) -> float:
    """Of one image."""
    places = side if layer == "transposed" else (side - 1) // stride + 1
    return 1.0 * out * places**2 * (1 if layer == "depthwise" else into) * kernel**2


for _network, _layers in _LAYERS.items():
    _layer = _network.rpartition(" ")[2]
    for _shape in _layers:
        for _batch in (1, 8, 32):
            _into, _out, _side, _kernel, _stride = _shape
            _flops = 2 * _batch * _multiplications(_layer, *_shape)
            if _flops > _MOST_FLOPS or _batch * max(_into, _out) * _side**2 > _MOST_ELEMENTS:
                continue
            for _kind in ("forward", "input gradient", "weight gradient"):
                _shown = f"{_into}→{_out} {_side}² k{_kernel} s{_stride}"
                add(
                    "convolutions",
                    f"{_network} {_shown}, batch {_batch}, {_kind}",
                    convolution,
                    sizes={
                        "kind": _kind,
                        "batch": _batch,
                        "into": _into,
                        "out": _out,
                        "side": _side,
                        "kernel": _kernel,
                        "stride": _stride,
                        "layer": _layer,
                    },
                    tiny={"batch": 1, "into": 4, "out": 4, "side": 6},
                    flops=_flops,
                    quick=_batch == 8 and _shape in _QUICK,
                )
