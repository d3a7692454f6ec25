"""flex_attention and block masks: PyTorch's numbers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

NAME = "nn.attention.flex_attention"
FLEX = {lib: importlib.import_module(f"{lib.__name__}.{NAME}") for lib in (flambeau, torch)}
pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


def arrays(*shapes: tuple[int, ...]) -> list[Any]:
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape).astype(np.float32) for shape in shapes]


def by_places(mod: Any, sizes: tuple[int, ...], *score: Any) -> Any:
    """What PyTorch's vmap makes of a mod, for all places."""
    indices = [torch.arange(each) for each in sizes]
    first = (0,) * len(score)
    for axis in (3, 2, 1, 0):
        dims = [0 if each == axis else None for each in range(4)]
        mod = torch.vmap(mod, in_dims=(*first, *dims))
    return mod(*score, *indices)


def gradients(
    library: Any,
    flex: Any,
    given: Any,
    g: Any,
    score_mod: Any = None,
    mask: Any = None,
    **rest: Any,
) -> list[Any]:
    """The output and gradients; PyTorch's, which has none on CPU, by the definition."""
    inputs = [library.tensor(each) for each in given]
    output = flex.flex_attention(*inputs, score_mod, mask, **rest)
    for each in inputs:
        each.requires_grad_()
    if library is torch:
        q, k, v = inputs
        scores = (q @ k.mT) / q.shape[-1] ** 0.5
        if score_mod is not None:
            scores = by_places(score_mod, scores.shape, scores)
        if mask is not None:
            kept = by_places(mask.mask_mod, scores.shape)
            scores = torch.where(kept, scores, -float("inf"))
        defined = scores.softmax(-1).nan_to_num(0.0) @ v
    else:
        defined = flex.flex_attention(*inputs, score_mod, mask, **rest)
    (defined * library.tensor(g)).sum().backward()
    return [output, *[each.grad for each in inputs]]


def both(program: Callable[[Any, Any], list[Any]]) -> None:
    found = []
    for library, flex in FLEX.items():
        results = program(library, flex)
        found.append([e.detach().numpy() if hasattr(e, "detach") else e for e in results])
    assert len(found[0]) == len(found[1])
    for one, other in zip(*found, strict=True):
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        else:
            assert one == other


def score_mods(library: Any) -> dict[str, Callable[..., Any]]:
    slopes = library.tensor([0.5, 0.25])
    bias = library.tensor(arrays((2, 2, 5, 7))[0])
    names = library.tensor([0, 0, 1, 1, 1, 2, 2])

    def stacked(score: Any, b: Any, h: Any, q: Any, k: Any) -> Any:
        return library.stack([score, bias[b][h][q][k]]).sum(0)

    return {
        "relative": lambda score, b, h, q, k: score + (q - k),
        "alibi": lambda score, b, h, q, k: score + slopes[h] * (k - q),
        "bias": lambda score, b, h, q, k: score + bias[b, h, q, k],
        "bias step by step": lambda score, b, h, q, k: score * bias[b][h][q][k],
        "causal": lambda score, b, h, q, k: library.where(q >= k, score, -float("inf")),
        "soft cap": lambda score, b, h, q, k: 2 * library.tanh(score / 2),
        "documents": lambda score, b, h, q, k: library.where(
            names[q] == names[k], score, score - 3.0
        ),
        "stacked": stacked,
    }


@pytest.mark.parametrize("name", list(score_mods(flambeau)))
def test_score_mods(name: str) -> None:
    q, k, v, g = arrays((2, 2, 5, 4), (2, 2, 7, 4), (2, 2, 7, 3), (2, 2, 5, 3))

    def program(library: Any, flex: Any) -> list[Any]:
        return gradients(library, flex, (q, k, v), g, score_mods(library)[name])

    both(program)


def mask_mods(library: Any, flex: Any) -> dict[str, Callable[..., Any]]:
    documents = library.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2, 2])
    table = library.tensor(np.arange(100).reshape(10, 10) % 3 == 0)
    first = library.tensor([3, 5])

    def causal(b: Any, h: Any, q: Any, k: Any) -> Any:
        return q >= k

    def window(b: Any, h: Any, q: Any, k: Any) -> Any:
        return (q - k).abs() <= 2

    return {
        "causal": causal,
        "window": flex.and_masks(causal, window),
        "prefix": flex.or_masks(causal, lambda b, h, q, k: k < 4),
        "by head": lambda b, h, q, k: k <= q + h,
        "by batch": lambda b, h, q, k: k < first[b],
        "documents": flex.and_masks(causal, lambda b, h, q, k: documents[q] == documents[k]),
        "table": lambda b, h, q, k: table[q][k],
        "everything": flex.noop_mask,
        "nothing": lambda b, h, q, k: k < 0,
        "even rows": lambda b, h, q, k: (q % 2 == 0) & (k >= 0),
    }


