"""Attention block by block on the cpu device: values, gradients, special values, the same bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional

attention = functional.scaled_dot_product_attention


def sample(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def formula(arrays: Any, given: Any, causal: bool, mask: Any, dtype: Any) -> list[np.ndarray]:
    """Output and gradients, all scores stored."""
    q, k, v, given = (each.astype(dtype) for each in (*arrays, given))
    scale = dtype(1 / math.sqrt(q.shape[-1]))
    scores = q @ np.swapaxes(k, -1, -2) * scale
    if mask is not None:
        scores = scores + mask.astype(dtype)
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    output = weights @ v
    slopes = given @ np.swapaxes(v, -1, -2) - (given * output).sum(-1, keepdims=True)
    slopes = slopes * weights * scale
    turned = np.swapaxes(slopes, -1, -2)
    return [output, slopes @ k, turned @ q, np.swapaxes(weights, -1, -2) @ given]


def run(arrays: Any, given: Any, causal: bool = False, mask: Any = None, dtype: Any = None) -> Any:
    tensors = [torch.tensor(each, dtype=dtype, requires_grad=True) for each in arrays]
    mask = None if mask is None else torch.tensor(mask)
    output = attention(*tensors, attn_mask=mask, is_causal=causal)
    output.backward(torch.tensor(given, dtype=dtype))
    found = [output.detach(), *[each.grad for each in tensors]]
    return [each.to(torch.float64).numpy() for each in found]


def arrays_of(lead: tuple[int, ...], rows: int, columns: int, depth: int, width: int) -> Any:
    shapes = ((rows, depth), (columns, depth), (columns, width), (rows, width))
    *arrays, given = [sample(*lead, *shape, seed=n) for n, shape in enumerate(shapes)]
    return arrays, given


SIZES = [
    ((2, 3), 64, 64, 64, 64),
    ((2,), 321, 400, 16, 9),
    ((), 500, 330, 7, 40),
    ((1, 2), 77, 200, 33, 17),
]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_is_as_exact_as_the_formula(size: Any, causal: bool, masked: bool) -> None:
    if causal and masked:
        pytest.skip("PyTorch takes one or the other")
    arrays, given = arrays_of(*size)
    mask = sample(size[1], size[2]) if masked else None
    exact = formula(arrays, given, causal, mask, np.float64)
    single = formula(arrays, given, causal, mask, np.float32)
    for found, plain, wanted in zip(run(arrays, given, causal, mask), single, exact, strict=True):
        error = abs(found - wanted).max()
        assert error <= 4 * abs(plain - wanted).max() + 1e-7


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float16, 4e-3), (torch.bfloat16, 4e-2)],
    ids=str,
)
@pytest.mark.parametrize("causal", [False, True])
def test_other_floats(dtype: Any, tolerance: float, causal: bool) -> None:
    arrays, given = arrays_of((2,), 330, 330, 16, 16)
    rounded = [torch.tensor(x, dtype=dtype).to(torch.float64).numpy() for x in (*arrays, given)]
    exact = formula(rounded[:3], rounded[3], causal, None, np.float64)
    for found, wanted in zip(run(arrays, given, causal, dtype=dtype), exact, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("which", range(4), ids=["query", "key", "value", "gradient"])
def test_an_operand_that_is_the_same_along_an_axis(which: int, axis: int, causal: bool) -> None:
    """No index of such an operand says which axis it is read along."""
    arrays, given = arrays_of((2,), 330, 330, 8, 8)
    operands = [*arrays, given]
    tensors = [torch.tensor(each) for each in operands]
    first = tensors[which].narrow(axis, 0, 1)
    operands[which] = np.broadcast_to(first.numpy(), operands[which].shape)
    tensors[which] = first.expand(tensors[which].shape)
    leaves = [each.detach().requires_grad_() for each in tensors[:3]]
    output = attention(*leaves, is_causal=causal)
    output.backward(tensors[3])
    exact = formula(operands[:3], operands[3], causal, None, np.float64)
    for found, wanted in zip([output, *[each.grad for each in leaves]], exact, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", [(8, 8), (1, 8), (8, 1), (1, 1)], ids=str)
def test_the_gradient_of_a_sum(sizes: tuple[int, int], causal: bool) -> None:
    """The gradient that comes in is a number; depth or width may be 1."""
    arrays, given = arrays_of((2,), 330, 330, *sizes)
    tensors = [torch.tensor(each, requires_grad=True) for each in arrays]
    attention(*tensors, is_causal=causal).sum().backward()
    _, *exact = formula(arrays, np.ones_like(given), causal, None, np.float64)
    for tensor, wanted in zip(tensors, exact, strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(tensor.grad.numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_views_of_one_projection() -> None:
    whole, given = sample(2, 70, 3 * 4 * 8), sample(2, 4, 70, 8)
    x = torch.tensor(whole, requires_grad=True)
    parts = [each.view(2, 70, 4, 8).transpose(1, 2) for each in x.split(32, dim=2)]
    attention(*parts, is_causal=True).backward(torch.tensor(given))
    arrays = [
        each.reshape(2, 70, 4, 8).transpose(0, 2, 1, 3) for each in np.split(whole, 3, axis=2)
    ]
    _, *wanted = formula(arrays, given, True, None, np.float64)
    joined = np.concatenate([each.transpose(0, 2, 1, 3).reshape(2, 70, 32) for each in wanted], 2)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), joined, rtol=1e-4, atol=1e-5)


def test_shared_keys_and_values() -> None:
    q, k, v = sample(2, 6, 330, 8), sample(2, 2, 330, 8, seed=1), sample(2, 2, 330, 8, seed=2)
    given = sample(2, 6, 330, 8, seed=3)
    tensors = [torch.tensor(each, requires_grad=True) for each in (q, k, v)]
    output = attention(*tensors, enable_gqa=True)
    output.backward(torch.tensor(given))
    arrays = [q, *[np.repeat(each, 3, 1) for each in (k, v)]]
    wanted = formula(arrays, given, False, None, np.float64)
    for number in (2, 3):
        wanted[number] = wanted[number].reshape(2, 2, 3, 330, 8).sum(2)
    found = [output.detach(), *[each.grad for each in tensors]]
    for each, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(each.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_query_that_may_look_at_nothing() -> None:
    arrays, given = arrays_of((2,), 330, 330, 8, 8)
    mask = np.random.default_rng(0).random((330, 330)) > 0.5
    mask[[0, 77, 329]] = False
    mask[100:300, :250] = False  # whole blocks of keys
    found = run(arrays, given, mask=mask)
    with np.errstate(all="ignore"):
        wanted = formula(arrays, given, False, np.where(mask, 0, -np.inf), np.float64)
    assert not found[0][:, [0, 77, 329]].any()
    assert not found[1][:, [0, 77, 329]].any()
    seen = mask.any(1)
    np.testing.assert_allclose(found[0][:, seen], wanted[0][:, seen], rtol=1e-4, atol=1e-5)
    assert all(np.isfinite(each).all() for each in found)


def test_a_bad_number_spoils_its_row() -> None:
    arrays, given = arrays_of((), 64, 64, 8, 8)
    arrays[0][5, 2], arrays[0][9, 0] = np.nan, np.inf
    output = run(arrays, given, causal=True)[0]
    bad = ~np.isfinite(output).all(1)
    assert bad[5]
    assert bad[9]
    assert bad.sum() == 2


@pytest.mark.parametrize("causal", [False, True])
def test_the_same_bits(causal: bool) -> None:
    arrays, given = arrays_of((3, 5), 330, 330, 24, 24)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(run(arrays, given, causal))
    finally:
        torch.set_num_threads(before)
    alone = run([each[1:2, 3:4] for each in arrays], given[1:2, 3:4], causal)
    for one, two, single in zip(*found, alone, strict=True):
        assert one.tobytes() == two.tobytes()
        assert one[1:2, 3:4].tobytes() == single.tobytes()


def test_the_mask_s_gradient() -> None:
    arrays, given = arrays_of((2,), 330, 330, 8, 8)
    mask = torch.tensor(sample(330, 330), requires_grad=True)
    attention(*map(torch.tensor, arrays), attn_mask=mask).backward(torch.tensor(given))
    q, k, v = (each.astype(np.float64) for each in arrays)
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(8) + mask.detach().numpy()
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    slopes = given @ np.swapaxes(v, -1, -2)
    slopes = weights * (slopes - (slopes * weights).sum(-1, keepdims=True))
    assert mask.grad is not None
    np.testing.assert_allclose(mask.grad.numpy(), slopes.sum(0), rtol=1e-4, atol=1e-5)


def test_second_derivatives() -> None:
    """Against differences of the first, along one direction."""
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal((64, 3)) for _ in range(3)]
    directions = [generator.standard_normal((64, 3)) for _ in range(3)]

    def gradients(at: float, second: bool = False) -> Any:
        tensors = [
            torch.tensor(x + at * d, requires_grad=True)
            for x, d in zip(arrays, directions, strict=True)
        ]
        output = attention(*tensors, is_causal=True)
        found = torch.autograd.grad((output * output).sum(), tensors, create_graph=second)
        if not second:
            return [each.numpy() for each in found]
        whole = sum(
            (each * torch.tensor(d)).sum() for each, d in zip(found, directions, strict=True)
        )
        return [each.numpy() for each in torch.autograd.grad(whole, tensors)]

    step = 1e-5
    differences = [
        (high - low) / (2 * step)
        for high, low in zip(gradients(step), gradients(-step), strict=True)
    ]
    for found, wanted in zip(gradients(0.0, second=True), differences, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
