"""conv2d forward, input gradient and weight gradient over the layers of known networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
from benchmarks.suite.registry import add, done, normal
from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it

# network, input channels, output channels, side, kernel, stride, groups
_LAYERS = [
    ("ResNet start", 3, 64, 224, 7, 2, 1),
    ("ResNet-18", 64, 64, 56, 3, 1, 1),
    ("ResNet-18", 64, 128, 56, 3, 2, 1),
    ("ResNet-18", 128, 128, 28, 3, 1, 1),
    ("ResNet-18", 256, 256, 14, 3, 1, 1),
    ("ResNet-18", 512, 512, 7, 3, 1, 1),
    ("ResNet-50", 64, 256, 56, 1, 1, 1),
    ("ResNet-50", 256, 64, 56, 1, 1, 1),
    ("ResNet-50", 256, 512, 56, 1, 2, 1),
    ("ResNet-50", 1024, 256, 14, 1, 1, 1),
    ("VGG", 3, 64, 224, 3, 1, 1),
    ("VGG", 64, 128, 112, 3, 1, 1),
    ("VGG", 512, 512, 14, 3, 1, 1),
    ("MobileNetV2 depthwise", 96, 96, 112, 3, 2, 96),
    ("MobileNetV2 depthwise", 144, 144, 56, 3, 1, 144),
    ("MobileNetV2 depthwise", 576, 576, 14, 3, 1, 576),
    ("MobileNetV2", 24, 144, 56, 1, 1, 1),
    ("U-Net", 16, 16, 128, 3, 1, 1),
    ("U-Net", 128, 64, 64, 3, 1, 1),
]
_QUICK = (64, 144)


def convolution(
    kind: str, batch: int, into: int, out: int, side: int, kernel: int, stride: int, groups: int
) -> Callable[[], Any]:
    """kind: forward, input gradient or weight gradient alone."""
    x = normal(batch, into, side, side)
    weight = normal(out, into // groups, kernel, kernel, seed=1)
    padding = kernel // 2

    def apply() -> Any:
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


for _network, _into, _out, _side, _kernel, _stride, _groups in _LAYERS:
    for _batch in (1, 8, 32):
        _small = (_side - 1) // _stride + 1
        _flops = 2.0 * _batch * _out * _small**2 * (_into // _groups) * _kernel**2
        if _flops > 2e10 or _batch * max(_into, _out) * _side**2 > 1 << 27:
            continue  # seconds a run: batch 8 has the same kernel
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
                    "groups": _groups,
                },
                tiny={
                    "batch": 1,
                    "into": 4,
                    "out": 4,
                    "side": 6,
                    "groups": 4 if _groups > 1 else 1,
                },
                flops=_flops,
                quick=_batch == 8 and _into in _QUICK,
            )
