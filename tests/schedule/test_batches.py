"""A sample's result does not depend on its batch: the same bytes alone and among many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional

Function = Callable[[Any], Any]
CASES: dict[str, tuple[tuple[int, ...], Function]] = {}
"""Name -> (a sample's shape, what is computed of a batch of them)."""


def _made(x: Any, *shape: int) -> Any:
    """Numbers of x's type, the same for every x."""
    generator = np.random.default_rng(shape)
    return torch.tensor(generator.standard_normal(shape).astype(np.float32)).to(x.dtype)


def _case(name: str, shape: tuple[int, ...], function: Function) -> None:
    CASES[name] = (shape, function)


for _length in (7, 100, 1000):
    _case(f"softmax {_length}", (_length,), lambda x: x.softmax(1))
    _case(f"log_softmax {_length}", (_length,), lambda x: x.log_softmax(1))
    _case(f"sum {_length}", (_length,), lambda x: x.sum(1))
    _case(
        f"layer_norm {_length}",
        (_length,),
        lambda x: functional.layer_norm(
            x, x.shape[1:], _made(x, x.shape[1]), _made(x, x.shape[1], 1)[:, 0]
        ),
    )
    _case(f"rms_norm {_length}", (_length,), lambda x: functional.rms_norm(x, x.shape[1:]))
    _case(f"weighted sum {_length}", (_length,), lambda x: (x * _made(x, x.shape[1])).sum(1))
    _case(f"vector {_length}", (_length,), lambda x: x @ _made(x, x.shape[1]))
    for _outputs in (1, 2, 40):
        _case(
            f"linear {_length} to {_outputs}",
            (_length,),
            lambda x, n=_outputs: functional.linear(x, _made(x, n, x.shape[1]), _made(x, n)),
        )
_case("linear 3 by 20 to 1", (3, 20), lambda x: functional.linear(x, _made(x, 1, 20)))
_case("linear 1 to 64, mean", (1,), lambda x: functional.linear(x, _made(x, 64, 1)).mean(1))
_case(
    "mlp",
    (20,),
    lambda x: functional.linear(
        functional.gelu(functional.linear(x, _made(x, 64, 20))), _made(x, 1, 64)
    ),
)
_case("columns", (60, 5), lambda x: x.mean(1))
_case("rows and columns", (12, 9, 4), lambda x: x.var((1, 3)))
_case("middle", (3, 50, 1), lambda x: x.sum(2))
_case("norm", (3, 200), lambda x: x.norm(dim=-1))
_case("cosine", (64,), lambda x: functional.cosine_similarity(x, _made(x, 64)))
_case("differences", (5, 32), lambda x: (x - _made(x, 32)).abs().sum(2))
_case("cross_entropy", (10,), lambda x: functional.cross_entropy(x, x.argmax(1), reduction="none"))
_case("moving average", (1, 64), lambda x: functional.avg_pool1d(x, 9, 1))
_case(
    "attention",
    (2, 17, 8),
    lambda x: functional.scaled_dot_product_attention(x, x, x, is_causal=True),
)
_case("conv1d", (3, 30), lambda x: functional.conv1d(x, _made(x, 4, 3, 5), padding=2))
_case(
    "conv2d",
    (3, 9, 9),
    lambda x: functional.conv2d(x, _made(x, 8, 3, 3, 3), _made(x, 8), padding=1),
)
_case("conv2d stride 2", (4, 9, 9), lambda x: functional.conv2d(x, _made(x, 6, 4, 3, 3), stride=2))
_case("conv2d 1x1", (16, 6, 6), lambda x: functional.conv2d(x, _made(x, 8, 16, 1, 1)))
_case("conv2d to a point", (8, 6, 6), lambda x: functional.conv2d(x, _made(x, 1, 8, 6, 6)))
_case(
    "depthwise",
    (8, 7, 7),
    lambda x: functional.conv2d(x, _made(x, 8, 1, 3, 3), padding=1, groups=8),
)
_case(
    "transposed",
    (4, 5, 5),
    lambda x: functional.conv_transpose2d(x, _made(x, 4, 3, 3, 3), stride=2),
)
_case("group_norm", (8, 6, 6), lambda x: functional.group_norm(x, 2))
_case("pooled", (4, 8, 8), lambda x: functional.adaptive_avg_pool2d(x, 1))
_case("cumsum", (50,), lambda x: x.cumsum(1))


def gradient(function: Function) -> Function:
    """What of each sample's gradient comes back."""

    def backward(x: Any) -> Any:
        x = x.clone().requires_grad_()
        result = function(x)
        if isinstance(result, torch.Tensor):
            (result * result.cos()).sum().backward()
        return x.grad

    return backward


def assert_same(function: Function, data: np.ndarray[Any, Any], dtype: Any, *sizes: int) -> None:
    whole = function(torch.tensor(data).to(dtype))
    bits = {4: torch.int32, 8: torch.int64, 2: torch.int16}[whole.element_size()]
    expected = whole.detach().contiguous().view(bits).numpy()
    for size in sizes:
        first = (len(data) - size) // 2
        part = function(torch.tensor(data[first : first + size]).to(dtype)).detach()
        result = part.contiguous().view(bits).numpy()
        np.testing.assert_array_equal(result, expected[first : first + size], f"batch of {size}")


@pytest.mark.parametrize("name", CASES)
def test_batches(name: str) -> None:
    shape, function = CASES[name]
    data = np.random.default_rng(0).standard_normal((600, *shape)).astype(np.float32)
    with torch.no_grad():
        assert_same(function, data, torch.float32, 1, 2, 33)


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    shape, function = CASES[name]
    data = np.random.default_rng(0).standard_normal((65, *shape)).astype(np.float32)
    assert_same(gradient(function), data, torch.float32, 1, 2, 33)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=repr)
@pytest.mark.parametrize("name", ["softmax 100", "linear 1000 to 1", "conv2d", "layer_norm 1000"])
def test_other_types(name: str, dtype: Any) -> None:
    shape, function = CASES[name]
    data = np.random.default_rng(0).standard_normal((65, *shape))
    assert_same(function, data, dtype, 1, 2, 33)


LONG: dict[str, Function] = {
    "mean": lambda x: x.mean(1),
    "mean of columns": lambda x: x.reshape(len(x), -1, 4).mean(1),
    "mean of planes": lambda x: x.reshape(len(x), 4, -1, 100).mean((2, 3)),
    "softmax": lambda x: x.softmax(1),
    "layer_norm": lambda x: functional.layer_norm(x, x.shape[1:]),
    "linear": lambda x: functional.linear(x, _made(x, 1, x.shape[1])),
    "squares": lambda x: (x * x).sum(1),
}


@pytest.mark.parametrize("length", [20000, 70000, 300000])
@pytest.mark.parametrize("name", LONG)
def test_long_samples(name: str, length: int) -> None:
    data = np.random.default_rng(0).standard_normal((40, length), np.float32)
    assert_same(LONG[name], data[: 2_000_000 // length], torch.float32, 1, 2)
