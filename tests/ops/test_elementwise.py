"""Every elementwise operation on every device: values, shapes, views, NaN, gradients."""

from __future__ import annotations

import numpy as np
import pytest
from elementwise_table import BINARY, SPECIAL, UNARY, Case, assert_near, expected, sample

import flambeau as torch
from flambeau.device import base

ALL = UNARY + BINARY
every = pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)


def run(case: Case, *arrays: np.ndarray) -> np.ndarray:
    return case.function(*map(torch.tensor, arrays)).cpu().numpy()


@every
def test_values(case: Case, device: str) -> None:
    arrays = [sample(case, (7, 33), seed, np.float32) for seed in range(case.arity)]
    assert_near(run(case, *arrays), expected(case, *arrays), case.units)


@pytest.mark.parametrize("case", [each for each in UNARY if each.special], ids=lambda c: c.name)
def test_special_numbers(case: Case, device: str) -> None:
    array = np.array(SPECIAL, np.float32)
    if device == "webgpu":
        array = array[np.abs(np.nan_to_num(array)) < 1e6]  # the largest have errors of their own
    assert_near(run(case, array), expected(case, array), max(case.units, 1))


@pytest.mark.parametrize("case", [each for each in BINARY if each.special], ids=lambda c: c.name)
def test_special_pairs(case: Case, device: str) -> None:
    first, second = (each.ravel() for each in np.meshgrid(SPECIAL, SPECIAL))
    pairs = [first.astype(np.float32), second.astype(np.float32)]
    assert_near(run(case, *pairs), expected(case, *pairs), max(case.units, 1))


@pytest.mark.parametrize("case", BINARY, ids=lambda case: case.name)
def test_broadcast_and_strides(case: Case, device: str) -> None:
    first = sample(case, (4, 1, 6), 0, np.float32)
    second = sample(case, (6, 5), 1, np.float32)
    found = case.function(torch.tensor(first)[::2], torch.tensor(second).t()).cpu().numpy()
    assert_near(found, expected(case, first[::2], second.T), case.units)


@every
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_empty_and_0d(case: Case, shape: tuple[int, ...], device: str) -> None:
    arrays = [sample(case, shape, seed, np.float32) for seed in range(case.arity)]
    assert_near(run(case, *arrays), expected(case, *arrays), case.units)


@every
def test_float64(case: Case, device: str) -> None:
    if base.get(device).supports(torch.float64) is not None:
        pytest.skip(f"no float64 on {device}")
    arrays = [sample(case, (50,), seed, np.float64) for seed in range(case.arity)]
    assert_near(run(case, *arrays), expected(case, *arrays), case.units + 8)


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bits(case: Case, dtype: torch.dtype, device: str) -> None:
    """Computed in float32 and rounded once."""
    if base.get(device).supports(dtype) is not None:
        pytest.skip(f"no {dtype} on {device}")
    arrays = [sample(case, (50,), seed, np.float32) for seed in range(case.arity)]
    tensors = [torch.tensor(each).to(dtype) for each in arrays]
    found = case.function(*tensors)
    assert found.dtype in (dtype, torch.bool)
    wanted = case.function(*(each.float() for each in tensors))
    eps = torch.finfo(dtype).eps
    np.testing.assert_allclose(
        found.float().cpu().numpy(), wanted.float().cpu().numpy(), rtol=eps, atol=1e-7
    )


@pytest.mark.parametrize("case", [each for each in ALL if each.smooth], ids=lambda c: c.name)
def test_gradients(case: Case) -> None:
    with torch.device("reference"):
        inputs = [
            torch.tensor(sample(case, shape, seed + 7, np.float64), requires_grad=True)
            for seed, shape in enumerate([(3, 2), (2,)][: case.arity])
        ]
        assert torch.autograd.gradcheck(case.function, inputs)
        assert torch.autograd.gradgradcheck(case.function, inputs)


INTEGERS = [
    ("add", torch.add, np.add),
    ("sub", torch.sub, np.subtract),
    ("mul", torch.mul, np.multiply),
    ("floor_divide", torch.floor_divide, np.floor_divide),
    ("remainder", torch.remainder, np.remainder),
    ("fmod", torch.fmod, np.fmod),
    ("div_trunc", lambda x, y: torch.div(x, y, rounding_mode="trunc"), None),
    ("bitwise_and", torch.bitwise_and, np.bitwise_and),
    ("bitwise_or", torch.bitwise_or, np.bitwise_or),
    ("bitwise_xor", torch.bitwise_xor, np.bitwise_xor),
    ("maximum", torch.maximum, np.maximum),
    ("minimum", torch.minimum, np.minimum),
    ("lt", torch.lt, np.less),
    ("le", torch.le, np.less_equal),
    ("ge", torch.ge, np.greater_equal),
    ("ne", torch.ne, np.not_equal),
]