PARTS = (
    "kv_num_blocks",
    "kv_indices",
    "full_kv_num_blocks",
    "full_kv_indices",
    "q_num_blocks",
    "q_indices",
    "full_q_num_blocks",
    "full_q_indices",
)


@pytest.mark.parametrize("name", list(mask_mods(flambeau, FLEX[flambeau])))
def test_block_masks(name: str) -> None:
    q, k, v, g = arrays((2, 2, 10, 4), (2, 2, 10, 4), (2, 2, 10, 4), (2, 2, 10, 4))
    batch = 2 if name == "by batch" else None
    heads = 2 if name == "by head" else None

    def program(library: Any, flex: Any) -> list[Any]:
        mod = mask_mods(library, flex)[name]
        mask = flex.create_block_mask(mod, batch, heads, 10, 10, device="cpu", BLOCK_SIZE=(4, 3))
        found = gradients(library, flex, (q, k, v), g, None, mask) if name != "nothing" else []
        facts = [getattr(mask, each) for each in PARTS]
        facts += [mask.to_dense(), round(mask.sparsity(), 3), tuple(mask.shape), mask.numel()]
        dense = flex.create_mask(mod, batch, heads, 10, 10, device="cpu")
        return [*facts, mask.BLOCK_SIZE, dense, *found]

    both(program)


def test_score_and_mask_with_shared_heads() -> None:
    q, k, v = arrays((2, 4, 6, 4), (2, 2, 8, 4), (2, 2, 8, 3))

    def program(library: Any, flex: Any) -> list[Any]:
        mask = flex.create_block_mask(
            lambda b, h, q, k: q + 2 * h >= k, None, 4, 6, 8, device="cpu", BLOCK_SIZE=4
        )
        results = []
        for mod in (None, lambda score, b, h, q, k: score * (h + 1)):
            inputs = [library.tensor(each) for each in (q, k, v)]
            output, lse = flex.flex_attention(
                *inputs, mod, mask, enable_gqa=True, return_lse=True, scale=0.7
            )
            results += [output, lse]
        plain = flex.flex_attention(*inputs, block_mask=mask, enable_gqa=True)
        return [*results, plain]

    both(program)


@pytest.mark.parametrize("size", [(None, None, 6, 8), (2, 3, 8, 12), (1, 1, 64, 100)])
def test_masks_in_print(size: Any) -> None:
    def near(b: Any, h: Any, q: Any, k: Any) -> Any:
        return (q - k).abs() <= 4 * b + h

    def program(library: Any, flex: Any) -> list[Any]:
        mask = flex.create_block_mask(near, *size, device="cpu", BLOCK_SIZE=2)
        return [str(mask), repr(mask), mask.to_string(grid_size=(5, 7), limit=1)]

    both(program)


def test_rows_without_keys() -> None:
    q, k, v = arrays((1, 1, 4, 3), (1, 1, 4, 3), (1, 1, 4, 3))

    def program(library: Any, flex: Any) -> list[Any]:
        inputs = [library.tensor(each) for each in (q, k, v)]
        mask = flex.create_block_mask(lambda b, h, q, k: (q > 1) & (k >= 0), 1, 1, 4, 4, "cpu")
        output, lse = flex.flex_attention(*inputs, block_mask=mask, return_lse=True)
        return [output, lse, flex.flex_attention(*inputs, block_mask=mask)]

    both(program)


def test_what_is_refused() -> None:
    def program(library: Any, flex: Any) -> list[Any]:
        def x(*shape: int) -> Any:
            return library.zeros(shape)

        mask = flex.create_block_mask(lambda b, h, q, k: q >= k, 1, 1, 4, 4, device="cpu")
        run = flex.flex_attention
        cases = [
            lambda: run(x(1, 2, 4, 3), x(1, 1, 4, 3), x(1, 1, 4, 3)),
            lambda: run(x(1, 3, 4, 3), x(1, 2, 4, 3), x(1, 2, 4, 3), enable_gqa=True),
            lambda: run(x(1, 1, 4, 3), x(1, 1, 4, 2), x(1, 1, 4, 2)),
            lambda: run(x(1, 4, 3), x(1, 4, 3), x(1, 4, 3)),
            lambda: run(x(1, 1, 4, 3), x(1, 1, 4, 3), x(1, 1, 4, 3), block_mask=mask[0]),
            lambda: run(x(1, 1, 9, 3), x(1, 1, 9, 3), x(1, 1, 9, 3), block_mask=mask),
            lambda: flex.and_masks(3),
        ]
        kinds = []
        for each in cases:
            with pytest.raises(Exception) as caught:  # noqa: PT011  # its type is compared
                each()
            kinds.append(caught.type.__name__)
        return kinds

    both(program)
