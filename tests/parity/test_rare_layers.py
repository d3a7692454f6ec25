"""Folds, grids, bags, unpooling and losses beside PyTorch: results, gradients, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
Call = Callable[..., Any]
RANDOM = np.random.default_rng(0)


def real(*shape: int) -> Any:
    return RANDOM.standard_normal(shape)


def weights(library: Any, like: Any) -> Any:
    return library.arange(like.numel(), dtype=library.float64).cos().reshape(like.shape)


def beside(call: Call, *arrays: Any, tolerance: float = 1e-9) -> None:
    """call(library, functional, *tensors) in both: results, and gradients of the real arrays."""
    both = []
    for library in (flambeau, torch):
        given = [library.tensor(each) for each in arrays]
        leaves = [each.requires_grad_() for each in given if each.dtype is library.float64]
        found = call(library, library.nn.functional, *given)
        results = list(found) if isinstance(found, tuple) else [found]
        (results[0] * weights(library, results[0])).sum().backward()
        both.append([*results, *[each.grad for each in leaves]])
    for ours, theirs in zip(*both, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert repr(ours.dtype) == repr(theirs.dtype)
            np.testing.assert_allclose(
                ours.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance
            )


# folds and grids ---------------------------------------------------------------------------------

PATCHES = [
    ((2, 3, 5, 6), ((2, 3), 1, (1, 0), (2, 1))),
    ((3, 7, 7), (3, 2, 2, 1)),
    ((2, 2, 4, 4), (2, 1, 0, 2)),
]


@pytest.mark.parametrize(("shape", "options"), PATCHES)
def test_patches(shape: Any, options: Any) -> None:
    beside(lambda t, f, x: f.unfold(x, *options), real(*shape))
    columns = torch.nn.functional.unfold(torch.zeros(shape), *options).shape
    beside(lambda t, f, x: f.fold(x, shape[-2:], *options), real(*columns))


GRIDS = [
    (mode, padding, rank)
    for mode in ("bilinear", "nearest", "bicubic")
    for padding in ("zeros", "border", "reflection")
    for rank in (2, 3)
    if mode != "bicubic" or rank == 2
]


@pytest.mark.parametrize(("mode", "padding", "rank"), GRIDS)
@pytest.mark.parametrize("corners", [False, True])
def test_grid_sample(mode: str, padding: str, rank: int, corners: bool) -> None:
    image, grid = real(2, 2, *(5, 6, 4)[:rank]), 1.3 * real(2, *(4, 3, 2)[:rank], rank)

    def call(t: Any, f: Any, x: Any, at: Any) -> Any:
        return f.grid_sample(x, at, mode, padding, corners)

    beside(call, image, grid)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_grid_of_nan_and_infinity(mode: str) -> None:
    grid = np.array([[[[np.nan, 0.0], [np.inf, 0.0], [-np.inf, 5.0], [0.0, 0.0]]]])
    image = real(1, 2, 3, 3)
    for padding in ("zeros", "border"):
        ours, theirs = (
            library.nn.functional.grid_sample(
                library.tensor(image), library.tensor(grid), mode, padding, False
            )
            for library in (flambeau, torch)
        )
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9)


@pytest.mark.filterwarnings("ignore:Since version 1.3.0")
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 1, 3, 1, 4)])
@pytest.mark.parametrize("corners", [False, True])
def test_affine_grid(size: Any, corners: bool) -> None:
    rank = len(size) - 2
    beside(lambda t, f, x: f.affine_grid(x, size, corners), real(2, rank, rank + 1))


def test_float16_is_rounded_once() -> None:
    image, grid = (each.astype(np.float16) for each in (real(1, 2, 5, 5), real(1, 3, 3, 2) / 2))
    ours = flambeau.nn.functional.grid_sample(
        flambeau.tensor(image), flambeau.tensor(grid), align_corners=False
    )
    theirs = torch.nn.functional.grid_sample(
        torch.tensor(image).double(), torch.tensor(grid).double(), align_corners=False
    )
    assert ours.dtype is flambeau.float16
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=1e-6)


# sequences ---------------------------------------------------------------------------------------


def alignments(t: Any, f: Any, x: Any, targets: Any, **options: Any) -> Any:
    return f.ctc_loss(x.log_softmax(-1), targets, **options)


LENGTHS = {"input_lengths": [9, 7, 9], "target_lengths": [4, 3, 0]}
CTC = [
    LENGTHS,
    LENGTHS | {"reduction": "none", "blank": 5},
    LENGTHS | {"reduction": "sum"},
    {"input_lengths": [3, 9, 9], "target_lengths": [4, 4, 2], "zero_infinity": True},
]


@pytest.mark.parametrize("options", CTC)
@pytest.mark.parametrize("apart", [True, False])
def test_ctc(options: Any, apart: bool) -> None:
    targets = np.array([[1, 1, 2, 3], [4, 1, 1, 2], [3, 2, 2, 1]])
    if not apart:
        counts = options["target_lengths"]
        targets = np.concatenate([row[:n] for row, n in zip(targets, counts, strict=True)])
    call = lambda t, f, x, y: alignments(t, f, x, y, **options)  # noqa: E731  # used only here
    beside(call, real(9, 3, 6), targets)


def test_ctc_of_one_sample_with_tensors_as_lengths() -> None:
    def call(t: Any, f: Any, x: Any, y: Any) -> Any:
        sizes = [t.tensor(7), t.tensor(3)]
        return f.ctc_loss(x, y, *sizes, reduction="none")

    beside(call, real(8, 5), np.array([2, 2, 4]))


def test_ctc_of_what_is_too_long_is_infinite() -> None:
    def call(t: Any, f: Any, x: Any, y: Any) -> Any:
        return alignments(t, f, x, y, input_lengths=[2, 5], target_lengths=[3, 2], reduction="none")

    beside(call, real(5, 2, 4), np.array([[1, 2, 3], [1, 1, 2]]))


# bags --------------------------------------------------------------------------------------------

INDICES = np.array([1, 4, 4, 0, 6, 2, 1, 1, 5])
OFFSETS = np.array([0, 3, 3, 5])
BAGS = [
    {"mode": "sum"},
    {"mode": "mean"},
    {"mode": "max"},
    {"mode": "mean", "padding_idx": 1},
    {"mode": "max", "padding_idx": -3},
    {"mode": "sum", "include_last_offset": True},
]


@pytest.mark.parametrize("options", BAGS)
def test_bags(options: Any) -> None:
    offsets = np.append(OFFSETS, len(INDICES)) if "include_last_offset" in options else OFFSETS
    beside(lambda t, f, w, i, o: f.embedding_bag(i, w, o, **options), real(7, 3), INDICES, offsets)
    if "include_last_offset" not in options:
        rows = INDICES.reshape(3, 3).astype(np.int32)
        beside(lambda t, f, w, i: f.embedding_bag(i, w, **options), real(7, 3), rows)


def test_bags_with_weights_and_greatest_norm() -> None:
    def weighted(t: Any, f: Any, w: Any, s: Any, i: Any, o: Any) -> Any:
        return f.embedding_bag(i, w, o, mode="sum", per_sample_weights=s, padding_idx=4)

    beside(weighted, real(7, 3), real(9), INDICES, OFFSETS)

    def bounded(t: Any, f: Any, x: Any, i: Any, o: Any) -> Any:
        table = x.detach().clone()
        return f.embedding_bag(i, table, o, max_norm=1.0) * x.sum(), table

    beside(bounded, real(7, 3), INDICES, OFFSETS, tolerance=1e-6)


def test_embedding_by_frequency() -> None:
    beside(lambda t, f, w, i: f.embedding(i, w, scale_grad_by_freq=True), real(7, 3), INDICES)
    beside(lambda t, f, w, i: f.embedding(i, w, 1, None, 2.0, True), real(7, 3), INDICES)


# pooling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling(rank: int) -> None:
    def call(t: Any, f: Any, x: Any) -> Any:
        pool, unpool = getattr(f, f"max_pool{rank}d"), getattr(f, f"max_unpool{rank}d")
        values, places = pool(x, 2, 2, return_indices=True)
        return unpool(values, places, 2, 2, output_size=x.shape[-rank:])

    beside(call, real(2, 2, *(5, 4, 5)[:rank]))
    beside(call, real(2, *(4, 4, 5)[:rank]))


def test_unpooling_of_windows_that_overlap() -> None:
    def call(t: Any, f: Any, x: Any) -> Any:
        values, places = f.max_pool2d_with_indices(x, 3, 1, 1)
        return f.max_unpool2d(values, places, 3, 1, 1)

    beside(call, real(1, 2, 5, 5))


FRACTIONAL = [
    (2, (2, 3, 7, 9), 2, {"output_size": (3, 4)}),
    (2, (3, 8, 8), (3, 2), {"output_ratio": (0.5, 0.7)}),
    (2, (2, 3, 6, 6), 2, {"output_size": 1}),
    (3, (2, 2, 6, 7, 8), 2, {"output_size": (3, 2, 4)}),
    (3, (2, 6, 6, 6), (2, 3, 2), {"output_ratio": 0.5}),
]


@pytest.mark.parametrize(("rank", "shape", "kernel", "options"), FRACTIONAL)
def test_windows_at_random(rank: int, shape: Any, kernel: Any, options: Any) -> None:
    def call(t: Any, f: Any, x: Any) -> Any:
        t.manual_seed(3)
        pool = getattr(f, f"fractional_max_pool{rank}d")
        both = pool(x, kernel, **options, return_indices=True)
        return (*both, t.rand(2))  # and the stream is at the same place

    beside(call, real(*shape))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("p", [2, 3.0])
def test_power_means(rank: int, p: float) -> None:
    pool = f"lp_pool{rank}d"
    x = np.abs(real(2, 2, *(7, 5, 4)[:rank])) + 0.1
    beside(lambda t, f, x: getattr(f, pool)(x, p, 2), x)
    beside(lambda t, f, x: getattr(f, pool)(x, p, 3, 2, True), x)


# losses ------------------------------------------------------------------------------------------

SIGNS = np.array([[3, 0, -1, 1], [0, 1, 2, 3], [-1, 1, 2, 0], [2, 2, -1, -1]])
LOSSES: dict[str, tuple[Call, tuple[Any, ...]]] = {
    "multi_margin": (
        lambda t, f, x, y: f.multi_margin_loss(x, y, margin=0.7),
        (real(5, 4), np.array([0, 3, 1, 1, 2])),
    ),
    "multi_margin_squared": (
        lambda t, f, x, w, y: f.multi_margin_loss(x, y, 2, weight=w.detach(), reduction="none"),
        (real(5, 4), np.abs(real(4)), np.array([0, 3, 1, 1, 2])),
    ),
    "multi_margin_of_one": (
        lambda t, f, x, y: f.multi_margin_loss(x, y, reduction="none"),
        (real(4), np.array(2)),
    ),
    "multilabel_margin": (
        lambda t, f, x, y: f.multilabel_margin_loss(x, y),
        (real(4, 4), SIGNS),
    ),
    "multilabel_margin_none": (
        lambda t, f, x, y: f.multilabel_margin_loss(x, y, reduction="none"),
        (real(4, 4), SIGNS),
    ),
    "multilabel_margin_of_one": (
        lambda t, f, x, y: f.multilabel_margin_loss(x, y, reduction="sum"),
        (real(4), SIGNS[0]),
    ),
    "multilabel_soft": (
        lambda t, f, x, w, y: f.multilabel_soft_margin_loss(x, y, w.detach(), reduction="none"),
        (9 * real(3, 4), np.abs(real(4)), np.array([[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]])),
    ),
    "triplet": (
        lambda t, f, x, y, z: f.triplet_margin_with_distance_loss(
            x, y, z, distance_function=lambda a, b: (a - b).abs().sum(-1), swap=True
        ),
        (real(5, 3), real(5, 3), real(5, 3)),
    ),
    "linear_cross_entropy": (
        lambda t, f, x, w, b, y: f.linear_cross_entropy(
            x, w, y, linear_bias=b, label_smoothing=0.1, ignore_index=1
        ),
        (real(5, 3), real(4, 3), real(4), np.array([0, 3, 1, 1, 2])),
    ),
    "linear_cross_entropy_of_several": (
        lambda t, f, x, w, y: f.linear_cross_entropy(x, w, y, reduction="none"),
        (real(3, 4), real(5, 2, 4), np.array([[0, 3], [1, 1], [2, 4]])),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    call, arrays = LOSSES[name]
    beside(call, *arrays)


# parts of attention -------------------------------------------------------------------------------


def test_projections_of_attention() -> None:
    def packed(t: Any, f: Any, x: Any, y: Any, w: Any, b: Any) -> Any:
        return t.cat(
            [*f._in_projection_packed(x, y, y, w, b), *f._in_projection_packed(x, x, x, w)]
        )

    beside(packed, real(3, 2, 4), real(5, 2, 4), real(12, 4), real(12))

    def apart(t: Any, f: Any, x: Any, w: Any, b: Any) -> Any:
        return t.cat(f._in_projection(x, x, x, w, w, w, b))

    beside(apart, real(3, 2, 4), real(4, 4), real(4))


def test_masks_and_shapes_of_attention() -> None:
    answers = []
    for library in (flambeau, torch):
        f = library.nn.functional
        mask = library.tensor([[True, False]])
        made = f._canonical_mask(mask, "a", f._none_or_dtype(mask), "b", library.float64)
        with pytest.warns(UserWarning, match="mismatched a and b"):
            same = f._canonical_mask(made, "a", library.bool, "b", library.float64)
        x = library.ones(2, 3, 4)
        checks = [
            f._mha_shape_check(x, x, x, library.ones(3, 2), None, 2),
            f._mha_shape_check(x[0], x[1], x[0], None, library.ones(2, 3, 3), 2),
        ]
        for given in (
            (x, x, x, library.ones(2), None, 2),
            (x, x[0], x, None, None, 2),
            (x, x, x, None, library.ones(2), 2),
            (x[0], x[0], x[0], None, library.ones(2, 2, 3), 2),
        ):
            with pytest.raises(AssertionError):
                f._mha_shape_check(*given)
        answers.append((made.tolist(), same is made, checks, f._none_or_dtype(None)))
    assert answers[0] == answers[1]


def test_convolution_with_time_first() -> None:
    beside(lambda t, f, x, w, b: f.conv_tbc(x, w, b, 1), real(6, 2, 3), real(3, 3, 4), real(4))


# groups ------------------------------------------------------------------------------------------

GROUPS = [
    ((7, 8), (3, 8, 16), (2, 2, 7)),
    ((3, 8, 8), (8, 16), (2, 2, 16)),
    ((8, 16), (16, 8), (3, 8, 16)),
    ((3, 4, 8), (3, 8, 16), None),
]


@pytest.mark.parametrize(("first", "second", "offsets"), GROUPS)
def test_products_of_groups(first: Any, second: Any, offsets: Any) -> None:
    given = [each.astype(np.float32) for each in (real(*first), real(*second))]
    results = []
    for library in (flambeau, torch):
        a, b = (library.tensor(each).bfloat16().requires_grad_() for each in given)
        ends = None if offsets is None else library.tensor(offsets, dtype=library.int32)
        found = library.nn.functional.grouped_mm(a, b, offs=ends)
        (found.float() ** 2).sum().backward()
        results.append([each.detach().float().numpy() for each in (found, a.grad, b.grad)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=3e-2, atol=0.3)


# errors ------------------------------------------------------------------------------------------

ERRORS: dict[str, Call] = {
    "groups_without_offsets": lambda t, f: f.grouped_mm(t.ones(4, 8), t.ones(2, 8, 8)),
    "groups_of_other_sizes": lambda t, f: f.grouped_mm(t.ones(3, 8, 8), t.ones(2, 8, 8)),
    "groups_with_bias": lambda t, f: f.grouped_mm(t.ones(2, 8, 8), t.ones(2, 8, 8), bias=t.ones(8)),
    "fold_columns": lambda t, f: f.fold(t.ones(1, 7, 4), 3, 2),
    "fold_places": lambda t, f: f.fold(t.ones(1, 8, 5), 3, 2),
    "unfold_rank": lambda t, f: f.unfold(t.ones(1, 1, 1, 3, 3), 2),
    "unfold_too_large": lambda t, f: f.unfold(t.ones(1, 3, 3), 5),
    "grid_mode": lambda t, f: f.grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 2, 2, 2), "cubic"),
    "grid_batch": lambda t, f: f.grid_sample(t.ones(1, 1, 2, 2), t.ones(2, 2, 2, 2)),
    "grid_last": lambda t, f: f.grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 2, 2, 3)),
    "grid_dtype": lambda t, f: f.grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 2, 2, 2).double()),
    "affine_shape": lambda t, f: f.affine_grid(t.ones(1, 3, 3), (1, 1, 2, 2)),
    "affine_rank": lambda t, f: f.affine_grid(t.ones(1, 2, 3), (1, 1, 2)),
    "affine_int": lambda t, f: f.affine_grid(t.ones(1, 2, 3).long(), (1, 1, 2, 2)),
    "ctc_lengths": lambda t, f: f.ctc_loss(t.ones(4, 2, 3), t.ones(2, 2).long(), [4], [2, 2]),
    "ctc_too_long": lambda t, f: f.ctc_loss(t.ones(4, 1, 3), t.ones(1, 2).long(), [5], [2]),
    "ctc_targets_long": lambda t, f: f.ctc_loss(t.ones(4, 1, 3), t.ones(1, 2).long(), [4], [3]),
    "ctc_blank": lambda t, f: f.ctc_loss(t.ones(4, 1, 3), t.ones(1, 2).long(), [4], [2], 3),
    "bag_offsets": lambda t, f: f.embedding_bag(t.arange(3), t.ones(4, 2)),
    "bag_offsets_2d": lambda t, f: f.embedding_bag(t.ones(1, 3).long(), t.ones(4, 2), t.arange(1)),
    "bag_start": lambda t, f: f.embedding_bag(t.arange(3), t.ones(4, 2), t.tensor([1])),
    "bag_end": lambda t, f: f.embedding_bag(t.arange(3), t.ones(4, 2), t.tensor([0, 4])),
    "bag_mode": lambda t, f: f.embedding_bag(t.ones(1, 3).long(), t.ones(4, 2), mode="min"),
    "bag_weights": lambda t, f: f.embedding_bag(
        t.ones(1, 3).long(), t.ones(4, 2), per_sample_weights=t.ones(1, 3)
    ),
    "unpool_size": lambda t, f: f.max_unpool1d(
        t.ones(1, 1, 2), t.zeros(1, 1, 2).long(), 2, output_size=(9,)
    ),
    "unpool_index": lambda t, f: f.max_unpool2d(t.ones(1, 1, 1, 1), t.tensor([[[[4]]]]), 2),
    "unpool_dtype": lambda t, f: f.max_unpool2d(t.ones(1, 1, 1, 1), t.zeros(1, 1, 1, 1).int(), 2),
    "fractional_none": lambda t, f: f.fractional_max_pool2d(t.ones(1, 1, 4, 4), 2),
    "fractional_large": lambda t, f: f.fractional_max_pool2d(t.ones(1, 1, 4, 4), 2, 4),
    "multi_margin_p": lambda t, f: f.multi_margin_loss(t.ones(1, 2), t.ones(1).long(), p=3),
    "multi_margin_rows": lambda t, f: f.multi_margin_loss(t.ones(2, 2), t.ones(3).long()),
    "multilabel_shape": lambda t, f: f.multilabel_margin_loss(t.ones(2, 2), t.ones(2, 3).long()),
    "triplet_margin": lambda t, f: f.triplet_margin_loss(*t.ones(3, 2, 2), margin=-1.0),
    "triplet_dimensions": lambda t, f: f.triplet_margin_loss(t.ones(2), t.ones(1, 2), t.ones(2)),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.filterwarnings("ignore:Default grid_sample")
def test_errors_are_of_the_same_type(name: str) -> None:
    kinds = []
    for library in (torch, flambeau):
        with pytest.raises(Exception) as caught:  # noqa: PT011  # the type is compared
            ERRORS[name](library, library.nn.functional)
        kinds.append(caught.type)
    assert kinds[0] is kinds[1], kinds
