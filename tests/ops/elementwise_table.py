"""The table of elementwise operations: each with numpy's answer and where its inputs may lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import flambeau as torch
from flambeau.ops import activation

vector_erf = np.vectorize(math.erf, otypes=[np.float64])
vector_erfc = np.vectorize(math.erfc, otypes=[np.float64])


@dataclass(frozen=True)
class Case:
    """One operation of `arity` tensors; `low` and `high` bound the numbers it is tried on.

    units    tolerated error, in units of the last place of the result
    smooth   whether its gradient agrees with differences between the bounds
    special  numbers it is tried on as well, where numpy's answer is PyTorch's
    """

    name: str
    function: Callable[..., Any]
    reference: Callable[..., Any]
    arity: int = 1
    low: float = -4.0
    high: float = 4.0
    units: float = 4.0
    smooth: bool = True
    special: bool = True


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softplus(x: Any) -> Any:
    return np.logaddexp(x, 0)


UNARY = [
    Case("neg", torch.neg, np.negative, units=0),
    Case("abs", torch.abs, np.abs, units=0),
    Case("sign", torch.sign, np.sign, smooth=False, units=0, special=False),
    Case("exp", torch.exp, np.exp),
    Case("exp2", torch.exp2, np.exp2),
    Case("expm1", torch.expm1, np.expm1),
    Case("log", torch.log, np.log, low=0.1),
    Case("log2", torch.log2, np.log2, low=0.1),
    Case("log10", torch.log10, np.log10, low=0.1),
    Case("log1p", torch.log1p, np.log1p, low=-0.9),
    Case("sqrt", torch.sqrt, np.sqrt, low=0.1),
    Case("rsqrt", torch.rsqrt, lambda x: 1 / np.sqrt(x), low=0.1),
    Case("square", torch.square, np.square, units=1),
    Case("reciprocal", torch.reciprocal, lambda x: 1 / x, low=0.2),
    Case("sin", torch.sin, np.sin),
    Case("cos", torch.cos, np.cos),
    Case("tan", torch.tan, np.tan, low=-1.4, high=1.4),
    Case("asin", torch.asin, np.arcsin, low=-0.95, high=0.95),
    Case("acos", torch.acos, np.arccos, low=-0.95, high=0.95),
    Case("atan", torch.atan, np.arctan),
    Case("sinh", torch.sinh, np.sinh),
    Case("cosh", torch.cosh, np.cosh),
    Case("tanh", torch.tanh, np.tanh),
    Case("asinh", torch.asinh, np.arcsinh),
    Case("acosh", torch.acosh, np.arccosh, low=1.1, units=6),
    Case("atanh", torch.atanh, np.arctanh, low=-0.9, high=0.9),
    Case("erf", torch.erf, vector_erf),
    Case("erfc", torch.erfc, vector_erfc, units=8),
    Case("floor", torch.floor, np.floor, smooth=False, units=0),
    Case("ceil", torch.ceil, np.ceil, smooth=False, units=0),
    Case("trunc", torch.trunc, np.trunc, smooth=False, units=0),
    Case("round", torch.round, np.round, smooth=False, units=0),
    Case("frac", torch.frac, lambda x: x - np.trunc(x), smooth=False, units=0, special=False),
    Case("sinc", torch.sinc, np.sinc, low=-0.8, high=0.8, units=6, special=False),
    Case("deg2rad", torch.deg2rad, np.deg2rad),
    Case("rad2deg", torch.rad2deg, np.rad2deg),
    Case("relu", torch.relu, lambda x: np.maximum(x, 0), units=0),
    Case("sigmoid", torch.sigmoid, sigmoid),
    Case("silu", activation.silu, lambda x: x * sigmoid(x), special=False),
    Case("logsigmoid", activation.logsigmoid, lambda x: -softplus(-x), units=6),
    Case("softplus", activation.softplus, softplus, units=6),
    Case("softsign", activation.softsign, lambda x: x / (1 + abs(x)), special=False),
    Case(
        "gelu",
        activation.gelu,
        lambda x: x * 0.5 * vector_erfc(-x / math.sqrt(2)),
        low=-1,
        units=16,
        special=False,
    ),
    Case(
        "gelu_tanh",
        lambda x: activation.gelu(x, "tanh"),
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        low=-1,
        units=16,
        special=False,
    ),
    Case("mish", activation.mish, lambda x: x * np.tanh(softplus(x)), units=8, special=False),
    Case("elu", activation.elu, lambda x: np.where(x > 0, x, np.expm1(x))),
    Case("leaky_relu", activation.leaky_relu, lambda x: np.where(x > 0, x, x * 0.01)),
    Case("hardtanh", activation.hardtanh, lambda x: np.clip(x, -1, 1), units=0),
    Case("hardswish", activation.hardswish, lambda x: x * np.clip(x + 3, 0, 6) / 6, special=False),
    Case("hardsigmoid", activation.hardsigmoid, lambda x: np.clip(x + 3, 0, 6) / 6, units=8),
    Case("softshrink", activation.softshrink, lambda x: x - np.clip(x, -0.5, 0.5), special=False),
    Case("hardshrink", activation.hardshrink, lambda x: np.where(abs(x) <= 0.5, 0, x)),
    Case("tanhshrink", activation.tanhshrink, lambda x: x - np.tanh(x), low=1, special=False),
    Case("logit", torch.logit, lambda x: np.log(x / (1 - x)), low=0.05, high=0.4),
    Case("pow_1", lambda x: x**1, lambda x: x, units=0),
    Case("pow_3", lambda x: x**3, lambda x: x**3),
    Case("pow_-2", lambda x: x**-2, lambda x: x**-2.0, low=0.3),
    Case("pow_2.5", lambda x: x**2.5, lambda x: x**2.5, low=0.1, units=8),
    Case("pow_of_number", lambda x: 2.0**x, lambda x: 2.0**x, units=8),
    Case("clamp", lambda x: x.clamp(-1, 2), lambda x: np.clip(x, -1, 2), units=0),
    Case("clamp_min", lambda x: x.clamp(min=-1), lambda x: np.maximum(x, -1), units=0),
    Case("nan_to_num", torch.nan_to_num, lambda x: x, units=0, special=False),
    Case("round_2", lambda x: x.round(decimals=2), lambda x: np.round(x, 2), smooth=False),
]

BINARY = [
    Case("add", torch.add, np.add, 2, units=1),
    Case("sub", torch.sub, np.subtract, 2, units=1),
    Case("mul", torch.mul, np.multiply, 2, units=1),
    Case("div", torch.div, np.divide, 2, low=0.3, units=1),
    Case("add_alpha", lambda x, y: torch.add(x, y, alpha=2), lambda x, y: x + 2 * y, 2, low=0.1),
    Case("floor_divide", torch.floor_divide, np.floor_divide, 2, smooth=False, special=False),
    Case("remainder", torch.remainder, np.remainder, 2, low=0.3, smooth=False, special=False),
    Case("fmod", torch.fmod, np.fmod, 2, low=0.3, smooth=False, special=False),
    Case("maximum", torch.maximum, np.maximum, 2, units=0),
    Case("minimum", torch.minimum, np.minimum, 2, units=0),
    Case("fmax", torch.fmax, np.fmax, 2, units=0),
    Case("fmin", torch.fmin, np.fmin, 2, units=0),
    Case("pow", torch.pow, np.power, 2, low=0.2, units=12, special=False),
    Case("atan2", torch.atan2, np.arctan2, 2, units=6),
    Case("hypot", torch.hypot, np.hypot, 2),
    Case("logaddexp", torch.logaddexp, np.logaddexp, 2, low=0, units=6, special=False),
    Case("xlogy", torch.xlogy, lambda x, y: x * np.log(y), 2, low=0.2, special=False),
    Case("eq", torch.eq, np.equal, 2, smooth=False),
    Case("ne", torch.ne, np.not_equal, 2, smooth=False),
    Case("lt", torch.lt, np.less, 2, smooth=False),
    Case("le", torch.le, np.less_equal, 2, smooth=False),
    Case("gt", torch.gt, np.greater, 2, smooth=False),
    Case("ge", torch.ge, np.greater_equal, 2, smooth=False),
]

SPECIAL = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 0.5, -2.5, 1e-6, 100.0, -100.0]


def sample(case: Case, shape: tuple[int, ...], seed: int, dtype: Any) -> np.ndarray:
    """Random numbers between the case's bounds."""
    numbers = np.random.default_rng(seed).uniform(case.low, case.high, shape)
    return numbers.astype(dtype)


def expected(case: Case, *arrays: np.ndarray) -> np.ndarray:
    """numpy's answer in float64."""
    with np.errstate(all="ignore"):
        return np.asarray(case.reference(*(each.astype(np.float64) for each in arrays)))


def assert_near(found: np.ndarray, wanted: np.ndarray, units: float) -> None:
    """Equal NaN and infinities; the rest within some units of the last place."""
    assert found.shape == wanted.shape
    if found.dtype == np.bool_:
        np.testing.assert_array_equal(found, wanted)
        return
    with np.errstate(over="ignore"):
        rounded = wanted.astype(found.dtype)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(rounded))
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(
        found[~finite & ~np.isnan(found)], rounded[~finite & ~np.isnan(rounded)]
    )
    room = (units + 0.5) * np.spacing(np.abs(rounded[finite]))
    least = np.finfo(found.dtype).tiny
    wrong = np.abs(found[finite].astype(np.float64) - wanted[finite]) > np.maximum(room, least)
    assert not wrong.any(), (found[finite][wrong][:5], wanted[finite][wrong][:5])