@pytest.mark.parametrize("entry", INTEGERS, ids=lambda each: each[0])
@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
def test_integers(entry, dtype: str, device: str) -> None:
    name, function, reference = entry
    of = getattr(torch, dtype)
    if base.get(device).supports(of) is not None:
        pytest.skip(f"no {dtype} on {device}")
    low = 0 if dtype == "uint8" else -50
    generator = np.random.default_rng(0)
    first = generator.integers(low, 50, 100).astype(dtype)
    second = generator.integers(1, 20, 100).astype(dtype) * (1 if low == 0 else -1) ** (
        np.arange(100) % 2
    ).astype(dtype)
    second = second.astype(dtype)
    found = function(torch.tensor(first), torch.tensor(second)).cpu().numpy()
    if reference is None:
        wanted = np.trunc(first.astype(np.float64) / second).astype(dtype)
    else:
        wanted = reference(first, second)
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == wanted.dtype


def test_shifts(device: str) -> None:
    x = torch.tensor([1, -8, 5], dtype=torch.int32)
    assert (x << 2).tolist() == [4, -32, 20]
    assert (x >> 1).tolist() == [0, -4, 2]
    assert (x << torch.tensor([32, 40, 1], dtype=torch.int32)).tolist() == [0, 0, 10]
    assert (x >> torch.tensor([32, 40, 1], dtype=torch.int32)).tolist() == [0, -1, 2]
    assert (~x).tolist() == [-2, 7, -6]


def test_integer_powers(device: str) -> None:
    x = torch.tensor([2, -3, 0, 1], dtype=torch.int32)
    assert (x**5).tolist() == [32, -243, 0, 1]
    assert (x**0).tolist() == [1, 1, 1, 1]
    exponents = torch.tensor([3, 2, 1, -4], dtype=torch.int32)
    assert torch.pow(x, exponents).tolist() == [8, 9, 0, 1]
    with pytest.raises(RuntimeError, match="negative integer powers"):
        x**-1


def test_power_special_cases(device: str) -> None:
    base_, exponent = (
        each.ravel().astype(np.float32)
        for each in np.meshgrid([0.0, 1.0, -1.0, 2.0, -2.0, 0.5], [0.0, 1.0, -1.0, 3.0, 2.0, 0.5])
    )
    with np.errstate(all="ignore"):
        wanted = np.power(base_.astype(np.float64), exponent.astype(np.float64))
    found = torch.pow(torch.tensor(base_), torch.tensor(exponent)).cpu().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_logic(device: str) -> None:
    x, y = torch.tensor([0.0, 1.5, float("nan")]), torch.tensor([1, 0, 2])
    assert torch.logical_and(x, y).tolist() == [False, False, True]
    assert torch.logical_or(x, y).tolist() == [True, True, True]
    assert torch.logical_xor(x, y).tolist() == [True, True, False]
    assert torch.logical_not(x).tolist() == [True, False, False]
    bits = torch.tensor([True, False])
    assert (bits & True).tolist() == [True, False]
    assert (bits | torch.tensor([False, False])).tolist() == [True, False]
    assert (~bits).tolist() == [False, True]
    assert (bits + bits).dtype is torch.bool
    assert (bits * 1).dtype is torch.int64
    with pytest.raises(NotImplementedError, match="bitwise_and"):
        x & 1


def test_isnan_and_its_like(device: str) -> None:
    x = torch.tensor([1.0, float("inf"), -float("inf"), float("nan"), -0.0])
    assert torch.isnan(x).tolist() == [False, False, False, True, False]
    assert torch.isinf(x).tolist() == [False, True, True, False, False]
    assert torch.isfinite(x).tolist() == [True, False, False, False, True]
    assert torch.isposinf(x).tolist() == [False, True, False, False, False]
    assert torch.isneginf(x).tolist() == [False, False, True, False, False]
    assert torch.signbit(x).tolist()[4] is True
    assert torch.isnan(torch.tensor([1, 2])).tolist() == [False, False]
    numbers = torch.nan_to_num(x, nan=7.0, posinf=8.0, neginf=9.0)
    assert numbers.tolist() == [1.0, 8.0, 9.0, 7.0, 0.0]


