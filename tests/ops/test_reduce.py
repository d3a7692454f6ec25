"""Reductions and running sums on every device: values, axes, dtypes, emptiness, gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

import flambeau as torch


def log_sum_exp(x, axis=None, keepdims=False):
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


def norm2(x, axis=None, keepdims=False):
    return np.sqrt((x * x).sum(axis=axis, keepdims=keepdims))


def norm3(x, axis=None, keepdims=False):
    return ((abs(x) ** 3).sum(axis=axis, keepdims=keepdims)) ** (1 / 3)


REDUCTIONS = [
    ("sum", torch.sum, np.sum),
    ("mean", torch.mean, np.mean),
    ("amax", torch.amax, np.amax),
    ("amin", torch.amin, np.amin),
    ("var", torch.var, lambda x, **k: np.var(x, ddof=1, **k)),
    ("std", torch.std, lambda x, **k: np.std(x, ddof=1, **k)),
    ("var_0", lambda x, **k: torch.var(x, correction=0, **k), np.var),
    ("logsumexp", torch.logsumexp, log_sum_exp),
    ("norm", torch.norm, norm2),
    ("norm_3", lambda x, **k: torch.norm(x, 3, **k), norm3),
    ("norm_1", lambda x, **k: torch.norm(x, 1, **k), lambda x, **k: abs(x).sum(**k)),
    ("norm_inf", lambda x, **k: torch.norm(x, math.inf, **k), lambda x, **k: abs(x).max(**k)),
    ("nansum", torch.nansum, np.nansum),
    ("any", lambda x, **k: torch.any(x > 1, **k), lambda x, **k: np.any(x > 1, **k)),
    ("all", lambda x, **k: torch.all(x > -1, **k), lambda x, **k: np.all(x > -1, **k)),
]
AXES = [None, 0, 1, -1, (0, 2), (0, 1, 2)]


@pytest.mark.parametrize("entry", REDUCTIONS, ids=lambda each: each[0])
@pytest.mark.parametrize("dim", AXES, ids=str)
@pytest.mark.parametrize("keepdim", [False, True])
def test_reductions(entry, dim, keepdim: bool, device: str) -> None:
    name, function, reference = entry
    if name == "logsumexp" and dim is None:
        dim = (0, 1, 2)
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    found = function(torch.tensor(array), dim=dim, keepdim=keepdim)
    wanted = reference(array.astype(np.float64), axis=dim, keepdims=keepdim)
    assert tuple(found.shape) == np.shape(wanted)
    np.testing.assert_allclose(found.cpu().numpy(), wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("entry", REDUCTIONS[:13], ids=lambda each: each[0])
def test_reductions_of_views(entry, device: str) -> None:
    _, function, reference = entry
    array = np.random.default_rng(1).normal(size=(8, 6)).astype(np.float32)
    found = function(torch.tensor(array).t()[1:4:2], dim=1)
    np.testing.assert_allclose(
        found.cpu().numpy(), reference(array.T[1:4:2], axis=1), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("dim", [0, 1, None])
def test_prod(dim, device: str) -> None:
    array = np.random.default_rng(0).uniform(0.5, 1.5, size=(3, 4)).astype(np.float32)
    found = torch.prod(torch.tensor(array), dim)
    np.testing.assert_allclose(found.cpu().numpy(), array.prod(axis=dim), rtol=1e-5)


def test_long_sums_are_exact_enough(device: str) -> None:
    array = np.random.default_rng(0).uniform(0, 1, size=100_003).astype(np.float32)
    wanted = array.astype(np.float64)
    assert torch.tensor(array).sum().item() == pytest.approx(wanted.sum(), rel=1e-6)
    assert torch.tensor(array).var().item() == pytest.approx(wanted.var(ddof=1), rel=1e-5)
    shifted = (array + 1000).astype(np.float32)
    expected = shifted.astype(np.float64).var(ddof=1)
    assert torch.tensor(shifted).var().item() == pytest.approx(expected, rel=1e-3)


def test_integers_give_int64(device: str) -> None:
    x = torch.tensor([[1, 2], [3, 4]], dtype=torch.int32)
    assert x.sum().dtype is torch.int64
    assert x.sum(0).tolist() == [4, 6]
    assert x.prod().item() == 24
    assert torch.tensor([True, True, False]).sum().item() == 2
    assert x.cumsum(0).dtype is torch.int64
    assert x.sum(dtype=torch.float32).dtype is torch.float32
    assert x.mean(dtype=torch.float32).item() == 2.5
    with pytest.raises(RuntimeError, match="could not infer output dtype"):
        x.mean()
    assert torch.tensor([3, 0], dtype=torch.uint8).all().dtype is torch.uint8
    assert x.amax().item() == 4
    assert x.amin().item() == 1
    assert (-x).amax(1).tolist() == [-1, -3]


@pytest.mark.parametrize("function", [torch.max, torch.min])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_extremes_along_a_dimension(function, dim: int, device: str) -> None:
    array = np.random.default_rng(2).integers(0, 4, size=(5, 6)).astype(np.float32)
    values, indices = function(torch.tensor(array), dim)
    name = function.__name__
    np.testing.assert_array_equal(values.cpu().numpy(), getattr(array, name)(dim))
    np.testing.assert_array_equal(indices.cpu().numpy(), getattr(array, f"arg{name}")(dim))
    kept = function(torch.tensor(array), dim, keepdim=True)
    assert kept.values.ndim == 2 and kept.indices.dtype is torch.int64


def test_places(device: str) -> None:
    array = np.random.default_rng(2).integers(0, 4, size=(5, 6)).astype(np.float32)
    x = torch.tensor(array)
    assert x.argmax().item() == array.argmax()
    assert x.argmin().item() == array.argmin()
    assert x.argmax(1).tolist() == array.argmax(1).tolist()
    assert x.argmax(0, keepdim=True).shape == (1, 6)
    assert tuple(x.argmax(keepdim=True).shape) == (1, 1)
    with_nan = torch.tensor([1.0, float("nan"), 3.0, float("nan")])
    assert with_nan.argmax().item() == 1
    assert with_nan.argmin().item() == 1
    assert math.isnan(with_nan.max().item())
    assert math.isnan(with_nan.max(0).values.item())
    assert torch.tensor(3.0).argmax().item() == 0


def test_nothing(device: str) -> None:
    none = torch.zeros(0, 3)
    assert none.sum().item() == 0
    assert none.sum(0).tolist() == [0.0, 0.0, 0.0]
    assert none.prod().item() == 1
    assert math.isnan(none.mean().item())
    assert none.all().item() is True
    assert none.any().item() is False
    assert none.any(0).tolist() == [False] * 3
    assert tuple(none.sum(1).shape) == (0,)
    assert tuple(none.amax(1).shape) == (0,)
    assert math.isnan(torch.ones(1).var().item())
    for function in (torch.max, torch.amax, torch.argmax):
        with pytest.raises(RuntimeError, match="Specify the reduction dim"):
            function(none)
    for function in (torch.max, torch.amax, torch.argmin):
        with pytest.raises(IndexError, match="to have non-zero size"):
            function(none, 0)


def test_bad_dimensions() -> None:
    x = torch.zeros(2, 3)
    with pytest.raises(IndexError, match="Dimension out of range"):
        x.sum(2)
    with pytest.raises(RuntimeError, match="appears multiple times"):
        x.sum((0, -2))
    with pytest.raises(RuntimeError, match="does not support bool"):
        (x > 0).argmax()
    with pytest.raises(RuntimeError, match="only support floating point"):
        x.long().var()
    with pytest.raises(RuntimeError, match="Expected a floating point"):
        x.long().norm()


def test_numpy_names_and_out() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.sum(x, axis=1, keepdims=True).tolist() == [[3.0], [7.0]]
    target = torch.zeros(2)
    assert torch.sum(x, 1, out=target) is target
    assert target.tolist() == [3.0, 7.0]
    values, indices = torch.zeros(2), torch.zeros(2, dtype=torch.int64)
    torch.max(x, 1, out=(values, indices))
    assert values.tolist() == [2.0, 4.0] and indices.tolist() == [1, 1]


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_running(dim: int, device: str) -> None:
    array = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    x = torch.tensor(array)
    np.testing.assert_allclose(x.cumsum(dim).cpu().numpy(), array.cumsum(dim), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x.cumprod(dim).cpu().numpy(), array.cumprod(dim), rtol=1e-5)
    values, indices = x.cummax(dim)
    np.testing.assert_array_equal(values.cpu().numpy(), np.maximum.accumulate(array, dim))
    picked = np.take_along_axis(array, indices.cpu().numpy(), dim)
    np.testing.assert_array_equal(picked, np.maximum.accumulate(array, dim))
    np.testing.assert_allclose(
        torch.logcumsumexp(x, dim).cpu().numpy(),
        np.log(np.exp(array).cumsum(dim)),
        rtol=1e-5,
        atol=1e-5,
    )


def test_softmax(device: str) -> None:
    array = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32) * 50
    raised = np.exp(array.astype(np.float64) - array.max(1, keepdims=True))
    wanted = raised / raised.sum(1, keepdims=True)
    x = torch.tensor(array)
    np.testing.assert_allclose(x.softmax(1).cpu().numpy(), wanted, rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(x.log_softmax(1).cpu().numpy(), np.log(wanted), rtol=1e-5, atol=1e-5)
    assert torch.softmax(x.half(), 1, dtype=torch.float32).dtype is torch.float32
    with pytest.raises(NotImplementedError, match="softmax"):
        x.long().softmax(1)


def test_logsumexp_of_infinities() -> None:
    x = torch.tensor([[-math.inf, -math.inf], [math.inf, 1.0], [1000.0, 1000.0]])
    found = x.logsumexp(1).tolist()
    assert found[:2] == [-math.inf, math.inf]
    assert found[2] == pytest.approx(1000 + math.log(2))


DIFFERENTIABLE = [
    ("sum", lambda x: x.sum(1)),
    ("sum_all", lambda x: x.sum()),
    ("mean", lambda x: x.mean((0, 2), keepdim=True)),
    ("prod", lambda x: x.prod(1)),
    ("prod_all", lambda x: x.prod()),
    ("amax", lambda x: x.amax(1)),
    ("amin", lambda x: x.amin((0, 1))),
    ("max", lambda x: x.max(2)[0]),
    ("min", lambda x: x.min(0, keepdim=True)[0]),
    ("var", lambda x: x.var(1)),
    ("std", lambda x: x.std()),
    ("var_mean", lambda x: torch.var_mean(x, 1)),
    ("logsumexp", lambda x: x.logsumexp((0, 2))),
    ("norm", lambda x: x.norm(dim=1)),
    ("norm_3", lambda x: x.norm(3)),
    ("norm_inf", lambda x: x.norm(math.inf, 1)),
    ("cumsum", lambda x: x.cumsum(1)),
    ("cumprod", lambda x: x.cumprod(2)),
    ("cummax", lambda x: x.cummax(1)[0]),
    ("logcumsumexp", lambda x: torch.logcumsumexp(x, 1)),
    ("softmax", lambda x: x.softmax(1)),
    ("log_softmax", lambda x: x.log_softmax(-1)),
    ("nanmean", lambda x: torch.nanmean(x, 0)),
]


@pytest.mark.parametrize("entry", DIFFERENTIABLE, ids=lambda each: each[0])
def test_gradients(entry) -> None:
    with torch.device("reference"):
        array = np.random.default_rng(3).normal(size=(2, 3, 2))
        x = torch.tensor(array, requires_grad=True)
        assert torch.autograd.gradcheck(entry[1], (x,))
        assert torch.autograd.gradgradcheck(entry[1], (x,))


def test_gradients_at_ties() -> None:
    def gradient(function):
        x = torch.tensor([[1.0, 2.0, 2.0]], requires_grad=True)
        return torch.autograd.grad(function(x).sum(), x)[0].tolist()[0]

    assert gradient(torch.max) == [0.0, 0.5, 0.5]
    assert gradient(torch.amax) == [0.0, 0.5, 0.5]
    assert gradient(lambda x: x.max(1)[0]) == [0.0, 1.0, 0.0]
    assert gradient(lambda x: (x - x).norm()) == [0.0, 0.0, 0.0]
    assert gradient(lambda x: x[:, 1:].std()) == [0.0, 0.0, 0.0]
    zero = torch.tensor([0.0, 3.0, 0.0], requires_grad=True)
    assert torch.autograd.grad(zero.prod(), zero)[0].tolist() == [0.0, 0.0, 0.0]
    one = torch.tensor([0.0, 3.0, 2.0], requires_grad=True)
    assert torch.autograd.grad(one.prod(), one)[0].tolist() == [6.0, 0.0, 0.0]


def test_differences(device: str) -> None:
    array = np.random.default_rng(0).integers(0, 9, (3, 5)).astype(np.float32)
    x = torch.tensor(array)
    np.testing.assert_array_equal(x.diff().cpu().numpy(), np.diff(array))
    np.testing.assert_array_equal(torch.diff(x, 2, 0).cpu().numpy(), np.diff(array, 2, 0))
    assert torch.diff(torch.tensor([4, 1]), prepend=torch.tensor([2])).tolist() == [2, -3]
    assert torch.diff(torch.tensor([True, False, False])).tolist() == [True, False]
    assert torch.trapezoid(torch.tensor([1.0, 2.0, 3.0])).item() == 4.0
    places = torch.tensor([0.0, 2.0, 3.0])
    assert torch.trapezoid(torch.tensor([1.0, 2.0, 3.0]), places).item() == 5.5


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax_in_another_dtype(name: str) -> None:
    function = getattr(torch.nn.functional, name)
    for x in (torch.tensor(1.0), torch.tensor([1, 2]), torch.tensor([0.5, 1.0])):
        assert function(x, 0, dtype=torch.float64).dtype is torch.float64


def test_a_running_logsumexp_keeps_what_is_small_beside_what_comes_later() -> None:
    x = torch.tensor([-200.0, -200.0, 0.0, -torch.inf], requires_grad=True)
    running = torch.logcumsumexp(x, 0)
    expected = [-200.0, -200.0 + np.log(2), 0.0, 0.0]
    np.testing.assert_allclose(running.detach().numpy(), expected, rtol=1e-6)
    running[1].backward()
    assert x.grad.tolist() == [0.5, 0.5, 0.0, 0.0]


def test_whole_numbers_evenly_spaced() -> None:
    assert torch.linspace(4.9, -3, 8, dtype=torch.int64).tolist() == [4, 3, 2, 1, 0, -1, -2, -3]
