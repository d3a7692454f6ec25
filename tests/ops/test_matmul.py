"""Matrix products against numpy; errors as PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch

SHAPES = [
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((2, 1, 4, 3), (6, 3, 5)),
    ((2, 3), (5, 3, 4)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((65, 130), (130, 70)),
]


def sample(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_matmul(shapes: Any, device: str) -> None:
    left, right = (sample(*each) for each in shapes)
    found = (torch.tensor(left) @ torch.tensor(right)).cpu().numpy()
    expected = left.astype(np.float64) @ right.astype(np.float64)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_operands_that_are_views(device: str) -> None:
    left, right = sample(6, 4), sample(6, 5)
    x, y = torch.tensor(left), torch.tensor(right)
    np.testing.assert_allclose((x.t() @ y).cpu().numpy(), left.T @ right, rtol=1e-5, atol=1e-5)
    part = (x[1:5, ::2].t() @ y[:4]).cpu().numpy()
    np.testing.assert_allclose(part, left[1:5, ::2].T @ right[:4], rtol=1e-5, atol=1e-5)
    spread = x[:1].expand(3, 4) @ torch.tensor(sample(4, 2))
    np.testing.assert_allclose(
        spread.cpu().numpy(), np.repeat(left[:1], 3, 0) @ sample(4, 2), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bij,bkj->bik", [(2, 3, 4), (2, 5, 4)]),
        ("i,j,k->kji", [(2,), (3,), (4,)]),
        ("iij->j", [(3, 3, 2)]),
        ("...i,...i->...", [(2, 1, 3), (4, 3)]),
        ("abc,cd,be->aed", [(2, 3, 4), (4, 5), (3, 6)]),
    ],
)
def test_einsum(equation: str, shapes: Any, device: str) -> None:
    arrays = [sample(*each) for each in shapes]
    found = torch.einsum(equation, *map(torch.tensor, arrays)).cpu().numpy()
    np.testing.assert_allclose(found, np.einsum(equation, *arrays), rtol=1e-5, atol=1e-5)


def test_linear(device: str) -> None:
    x, w, bias = sample(2, 5, 3), sample(4, 3), sample(4)
    found = torch.nn.functional.linear(*map(torch.tensor, (x, w, bias))).cpu().numpy()
    np.testing.assert_allclose(found, x @ w.T + bias, rtol=1e-5, atol=1e-5)


def test_addmm_with_beta_0_ignores_nan(device: str) -> None:
    nothing = torch.full((2, 2), float("nan"))
    found = torch.addmm(nothing, torch.ones(2, 3), torch.ones(3, 2), beta=0, alpha=2)
    assert found.tolist() == [[6.0, 6.0], [6.0, 6.0]]


def test_kron_and_tensordot(device: str) -> None:
    x, y = sample(2, 3), sample(3, 2)
    kron = torch.kron(torch.tensor(x), torch.tensor(y)).cpu().numpy()
    np.testing.assert_allclose(kron, np.kron(x, y), rtol=1e-6)
    dot = torch.tensordot(torch.tensor(x), torch.tensor(y), ([0, 1], [1, 0])).cpu().numpy()
    np.testing.assert_allclose(dot, np.tensordot(x, y, ([0, 1], [1, 0])), rtol=1e-5)


def test_integers(device: str) -> None:
    x = np.arange(6).reshape(2, 3)
    assert (torch.tensor(x) @ torch.tensor(x.T)).tolist() == (x @ x.T).tolist()


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        ((2, 3), (4, 5), r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x5\)"),
        ((7, 2, 3), (4, 5), r"cannot be multiplied \(14x3 and 4x5\)"),
        ((2,), (3,), "inconsistent tensor size"),
        ((2, 3, 4), (2, 5, 6), r"to be: \[2, 4\] but got: \[2, 5\]"),
        ((), (2,), "at least 1D"),
    ],
)
def test_shapes_that_do_not_fit(left: Any, right: Any, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        torch.zeros(left) @ torch.zeros(right)


def test_dtypes_that_do_not_fit() -> None:
    with pytest.raises(RuntimeError, match="same dtype, but got: float != double"):
        torch.zeros(2, 3) @ torch.zeros(3, 2, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="same dtype, but got: long int != float"):
        torch.nn.functional.linear(torch.ones(2, 3, dtype=torch.int64), torch.ones(4, 3))