def test_where(device: str) -> None:
    condition = torch.tensor([True, False, True])
    assert torch.where(condition, 1.0, torch.tensor([5, 6, 7])).tolist() == [1.0, 6.0, 1.0]
    assert torch.where(condition, 1, 2.0).dtype is torch.float32
    assert torch.ones(3).where(condition, 0).tolist() == [1.0, 0.0, 1.0]
    with pytest.raises(RuntimeError, match="expected condition to be a boolean tensor"):
        torch.where(torch.ones(3), 1.0, 0.0)


def test_lerp_addcmul_addcdiv(device: str) -> None:
    start, end = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])
    assert torch.lerp(start, end, 0.5).tolist() == [2.0, 4.0]
    assert torch.lerp(start, end, torch.tensor([0.0, 1.0])).tolist() == [1.0, 6.0]
    assert torch.addcmul(start, end, end, value=0.5).tolist() == [5.5, 20.0]
    assert torch.addcdiv(start, end, torch.tensor([2.0, 3.0]), value=2).tolist() == [4.0, 6.0]
    with pytest.raises(RuntimeError, match="expected dtype"):
        torch.lerp(start, end.to(torch.int64), 0.5)


def test_rounding_halves_to_even_keeps_the_sign(device: str) -> None:
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -0.2])
    found = x.round()
    assert found.tolist() == [0.0, 2.0, 2.0, 0.0, -2.0, 0.0]
    assert torch.signbit(found).tolist() == [False, False, False, True, True, True]


def test_gradients_at_ties_and_bounds() -> None:
    def gradient(function, *values):
        x = torch.tensor(values, requires_grad=True)
        (found,) = torch.autograd.grad(function(x).sum(), x)
        return found.tolist()

    assert gradient(torch.abs, 0.0, -1.0, 2.0) == [0.0, -1.0, 1.0]
    assert gradient(torch.relu, 0.0, -1.0, 2.0) == [0.0, 0.0, 1.0]
    assert gradient(lambda x: x.clamp(-1, 1), -1.0, 1.0, 2.0) == [1.0, 1.0, 0.0]
    assert gradient(lambda x: torch.maximum(x, torch.ones(2)), 1.0, 3.0) == [0.5, 1.0]
    assert gradient(lambda x: torch.minimum(x, torch.ones(2)), 1.0, 3.0) == [0.5, 0.0]
    assert gradient(torch.sqrt, 0.0, 4.0) == [float("inf"), 0.25]
    assert gradient(torch.tanh, 0.0, 100.0, -100.0) == [1.0, 0.0, 0.0]
    assert gradient(torch.sign, 0.0, 3.0) == [0.0, 0.0]
    assert gradient(torch.round, 1.0, 3.2) == [0.0, 0.0]
    assert gradient(lambda x: x**0, 0.0, 3.0) == [0.0, 0.0]
    assert gradient(lambda x: x**2.5, 0.0, 1.0) == [0.0, 2.5]


def test_saturated_gradients_are_numbers() -> None:
    """No NaN from the branch that is not taken, in the first and in the second derivative."""
    for function in (torch.tanh, torch.sigmoid, torch.erf, torch.softmax, torch.logsumexp):
        x = torch.tensor([-200.0, 0.0, 200.0], requires_grad=True)
        y = function(x, 0) if function in (torch.softmax, torch.logsumexp) else function(x)
        weights = torch.tensor([1.0, 2.0, 3.0]) if y.ndim else torch.tensor(1.0)
        (first,) = torch.autograd.grad((y * weights).sum(), x, create_graph=True)
        assert torch.isfinite(first).all(), function
        (second,) = torch.autograd.grad(first.sum(), x)
        assert torch.isfinite(second).all(), function


def test_closeness(device: str) -> None:
    x = torch.tensor([1.0, float("inf"), float("nan")])
    y = torch.tensor([1.000001, float("inf"), float("nan")])
    assert torch.isclose(x, y).tolist() == [True, True, False]
    assert torch.isclose(x, y, equal_nan=True).all()
    assert torch.allclose(x[:2], y[:2])
    assert torch.equal(x[:2], x[:2].clone())
    assert not torch.equal(x[:2], x[:1])
    assert 1.0 in x
    with pytest.raises(RuntimeError, match="Float did not match Long"):
        torch.isclose(x, torch.tensor([1, 2, 3]))
