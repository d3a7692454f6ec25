"""Maps, reductions, softmax, norms, losses and gelu, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
from benchmarks.suite.registry import add, done, integers, normal
from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it

_SIZES = {
    "1 K": 1 << 10,
    "16 K": 1 << 14,
    "256 K": 1 << 18,
    "4 M": 1 << 22,
    "64 M": 1 << 26,
}
_MAPS: dict[str, tuple[Callable[..., Any], int]] = {
    "a + b": (lambda a, b: a + b, 3),
    "a * b + a": (lambda a, b: a * b + a, 3),
    "exp(a)": (lambda a, b: torch.exp(a), 2),
    "tanh(a)": (lambda a, b: torch.tanh(a), 2),
}
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": lambda a: a.sum(),
    "max of rows": lambda a: a.amax(1),
    "sum of rows": lambda a: a.sum(1),
    "sum of columns": lambda a: a.sum(0),
    "mean and variance of rows": lambda a: torch.var_mean(a, 1),
}


def a_map(name: str, count: int) -> Callable[[], Any]:
    formula, _ = _MAPS[name]
    a, b = normal(count), normal(count, seed=1)

    def run() -> None:
        done(formula(a, b))

    return run


def a_reduction(name: str, count: int) -> Callable[[], Any]:
    formula = _REDUCTIONS[name]
    a = normal(count // 256, 256) if count <= 1 << 18 else normal(count // 1024, 1024)

    def run() -> None:
        done(formula(a))

    return run


def forward(make: Callable[..., Any], **sizes: int) -> Callable[[], Any]:
    function, inputs = make(**sizes)

    def run() -> None:
        done(function(*inputs))

    return run


def backward(make: Callable[..., Any], **sizes: int) -> Callable[[], Any]:
    """Forward and backward of all floating inputs, with a given gradient."""
    function, inputs = make(**sizes)
    leaves = [each.requires_grad_() for each in inputs if each.is_floating_point()]
    gradient = normal(*function(*inputs).shape, seed=9)

    def run() -> None:
        for each in leaves:
            each.grad = None
        function(*inputs).backward(gradient)
        done(*[each.grad for each in leaves])

    return run


def softmax(rows: int, width: int) -> Any:
    return lambda x: torch.softmax(x, 1), [normal(rows, width)]


def log_softmax(rows: int, width: int) -> Any:
    return lambda x: torch.log_softmax(x, 1), [normal(rows, width)]


def layer_norm(rows: int, width: int) -> Any:
    inputs = [normal(rows, width), normal(width, seed=1), normal(width, seed=2)]
    return lambda x, weight, bias: F.layer_norm(x, (width,), weight, bias), inputs


def cross_entropy(rows: int, width: int) -> Any:
    return lambda x, target: F.cross_entropy(x, target), [
        normal(rows, width),
        integers(width, rows),
    ]


def gelu(rows: int, width: int) -> Any:
    return lambda x: F.gelu(x), [normal(rows, width)]


for _label, _count in _SIZES.items():
    for _name, (_, _arrays) in _MAPS.items():
        add(
            "elementwise",
            f"{_name}, {_label}",
            a_map,
            sizes={"name": _name, "count": _count},
            tiny={"count": 7},
            bytes=4.0 * _arrays * _count,
            quick=_label in ("1 K", "4 M"),
        )
    for _name in _REDUCTIONS:
        add(
            "elementwise",
            f"{_name}, {_label}",
            a_reduction,
            sizes={"name": _name, "count": _count},
            tiny={"count": 1024},
            bytes=4.0 * _count,
            quick=_label in ("1 K", "4 M"),
        )
for _make in (softmax, log_softmax, layer_norm, cross_entropy, gelu):
    for _rows, _width in ((64, 128), (768, 128), (4096, 1024), (1024, 32000)):
        _shown = f"{_make.__name__} {_rows}×{_width}"
        for _kind, _run in (("forward", forward), ("forward and backward", backward)):
            add(
                "elementwise",
                f"{_shown}, {_kind}",
                _run,
                sizes={"make": _make, "rows": _rows, "width": _width},
                tiny={"rows": 3, "width": 5},
                quick=_width == 1024,
            )
