"""gradcheck finds wrong gradients and says where."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau.autograd import Function, GradcheckError, gradcheck, gradgradcheck


class WrongSquare(Function):
    """Its gradient lacks the factor 2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x


class HalfRightSquare(Function):
    """The gradient is right, but not differentiable."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 2 * x.detach()


def numbers(*shape: int):
    torch.manual_seed(0)
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_right_gradients() -> None:
    assert gradcheck(lambda x, y: (x * y).sum(0), (numbers(2, 3), numbers(3)))
    assert gradgradcheck(lambda x: x.tanh(), numbers(3))
    assert gradcheck(lambda x: (x.sin(), x.cos()), [numbers(2)])
    assert gradcheck(lambda x, n: x * n, (numbers(2), 3))


def test_wrong_gradients() -> None:
    with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to inp"):
        gradcheck(WrongSquare.apply, (numbers(3),))
    assert not gradcheck(WrongSquare.apply, (numbers(3),), raise_exception=False)
    assert gradcheck(HalfRightSquare.apply, (numbers(3),))
    assert not gradgradcheck(HalfRightSquare.apply, (numbers(3),), raise_exception=False)


def test_arguments() -> None:
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(lambda x: x, (torch.ones(2, dtype=torch.float64),))
    with pytest.raises(NotImplementedError, match="backward gradients only"):
        gradcheck(lambda x: x, (numbers(1),), check_forward_ad=True)


def test_published_as_pytorch_has_it() -> None:
    assert torch.autograd.gradcheck is gradcheck
    assert torch.autograd.gradgradcheck is gradgradcheck
