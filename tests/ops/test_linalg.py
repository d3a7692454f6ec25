"""Linear algebra: factors multiply to what was factored, gradients of both orders, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from linalg_table import ARRAYS, ERRORS, OTHERS, SMOOTH

import flambeau as torch
from flambeau.ops.gradcheck import gradcheck, gradgradcheck


def made(names: str, **options: Any) -> list[torch.Tensor]:
    return [torch.tensor(ARRAYS[each], **options) for each in names.split()]


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients(name: str) -> None:
    function, names = SMOOTH[name]
    inputs = tuple(made(names, requires_grad=True))
    assert gradcheck(lambda *given: function(torch, *given), inputs)
    assert gradgradcheck(lambda *given: function(torch, *given), inputs)


@pytest.mark.parametrize("name", OTHERS)
def test_float32(name: str) -> None:
    function, names = OTHERS[name]
    single = function(torch, *made(names, dtype=torch.float32))
    double = function(torch, *made(names))
    both = [each if isinstance(each, tuple) else (each,) for each in (single, double)]
    for one, other in zip(*both, strict=True):
        if isinstance(one, torch.Tensor):
            assert one.dtype == (torch.float32 if other.is_floating_point() else other.dtype)
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    function, names = ERRORS[name]
    with pytest.raises(RuntimeError):
        function(torch, *made(names, requires_grad=True))


def near(one: torch.Tensor, other: torch.Tensor) -> None:
    np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), atol=1e-10)


def test_factors_multiply_to_the_matrix(device: str) -> None:
    if device == "webgpu":
        pytest.skip("webgpu has no float64")
    (A, tall, wide, positive) = made("A tall wide positive")
    for each in (A, tall, wide):
        P, L, U = torch.linalg.lu(each)
        near(P @ L @ U, each)
        Q, R = torch.linalg.qr(each, mode="complete")
        near(Q @ R, each)
        U, S, Vh = torch.linalg.svd(each, full_matrices=False)
        near(U @ torch.diag_embed(S) @ Vh, each)
        near(each @ torch.linalg.pinv(each) @ each, each)
    L = torch.linalg.cholesky(positive)
    near(L @ L.mT, positive)
    values, vectors = torch.linalg.eigh(positive)
    near(vectors * values.unsqueeze(-2), positive @ vectors)
    near(torch.inverse(A) @ A, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    near(torch.matrix_exp(A).det().log(), A.diagonal(dim1=-2, dim2=-1).sum(-1))


def test_a_device_without_numpy_goes_through_the_host(every_device: str) -> None:
    with torch.device(every_device):
        A, b = made("A b", dtype=torch.float32)
        x = torch.linalg.solve(A, b)
        assert x.device.type == every_device
        back = (A @ x.unsqueeze(-1)).squeeze(-1)
    np.testing.assert_allclose(back.cpu().numpy(), ARRAYS["b"], atol=1e-4)


def test_the_host_is_visible() -> None:
    stages = torch.explain(torch.linalg.svdvals(made("A")[0]), show=False)
    assert "host svd" in stages.launches


def test_the_error_names_the_batch_and_the_pivot() -> None:
    A = torch.eye(3).repeat(4, 1, 1)
    A[2, 1, 1] = 0
    with pytest.raises(torch.linalg.LinAlgError, match=r"\(Batch element 2\).*diagonal element 2"):
        torch.linalg.inv(A)
    A[2, 1, 1] = -1
    with pytest.raises(torch.linalg.LinAlgError, match=r"\(Batch element 2\).*order 2"):
        torch.linalg.cholesky(A)
    assert torch.linalg.inv_ex(A * 0).info.tolist() == [1, 1, 1, 1]


def test_the_gradient_of_a_determinant_that_is_zero() -> None:
    A = torch.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=torch.float64, requires_grad=True)
    torch.det(A).backward()
    assert A.grad is not None
    near(A.grad, torch.tensor([[4.0, -2.0], [-2.0, 1.0]], dtype=torch.float64))


def test_out_and_names() -> None:
    (A,) = made("A")
    target = torch.empty(2, 3, 3, dtype=torch.float64)
    assert torch.linalg.inv(A, out=target) is target
    near(target, A.inverse())
    found = torch.linalg.slogdet(A)
    assert repr(found).startswith("torch.return_types.linalg_slogdet(")
    assert found.sign.tolist() == np.sign(np.linalg.det(ARRAYS["A"])).tolist()


def test_low_rank() -> None:
    torch.manual_seed(0)
    A = torch.randn(20, 3, dtype=torch.float64) @ torch.randn(3, 10, dtype=torch.float64)
    U, S, V = torch.svd_lowrank(A, q=4)
    near(U @ torch.diag(S) @ V.T, A)
    _, S, _ = torch.pca_lowrank(A, q=3)
    near(S, torch.linalg.svdvals(A - A.mean(0))[:3])
