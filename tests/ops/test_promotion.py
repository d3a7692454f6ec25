"""Promotion, numbers, in-place operations and out=: PyTorch's rules (checked on PyTorch 2.13)."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau.schedule.flush import STATISTICS

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
]


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (torch.uint8, torch.int8, torch.int16),
        (torch.bfloat16, torch.float16, torch.float32),
        (torch.bool, torch.int8, torch.int8),
        (torch.int64, torch.float16, torch.float16),
        (torch.int32, torch.int64, torch.int64),
        (torch.float32, torch.float64, torch.float64),
    ],
)
def test_two_dtypes(first, second, wanted) -> None:
    assert torch.promote_types(first, second) is wanted
    assert torch.promote_types(second, first) is wanted
    assert (torch.ones(2, dtype=first) + torch.ones(2, dtype=second)).dtype is wanted


@pytest.mark.parametrize("first", DTYPES, ids=str)
@pytest.mark.parametrize("second", DTYPES, ids=str)
def test_promotion_is_symmetric_and_holds_both(first, second) -> None:
    found = torch.promote_types(first, second)
    assert found is torch.promote_types(second, first)
    assert torch.promote_types(found, first) is found
    assert torch.promote_types(found, second) is found


def test_weaker_operands() -> None:
    assert (torch.ones(2, dtype=torch.int32) + torch.tensor(1)).dtype is torch.int32
    half = torch.ones(2, dtype=torch.float16)
    assert (half + torch.tensor(1.0, dtype=torch.float64)).dtype is torch.float16
    assert (torch.ones(2, dtype=torch.int64) * 1.5).dtype is torch.float32
    assert (torch.tensor([True]) + 1).dtype is torch.int64
    assert (torch.tensor([True]) + torch.tensor([True])).dtype is torch.bool
    assert (torch.ones(2) + np.float64(1)).dtype is torch.float32
    assert (torch.tensor([1, 2]) / 2).tolist() == [0.5, 1.0]
    assert torch.result_type(torch.tensor([1]), 1.5) is torch.float32
    assert torch.result_type(1, 2.0) is torch.float32
    assert torch.can_cast(torch.int32, torch.float32)
    assert not torch.can_cast(torch.float32, torch.int32)


def test_integers_wrap_around(device: str) -> None:
    x = torch.tensor([1, 2], dtype=torch.uint8)
    assert (x + 300).tolist() == [45, 46]
    assert (x - 1).tolist() == [0, 1]
    assert (x - 2).tolist() == [255, 0]
    assert (x == -1).tolist() == [False, False]
    with pytest.raises(OverflowError):
        x + 2**70


def test_operators_and_their_reflections(device: str) -> None:
    x = torch.tensor([1.0, 2.0, 4.0])
    assert (1 + x).tolist() == [2.0, 3.0, 5.0]
    assert (1 - x).tolist() == [0.0, -1.0, -3.0]
    assert (2 * x).tolist() == [2.0, 4.0, 8.0]
    assert (8 / x).tolist() == [8.0, 4.0, 2.0]
    assert (9 // x).tolist() == [9.0, 4.0, 2.0]
    assert (9 % x).tolist() == [0.0, 1.0, 1.0]
    assert (2**x).tolist() == [2.0, 4.0, 16.0]
    assert (-x).tolist() == [-1.0, -2.0, -4.0] and (+x) is x
    assert abs(-x).tolist() == [1.0, 2.0, 4.0]
    assert divmod(x, 3)[0].tolist() == [0.0, 0.0, 1.0]
    assert (torch.tensor([-7, 7]) // 2).tolist() == [-4, 3]
    assert (torch.tensor([-7, 7]) % 3).tolist() == [2, 1]
    assert torch.fmod(torch.tensor([-7, 7]), 3).tolist() == [-1, 1]
    assert torch.div(torch.tensor([-7, 7]), 2, rounding_mode="trunc").tolist() == [-3, 3]
    assert (torch.tensor([-1.0]) // float("inf")).tolist() == [-1.0]
    assert (x > 1).tolist() == [False, True, True]
    assert (x + np.ones(3)).dtype is torch.float64 if device != "webgpu" else True


def test_foreign_operands() -> None:
    x = torch.ones(2)
    assert (x == None) is False  # noqa: E711  # what is tested
    assert (x != None) is True  # noqa: E711  # what is tested
    with pytest.raises(TypeError, match="unsupported operand"):
        x + None
    with pytest.raises(TypeError, match="not supported between"):
        x < "a"  # noqa: B015  # it raises
    with pytest.raises(TypeError):
        x += "a"


def test_a_new_number_makes_no_plan() -> None:
    x = torch.tensor([[1.0, 2.0]])
    (x * 2.0 + 1.0).tolist()
    built = STATISTICS.plans_built
    for number in (0.5, 3.25, -7.0):
        assert (x * number + 1.0)[0, 0].item() == number + 1
    assert STATISTICS.plans_built == built


def test_bool_arithmetic() -> None:
    x = torch.tensor([True, False])
    assert (x + x).tolist() == [True, False]
    assert (x * x).tolist() == [True, False]
    with pytest.raises(RuntimeError, match="two bool tensors is not supported"):
        x - x
    with pytest.raises(RuntimeError, match="Negation"):
        -x  # noqa: B018  # it raises


def test_zero_divisors() -> None:
    x = torch.tensor([1, 2])
    for operation in (lambda: x // 0, lambda: x % 0):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            operation().tolist()
    assert (torch.tensor([1.0, -1.0]) / 0).tolist() == [float("inf"), -float("inf")]


def test_in_place(device: str) -> None:
    x = torch.tensor([1.0, 2.0])
    y = x
    x += 1
    assert y is x and y.tolist() == [2.0, 3.0]
    assert x.mul_(2).sub_(1).div_(3).tolist() == [1.0, pytest.approx(5 / 3)]
    view = x[1:]
    view.fill_(7)
    assert x.tolist() == [1.0, 7.0]
    x.clamp_(max=5)
    assert view.tolist() == [5.0]
    torch.relu_(x.neg_())
    assert x.tolist() == [0.0, 0.0]
    z = torch.tensor([1, 2])
    z *= 3
    z <<= 1
    assert z.tolist() == [6, 12]
    assert z.zero_().tolist() == [0, 0]
    flags = torch.tensor([True, False])
    flags |= True
    assert flags.tolist() == [True, True]


def test_in_place_that_does_not_fit() -> None:
    x = torch.ones(3, dtype=torch.int64)
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output"):
        x.add_(1.5)
    with pytest.raises(RuntimeError, match="result type Float can't be cast"):
        x.div_(2)
    with pytest.raises(RuntimeError, match="result type Long can't be cast"):
        torch.ones(3, dtype=torch.bool).add_(1)
    with pytest.raises(RuntimeError, match=r"output with shape \[3\] doesn't match the broadcast"):
        torch.ones(3).add_(torch.ones(2, 3))
    assert x.tolist() == [1, 1, 1]


def test_in_place_and_autograd() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        x.add_(1)
    with torch.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0] and x.requires_grad
    y = x * 1
    y.mul_(x)
    y.exp_()
    y.sum().backward()
    np.testing.assert_allclose(
        x.grad.numpy(), np.exp(x.detach().numpy() ** 2) * 2 * x.numpy(force=True), rtol=1e-5
    )
    z = (x * 1).exp_()
    z.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_out() -> None:
    x = torch.tensor([1.0, 2.0])
    target = torch.zeros(2)
    assert torch.add(x, 1, out=target) is target
    assert target.tolist() == [2.0, 3.0]
    wide = torch.zeros(2, dtype=torch.float64)
    assert torch.exp(x, out=wide).dtype is torch.float64
    empty = torch.empty(0)
    torch.mul(x, 2, out=empty)
    assert empty.tolist() == [2.0, 4.0]
    with pytest.warns(UserWarning, match="was resized"):
        torch.mul(x, 2, out=torch.ones(3))
    with pytest.raises(RuntimeError, match="can't be cast to the desired output"):
        torch.add(x, 1, out=torch.zeros(2, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        torch.add(x.requires_grad_(), 1, out=torch.zeros(2))


def test_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(RuntimeError, match="must match the size of tensor b"):
        torch.ones(3) * torch.ones(2)
    with pytest.raises(RuntimeError, match="must match the size of tensor b"):
        torch.pow(torch.ones(3), torch.ones(2))
