"""What PyTorch's samples of its operations asked for: copies, corners of gradients, factors."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau.ops.gradcheck import gradcheck, gradgradcheck

GENERATOR = np.random.default_rng(5)


def made(*shape: int, gradient: bool = True) -> torch.Tensor:
    return torch.tensor(GENERATOR.standard_normal(shape), requires_grad=gradient)


COPIES = {
    "alias_copy": (),
    "as_strided_copy": ((2, 2), (1, 2)),
    "diagonal_copy": (),
    "narrow_copy": (0, 1, 2),
    "select_copy": (0, 1),
    "split_copy": (2,),
    "split_with_sizes_copy": ([1, 2],),
    "unbind_copy": (),
    "unfold_copy": (0, 2, 1),
    "unsafe_chunk": (2,),
    "unsafe_split": (2,),
    "unsafe_split_with_sizes": ([2, 1],),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies(name: str) -> None:
    x = made(3, 3, gradient=False)
    plain = name.removesuffix("_copy").removeprefix("unsafe_")
    found = getattr(torch, name)(x, *COPIES[name])
    views = x if plain == "alias" else getattr(x, plain)(*COPIES[name])
    torch.testing.assert_close(found, views)
    before = x.clone()
    (found[0] if isinstance(found, tuple) else found).add_(1)
    torch.testing.assert_close(x, before)


def test_what_is_overwritten_has_a_gradient_of_zeros() -> None:
    x = made(3)
    (x * 2).fill_(1.0).sum().backward()
    assert x.grad.tolist() == [0, 0, 0]
    x.grad = None
    (x * 2).zero_().sum().backward()
    assert x.grad.tolist() == [0, 0, 0]
    for found in (torch.fill(x, 2.0), torch.slice_scatter(x, made(3))):
        (gradient,) = torch.autograd.grad(found.sum(), x)
        assert gradient.tolist() == [0, 0, 0]
    value = torch.tensor(2.0, requires_grad=True)
    torch.fill(x, value.double()).sum().backward()
    assert value.grad.item() == 3


@pytest.mark.parametrize("shape", [(3, 3), (3, 5), (5, 3), (2, 3, 4)])
def test_gradients_of_lu_factors(shape: tuple[int, ...]) -> None:
    x = made(*shape)
    assert gradcheck(lambda each: torch.linalg.lu_factor(each).LU, (x,))
    assert gradgradcheck(lambda each: torch.linalg.lu_factor(each).LU, (x,))


def test_householder_factors() -> None:
    x = made(2, 5, 3, gradient=False)
    packed, tau = torch.geqrf(x)
    product = torch.ormqr(packed, tau, torch.cat([packed.triu()[:, :3], x.new_zeros(2, 2, 3)], 1))
    torch.testing.assert_close(product, x)
    other = made(2, 4, 5, gradient=False)
    whole = torch.ormqr(packed, tau, torch.eye(5, dtype=x.dtype).expand(2, 5, 5))
    torch.testing.assert_close(torch.ormqr(packed, tau, other, left=False), other @ whole)
    back = torch.ormqr(packed, tau, other.mT, transpose=True)
    torch.testing.assert_close(back, whole.mT @ other.mT)
    with pytest.raises(RuntimeError, match="ormqr"):
        torch.ormqr(packed, tau, other)


def test_hermitian_pinv_reads_one_triangle() -> None:
    x = made(4, 4, gradient=False)
    whole = x.tril() + x.tril(-1).mT
    torch.testing.assert_close(torch.linalg.pinv(x, hermitian=True), torch.linalg.pinv(whole))


def test_quantiles_move_with_their_level() -> None:
    x = made(6)
    q = torch.tensor([0.3, 0.77], dtype=torch.float64, requires_grad=True)
    assert gradcheck(torch.quantile, (x, q))


@pytest.mark.parametrize("name", ["hfft2", "hfftn"])
def test_hermitian_transforms(name: str) -> None:
    x = made(4, 6)
    half = getattr(torch.fft, f"i{name}")(x)
    torch.testing.assert_close(getattr(torch.fft, name)(half, s=(4, 6)), x)
    np.testing.assert_allclose(half.detach().numpy(), np.fft.rfft2(x.detach().numpy()).conj() / 24)
    assert gradcheck(getattr(torch.fft, f"i{name}"), (x,))


def test_histograms_of_points() -> None:
    points = GENERATOR.random((40, 2))
    weight = GENERATOR.random(40)
    for density in (False, True):
        found = torch.histogramdd(
            torch.tensor(points), [3, 4], weight=torch.tensor(weight), density=density
        )
        expected, edges = np.histogramdd(points, [3, 4], weights=weight, density=density)
        np.testing.assert_allclose(found.hist.numpy(), expected)
        for one, other in zip(found.bin_edges, edges, strict=True):
            np.testing.assert_allclose(one.numpy(), other)
    ranged = torch.histogramdd(torch.tensor(points), 2, range=[0.0, 1.0, 0.0, 2.0])
    assert ranged.hist.sum().item() == 40 and ranged.bin_edges[1].tolist() == [0.0, 1.0, 2.0]
    one = torch.histogram(torch.tensor(3.0), 2)
    assert one.bin_edges.tolist() == [2.5, 3.0, 3.5]


def test_native_normalisations() -> None:
    x = made(4, 6, 3, gradient=False)
    result, mean, inverse = torch.native_layer_norm(x, (3,), None, None, 1e-5)
    torch.testing.assert_close(result, torch.nn.functional.layer_norm(x, (3,)))
    torch.testing.assert_close((x - mean) * inverse, result)
    result, mean, inverse = torch.native_group_norm(x, None, None, 4, 6, 3, 2, 1e-5)
    assert mean.shape == inverse.shape == (4, 2)
    torch.testing.assert_close(result, torch.nn.functional.group_norm(x, 2))
    result, mean, _ = torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)
    torch.testing.assert_close(mean, x.mean((0, 2)))
    assert torch.native_batch_norm(x, None, None, mean, mean * 0 + 1, False, 0.1, 0.0)[1].shape == (
        0,
    )


def test_small_things() -> None:
    assert torch.constant_pad_nd(torch.ones(2), (1, 0), 3.0).tolist() == [3.0, 1.0, 1.0]
    assert torch.empty_permuted((2, 3), (1, 0)).shape == (2, 3)
    with pytest.raises(RuntimeError, match="permutation"):
        torch.empty_permuted((2, 3), (1, 1))
    assert torch.tensor([4.0]).__rdiv__(2.0).tolist() == [0.5]
    slopes = torch.gradient(torch.tensor([0, 1, 4]), spacing=0.5)
    assert slopes[0].tolist() == [2.0, 4.0, 6.0]
    x, y = torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    torch.nextafter(x, y).sum().backward()
    assert x.grad.tolist() == [1, 1] and y.grad.tolist() == [0, 0]
    (torch.cdist(made(2, 3), made(4, 3), p=0).sum()).backward()
    assert torch.tensor(True).sum_to_size(()).dtype is torch.int64


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_ldl_factors(size: int) -> None:
    x = made(2, size, size, gradient=False)
    matrix = x + x.mT
    matrix[0].diagonal().zero_()  # blocks of 2 by 2 are needed
    if size == 1:
        matrix = matrix + 1
    found = torch.linalg.ldl_factor_ex(matrix)
    assert found.info.tolist() == [0, 0]
    assert size == 1 or bool((found.pivots[0] < 0).any())
    right = made(2, size, 3)
    solution = torch.linalg.ldl_solve(found.LD, found.pivots, right)
    torch.testing.assert_close(matrix @ solution, right)
    assert gradcheck(lambda each: torch.linalg.ldl_solve(found.LD, found.pivots, each), (right,))


def test_ldl_of_a_singular_matrix() -> None:
    assert torch.linalg.ldl_factor_ex(torch.zeros(3, 3)).info.item() == 1
    with pytest.raises(torch.linalg.LinAlgError, match="is zero"):
        torch.linalg.ldl_factor(torch.zeros(3, 3))
    first = torch.linalg.ldl_factor(torch.tensor([[0.0, 9.0], [1.0, 0.0]]))
    assert first.pivots.tolist() == [-2, -2] and first.LD[1, 0].item() == 1  # the lower triangle


def test_sparse_products_reduced_otherwise() -> None:
    left = torch.tensor([[0.0, 2.0, -1.0], [0.0, 0.0, 0.0]])
    right = made(3, 2, gradient=False).float()
    terms = torch.stack([2 * right[1], -right[2]])
    for reduce, expected in (("mean", terms.mean(0)), ("amax", terms.amax(0))):
        found = torch.sparse.mm(left.to_sparse_csr(), right, reduce)
        torch.testing.assert_close(found, torch.stack([expected, expected * 0]))
    with pytest.raises(RuntimeError, match="reduce"):
        torch.sparse.mm(left.to_sparse(), right, "prod")


@pytest.mark.parametrize("name", ["eig", "lstsq", "matrix_rank", "solve", "symeig"])
def test_removed_names_say_what_took_their_place(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"now removed.*torch\.linalg\."):
        getattr(torch, name)(torch.eye(2))
    if name != "matrix_rank":
        with pytest.raises(RuntimeError, match="now removed"):
            getattr(torch.eye(2), name)()
