"""Elementwise operations and reductions side by side with PyTorch: all pairs of dtypes, special
numbers, gradients, in-place variants and the types of errors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.ops import activation

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
          "float64"]  # fmt: skip
UNARY = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "bitwise_not", "ceil", "clone",
    "cos", "cosh", "deg2rad", "erf", "erfc", "exp", "exp2", "expm1", "floor", "frac", "isfinite",
    "isinf", "isnan", "log", "log10", "log1p", "log2", "logical_not", "neg", "positive",
    "rad2deg", "reciprocal", "relu", "round", "rsqrt", "sigmoid", "sign", "signbit", "sin",
    "sinh", "sqrt", "square", "tan", "tanh", "trunc", "isposinf", "isneginf",
]  # fmt: skip
BINARY = [
    "add", "sub", "mul", "div", "floor_divide", "remainder", "fmod", "pow", "eq", "ne", "lt",
    "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or",
    "bitwise_xor", "maximum", "minimum", "fmax", "fmin", "atan2", "hypot", "true_divide",
]  # fmt: skip
REDUCTIONS = [
    "sum", "mean", "prod", "amax", "amin", "argmax", "argmin", "all", "any", "var", "std", "norm",
    "max", "min",
]  # fmt: skip
FUNCTIONAL = [
    "celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu",
    "logsigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softshrink",
    "softsign", "tanh", "tanhshrink",
]  # fmt: skip
SPECIAL = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 0.5, 1.5, -2.5, 3.0, 100.0, -100.0,
           1e-6, 20.5]  # fmt: skip
INTEGERS = [0, 1, 2, 3, 5, 7, 100, 11]


def numbers(dtype: str) -> np.ndarray:
    if dtype == "bool":
        return np.array([True, False, True, True, False, True, False, False])
    if dtype.startswith(("float", "bfloat")):
        return np.array(SPECIAL, np.float64)
    values = np.array(INTEGERS)
    return values if dtype == "uint8" else values * np.array([1, -1] * 4)


def pair(values: np.ndarray, dtype: str) -> tuple[Any, Any]:
    """The same tensor in both libraries."""
    first = torch.tensor(values).to(getattr(torch, dtype))
    second = flambeau.tensor(values).to(getattr(flambeau, dtype))
    return first, second


def outcome(call: Any) -> Any:
    """The result, or the exception."""
    try:
        result = call()
    except Exception as error:  # noqa: BLE001  # what is compared
        return error
    return result


def plain(result: Any) -> np.ndarray:
    if hasattr(result, "is_floating_point") and result.is_floating_point():
        return result.detach().double().numpy()
    return result.detach().numpy()


def compare(wanted: Any, found: Any, name: str) -> None:
    if isinstance(wanted, Exception):
        assert isinstance(found, Exception), f"{name}: PyTorch raises {wanted!r}, here {found!r}"
        assert isinstance(found, type(wanted)) or isinstance(wanted, type(found)), (
            f"{name}: PyTorch raises {wanted!r}, here {found!r}"
        )
        return
    if isinstance(found, Exception):
        raise found
    if isinstance(wanted, tuple):
        for one, other in zip(wanted, found, strict=True):
            compare(one, other, name)
        return
    assert repr(wanted.dtype) == repr(found.dtype), name
    assert tuple(wanted.shape) == tuple(found.shape), name
    dtype = repr(wanted.dtype).removeprefix("torch.")
    rtol = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 4e-6}.get(dtype, 1e-13)
    np.testing.assert_allclose(
        plain(found), plain(wanted), rtol=rtol, atol=rtol * 0.1, equal_nan=True, err_msg=name
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: str) -> None:
    theirs, ours = pair(numbers(dtype), dtype)
    compare(
        outcome(lambda: getattr(torch, name)(theirs)),
        outcome(lambda: getattr(flambeau, name)(ours)),
        name,
    )


@pytest.mark.parametrize("first", DTYPES)
@pytest.mark.parametrize("second", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_binary_dtypes(name: str, first: str, second: str) -> None:
    left, right = numbers(first)[:8], np.roll(numbers(second)[:8], 3)
    if name in ("floor_divide", "remainder", "fmod", "pow", "div", "true_divide"):
        right = np.where(right == 0, right.dtype.type(1), abs(right) if name == "pow" else right)
    theirs, ours = zip(pair(left, first), pair(right, second), strict=True)
    compare(
        outcome(lambda: getattr(torch, name)(*theirs)),
        outcome(lambda: getattr(flambeau, name)(*ours)),
        name,
    )


@pytest.mark.parametrize("name", BINARY)
def test_binary_special_numbers(name: str) -> None:
    left, right = (each.ravel() for each in np.meshgrid(SPECIAL, SPECIAL))
    theirs, ours = zip(pair(left, "float32"), pair(right, "float32"), strict=True)
    compare(
        outcome(lambda: getattr(torch, name)(*theirs)),
        outcome(lambda: getattr(flambeau, name)(*ours)),
        name,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [2, -3, 1.5, True, 300])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "eq", "lt", "pow", "remainder"])
def test_numbers(name: str, number: Any, dtype: str) -> None:
    theirs, ours = pair(numbers(dtype), dtype)
    for call in (
        lambda library, x: getattr(library, name)(x, number),
        lambda library, x: getattr(x, f"{name}_")(number),
    ):
        with np.errstate(all="ignore"):
            compare(
                outcome(lambda call=call: call(torch, theirs)),
                outcome(lambda call=call: call(flambeau, ours)),
                f"{name} {number} {dtype}",
            )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str, dtype: str) -> None:
    values = numbers(dtype)
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, 2.0)
    theirs, ours = pair(
        values[:8].reshape(2, 4) % 7 if values.dtype != bool else values.reshape(2, 4), dtype
    )
    for arguments in ((), (0,), (1, True), (-1,)):
        if name in ("norm",) and arguments:
            arguments = (2, *arguments)
        if name in ("var", "std") and len(arguments) == 2:
            arguments = (arguments[0], False, True)
        compare(
            outcome(lambda a=arguments: getattr(torch, name)(theirs, *a)),
            outcome(lambda a=arguments: getattr(flambeau, name)(ours, *a)),
            f"{name}{arguments} {dtype}",
        )


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_activations(name: str) -> None:
    theirs, ours = pair(np.array(SPECIAL), "float32")
    theirs.requires_grad_()
    ours.requires_grad_()
    wanted = getattr(torch.nn.functional, name)(theirs)
    found = getattr(activation, name)(ours)
    numeric = ~torch.isnan(wanted).numpy() | np.isnan(SPECIAL)  # gelu(∞) is NaN in PyTorch
    compare(wanted[numeric], found[numeric], name)
    wanted.sum().backward()
    found.sum().backward()
    # At NaN any gradient will do, and 0 · ∞ where PyTorch has it is not asked of us.
    numeric = ~torch.isnan(theirs.grad + theirs.detach()).numpy()
    np.testing.assert_allclose(
        ours.grad.numpy()[numeric], theirs.grad.numpy()[numeric], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", UNARY)
def test_unary_gradients(name: str) -> None:
    values = np.array([0.0, 0.1, -0.4, 0.9, 0.5, -0.7, 1.0, -1.0, 2.5])
    values = np.abs(values) if name == "acosh" else values
    theirs, ours = pair(values, "float64")
    theirs.requires_grad_()
    ours.requires_grad_()
    wanted = outcome(lambda: getattr(torch, name)(theirs))
    if isinstance(wanted, Exception) or not wanted.requires_grad:
        pytest.skip("no gradient in PyTorch")
    wanted.sum().backward()
    if theirs.grad is None:
        pytest.skip("PyTorch has zeros without a tensor here")
    getattr(flambeau, name)(ours).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    "text",
    [
        "torch.arange(1, 2, 0.3)",
        "torch.arange(1, 9, 0.7, dtype=torch.float64)",
        "torch.arange(5, dtype=torch.float16)",
        "torch.arange(-3, 4, 2)",
        "torch.linspace(0, 1, 11)",
        "torch.linspace(-3, 8, 6, dtype=torch.float64)",
        "torch.linspace(0, 10, 5, dtype=torch.int64)",
        "torch.logspace(-1, 2, 5)",
        "torch.eye(3, 2, dtype=torch.int32)",
        "torch.full((2,), 3)",
        "torch.tensor([[1, 2.5]])",
        "torch.tensor([1, 2]).cumsum(0)",
        "torch.tensor([True, False]).cumprod(0)",
        "torch.tensor([3., 1., 2.]).cummax(0)",
        "torch.tensor([3., 1., 2.]).cummin(0)",
        "torch.tensor([1., 2., 3.]).clamp(1.5, 2.5)",
        "torch.tensor([1, 2, 3]).clamp(1.5)",
        "torch.tensor([1, 2, 3]).clamp(min=2)",
        "torch.tensor([1., 2.]).clamp(max=torch.tensor([0., 5.]))",
        "torch.tensor([1.25, 2.35]).round(decimals=1)",
        "torch.tensor([150., 250.]).round(decimals=-2)",
        "torch.tensor([1., 2.]).lerp(torch.tensor([3., 4.]), 0.25)",
        "torch.where(torch.tensor([True, False]), 1, 2.5)",
        "torch.result_type(torch.tensor([1]), 2.5)",
        "torch.tensor([1., 2.]).var_mean if False else torch.var_mean(torch.tensor([1., 2., 5.]))",
        "torch.std_mean(torch.tensor([1., 2., 5.]), dim=0)",
        "torch.aminmax(torch.tensor([1., 5.]))",
        "torch.tensor([1., 2., 5.]).std(False)",
        "torch.tensor([[1., 2.]]).std(1, False, True)",
        "torch.tensor([[1., 2.]]).var(dim=1, correction=0)",
        "torch.tensor([1., float('nan')]).nansum()",
        "torch.tensor([1., float('nan')]).nanmean()",
        "torch.count_nonzero(torch.tensor([[0, 1], [1, 1]]), dim=0)",
        "torch.logsumexp(torch.tensor([[1, 2], [3, 4]]), 1)",
        "torch.tensor([1., 2.]).norm(float('inf'))",
        "torch.tensor([1., 2.]).norm(0)",
        "torch.tensor([1., 2.]).norm(p=3, dim=0, keepdim=True)",
        "torch.tensor([7, -7]).div(2, rounding_mode='trunc')",
        "torch.tensor([7., -7.]).div(2, rounding_mode='floor')",
        "torch.add(torch.tensor([1, 2]), torch.tensor([1, 2]), alpha=3)",
        "torch.rsub(torch.tensor([1, 2]), 5)",
        "torch.tensor([1, 2]) << 2",
        "torch.tensor([-9, 2]) >> 1",
        "~torch.tensor([1, 2])",
        "torch.xlogy(torch.tensor([0., 2.]), torch.tensor([0., 3.]))",
        "torch.logit(torch.tensor([0.2, 0.9]))",
        "torch.erfinv(torch.tensor([-1., -0.5, 0., 0.999, 1.]))",
        "torch.sinc(torch.tensor([0., 0.5]))",
        "torch.logaddexp(torch.tensor([1., 1000.]), torch.tensor([2., 1000.]))",
        "torch.tensor([1., 2.]).softmax(0)",
        "torch.log_softmax(torch.tensor([[1., 2.]]), dim=1)",
        "torch.isclose(torch.tensor([1., 2.]), torch.tensor([1., 2.1]))",
        "torch.nan_to_num(torch.tensor([float('inf'), float('nan')]))",
        "torch.tensor([2, 3]) ** 3",
        "2 ** torch.tensor([2, 3])",
        "2.5 ** torch.tensor([2, 3])",
        "torch.float_power(torch.tensor([2, 3]), 2)",
        "torch.tensor([1., -1.]).heaviside(torch.tensor([0.5]))",
        "torch.tensor([1, 2]) / 0",
        "torch.tensor([1., 2.]) // 0",
        "torch.tensor([1., 2.]) % 0",
        "torch.zeros(0, 3).sum(0)",
        "torch.zeros(0).mean()",
        "torch.zeros(0, 3).prod()",
        "torch.zeros(0).max()",
        "torch.zeros(0, 3).max(0)",
        "torch.zeros(2, 3).sum(5)",
        "torch.zeros(2, 3).sum((0, 0))",
        "torch.ones(2, dtype=torch.int64).mean()",
        "torch.ones(3).add_(torch.ones(2, 3))",
        "torch.ones(3, dtype=torch.int64).add_(1.5)",
        "torch.tensor([[1, 2], [3]])",
        "torch.tensor('a')",
        "torch.zeros(-1)",
        "torch.ones(3).item()",
        "bool(torch.ones(3))",
        "float(torch.ones(3))",
        "torch.tensor([1]).bool() - True",
        "-torch.tensor([True])",
        "torch.where(torch.ones(3), 1., 0.)",
        "torch.ones(3).clamp()",
        "torch.ones(3) & 1",
        "torch.tensor([1, 2]) ** -1",
        "torch.tensor([1]) % 0",
        "torch.ones(3, dtype=torch.int64).softmax(0)",
        "torch.ones(2, 3).softmax(3)",
        "torch.ones(2).cumsum(4)",
        "torch.ones(2) + torch.ones(3)",
        "torch.ones(2) + 'a'",
        "torch.ones(2) < None",
        "torch.exp(1.0)",
        "torch.maximum(torch.ones(2), 2)",
        "torch.randint(5, 2, (3,))",
        "torch.full((), 300, dtype=torch.int8)",
        "torch.zeros(2, 3).argmax().item()",
        "torch.zeros(2, dtype=torch.bool).argmax()",
        "torch.ones(2, dtype=torch.int64).var()",
        "torch.finfo(torch.int32)",
        "torch.iinfo(torch.float32)",
        "torch.tensor([1.5]).to(torch.uint8)",
        "torch.tensor([300]).to(torch.uint8)",
        "torch.tensor([1e10]).to(torch.int64)",
        "torch.tensor([1]).type(torch.float64)",
        "torch.tensor([1., 2.]).type('torch.LongTensor')",
    ],
)
def test_expressions(text: str) -> None:
    wanted = outcome(lambda: eval(text, {"torch": torch}))
    found = outcome(lambda: _settled(eval(text, {"torch": flambeau})))
    if isinstance(wanted, Exception) or hasattr(wanted, "detach") or isinstance(wanted, tuple):
        compare(wanted, found, text)
    else:
        assert repr(wanted) == repr(found), text


def _settled(result: Any) -> Any:
    """Computed, so that what only the data can tell is raised here."""
    for each in result if isinstance(result, tuple) else (result,):
        if isinstance(each, flambeau.Tensor):
            each.detach().tolist()
    return result
