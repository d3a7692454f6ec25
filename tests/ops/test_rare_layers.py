"""Folds, grids, bags, unpooling, sequences and losses by numpy or by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F

RANDOM = np.random.default_rng(0)


def test_patches_go_there_and_back():
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    columns = F.unfold(image, (2, 3))
    assert columns.shape == (1, 12, 4)
    assert columns[0, :6, 0].tolist() == [0, 1, 2, 4, 5, 6]
    counts = F.fold(F.unfold(torch.ones(1, 2, 3, 4), (2, 3)), (3, 4), (2, 3))
    assert counts[0, 0].tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [1, 2, 2, 1]]
    assert torch.equal(nn.Fold((3, 4), (2, 3))(columns), image * counts)
    columns = nn.Unfold(2, stride=2, padding=(1, 0))(image.requires_grad_())
    columns.sum().backward()
    assert torch.equal(image.grad, torch.ones(1, 2, 3, 4))
    with pytest.raises(RuntimeError, match="divisible"):
        F.fold(torch.ones(1, 7, 4), (3, 3), 2)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("corners", [False, True])
def test_a_grid_of_places_gives_the_image(mode, corners):
    image = torch.tensor(RANDOM.standard_normal((2, 3, 4, 5)))
    still = torch.eye(2, 3, dtype=torch.float64).expand(2, 2, 3)
    grid = F.affine_grid(still, image.shape, corners)
    found = F.grid_sample(image, grid, mode, align_corners=corners)
    np.testing.assert_allclose(found.numpy(), image.numpy(), atol=1e-12)
    turned = F.grid_sample(image, -grid, mode, "border", corners)
    np.testing.assert_allclose(turned.numpy(), image.flip(2, 3).numpy(), atol=1e-12)


def test_gradients_of_grids():
    volume = torch.tensor(RANDOM.standard_normal((1, 2, 3, 4, 3)), requires_grad=True)
    grid = torch.tensor(RANDOM.uniform(-1, 1, (1, 2, 2, 1, 3)), requires_grad=True)
    how = {"padding_mode": "reflection", "align_corners": True}
    call = lambda x, at: F.grid_sample(x, at, **how)  # noqa: E731  # used only here
    assert torch.autograd.gradcheck(call, (volume, grid))
    assert torch.autograd.gradgradcheck(call, (volume, grid))
    with pytest.raises(ValueError, match="bilinear"):
        F.grid_sample(volume, grid, "cubic")


def every_path(scores, labels, blank):
    """-log of the sum over all ways to write the labels, one by one."""
    steps, classes = scores.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=steps):
        short = [each for each, _ in itertools.groupby(path)]
        if [each for each in short if each != blank] == labels:
            total += np.exp(sum(scores[step, each] for step, each in enumerate(path)))
    return -np.log(total) if total else np.inf


@pytest.mark.parametrize("labels", [[1], [1, 1], [2, 0], []])
def test_ctc_counts_every_path(labels):
    scores = torch.tensor(RANDOM.standard_normal((4, 1, 4))).log_softmax(-1)
    target = torch.tensor([[*labels, 1]])
    found = F.ctc_loss(scores, target, [4], [len(labels)], blank=3, reduction="none")
    np.testing.assert_allclose(found.item(), every_path(scores[:, 0].numpy(), labels, 3), rtol=1e-9)


def test_gradients_of_ctc():
    logits = torch.tensor(RANDOM.standard_normal((5, 2, 3)), requires_grad=True)
    target = torch.tensor([1, 2, 1])

    def loss(x):
        return nn.CTCLoss()(x.log_softmax(-1), target, torch.tensor([5, 4]), torch.tensor([2, 1]))

    assert torch.autograd.gradcheck(loss, (logits,))
    short = F.ctc_loss(logits, torch.tensor([[1, 1], [2, 2]]), [2, 2], [2, 2], reduction="sum")
    assert short.item() == float("inf")
    with pytest.raises(RuntimeError, match="at most 5"):
        F.ctc_loss(logits, torch.ones(2, 1).long(), [6, 5], [1, 1])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags(mode):
    table, index = RANDOM.standard_normal((6, 3)), np.array([4, 1, 1, 5, 0, 2, 3])
    weight = torch.tensor(table, requires_grad=True)
    found = F.embedding_bag(
        torch.tensor(index), weight, torch.tensor([0, 3, 3]), mode=mode, padding_idx=5
    )
    expected = [getattr(table[index[:3]], mode)(0), np.zeros(3), getattr(table[[0, 2, 3]], mode)(0)]
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12)
    found.sum().backward()
    np.testing.assert_allclose(weight.grad.sum().item(), 18 if mode == "sum" else 6)
    assert weight.grad[5].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="mode"):
        F.embedding_bag(torch.tensor([[1]]), weight, mode="median")


def test_gradients_divided_by_how_often_rows_are_used():
    index = torch.tensor([[1, 1, 2], [1, 0, 2]])
    for call in (F.embedding, lambda i, w, **k: F.embedding_bag(i, w, mode="sum", **k)):
        weight = torch.ones(4, 2, requires_grad=True)
        call(index, weight, scale_grad_by_freq=True).sum().backward()
        assert weight.grad[:, 0].tolist() == [1, 1, 1, 0]


def test_what_was_pooled_comes_back():
    image = torch.tensor(RANDOM.permutation(24).astype(float).reshape(1, 1, 4, 6))
    values, places = nn.MaxPool2d(2, return_indices=True)(image)
    back = nn.MaxUnpool2d(2)(values, places)
    assert torch.equal(nn.MaxPool2d(2)(back), values)
    assert torch.equal(back, back * (back == image)) and back.count_nonzero() in (5, 6)
    with pytest.raises(ValueError, match="output_size"):
        F.max_unpool2d(values, places, 2, output_size=(9, 9))


def test_windows_at_random():
    image = torch.tensor(RANDOM.standard_normal((2, 3, 7, 7)))
    samples = torch.zeros(2, 3, 2, dtype=torch.float64)
    found, places = F.fractional_max_pool2d(image, 3, 2, None, True, samples)
    expected = F.max_pool2d(image, 3, 4)  # windows at 0 and 4
    assert torch.equal(found, expected)
    assert torch.equal(found, image.flatten(2).gather(2, places.flatten(2)).reshape(2, 3, 2, 2))
    means = nn.LPPool2d(2, 7)(image)
    np.testing.assert_allclose(means[..., 0, 0].numpy(), image.flatten(2).norm(dim=2).numpy())


def test_losses_of_classes():
    scores = torch.tensor([[0.1, 0.2, 0.4, 0.8]])
    several = F.multilabel_margin_loss(scores, torch.tensor([[3, 0, -1, 1]]))
    np.testing.assert_allclose(several.item(), 0.85, rtol=1e-6)
    one = F.multi_margin_loss(scores, torch.tensor([3]))
    np.testing.assert_allclose(one.item(), (0.3 + 0.4 + 0.6) / 4, rtol=1e-6)
    target = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    soft = F.multilabel_soft_margin_loss(scores, target)
    both = F.binary_cross_entropy_with_logits(scores, target)
    np.testing.assert_allclose(soft.item(), both.item(), rtol=1e-6)
    weight = torch.tensor(RANDOM.standard_normal((3, 4)).astype("f"))
    linear = F.linear_cross_entropy(scores, weight, torch.tensor([2]))
    plain = F.cross_entropy(scores @ weight.T, torch.tensor([2]))
    np.testing.assert_allclose(linear.item(), plain.item(), rtol=1e-6)
    with pytest.raises(IndexError, match="out of bounds"):
        F.multi_margin_loss(scores, torch.tensor([4]))


def test_distances_of_ones_own():
    x, y, z = torch.tensor([[0.0]]), torch.tensor([[3.0]]), torch.tensor([[2.0]])
    distance = lambda a, b: (a - b).abs().sum(-1)  # noqa: E731  # used only here
    loss = nn.TripletMarginWithDistanceLoss(distance_function=distance)
    assert loss(x, y, z).item() == 2.0
    swapped = F.triplet_margin_with_distance_loss(x, y, z, distance_function=distance, swap=True)
    assert swapped.item() == 3.0


def test_sync_batch_norm_is_batch_norm():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    x = torch.tensor(RANDOM.standard_normal((5, 3)).astype("f"))
    expected = nn.BatchNorm1d(3)(x)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert isinstance(converted[0], nn.SyncBatchNorm)
    assert torch.equal(converted[0](x), expected)
    with pytest.raises(ValueError, match="2D"):
        converted[0](x[0])


@pytest.mark.parametrize("dtype", ["int64", "uint8"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions_of_whole_numbers(rank, dtype):
    kind = getattr(torch, dtype)
    shapes = (2, 4, *(7, 6, 5)[:rank]), (6, 2, *(3, 2, 2)[:rank]), (6,)
    given = [torch.tensor(RANDOM.integers(0, 3, shape)) for shape in shapes]
    dilation = (1, 2, 1)[:rank]
    options = {"stride": 2, "padding": 1, "dilation": dilation, "groups": 2}
    call = getattr(F, f"conv{rank}d")
    found = call(*[each.to(kind) for each in given], **options)
    assert found.dtype is kind
    assert torch.equal(found.double(), call(*[each.double() for each in given], **options))
    y, w = found // 9, given[1]
    back = getattr(F, f"conv_transpose{rank}d")
    turned = back(y, w.to(kind), **options, output_padding=1)
    expected = back(y.double(), w.double(), **options, output_padding=1)
    assert turned.dtype is kind
    assert torch.equal(turned.double(), expected)


def test_normalisations_of_nothing_and_of_whole_numbers():
    assert F.batch_norm(torch.zeros(0), None, None, training=True).shape == (0,)
    x = torch.tensor([[[3], [1], [2]]])
    found = F.local_response_norm(x, 2, alpha=1.0, beta=1.0)  # means 4, 5 and 2 of the squares
    np.testing.assert_allclose(found.flatten().numpy(), [3 / 5, 1 / 6, 2 / 3], rtol=1e-6)


@pytest.mark.parametrize("name", ["celu_", "selu_", "rrelu_", "threshold_", "hardtanh_"])
def test_activations_in_place(name):
    x = torch.tensor([-2.0, -0.5, 0.0, 3.0])
    options = {"threshold_": (0.1, 2.0)}.get(name, ())
    expected = getattr(F, name[:-1])(x, *options)
    assert getattr(F, name)(x, *options) is x
    assert torch.equal(x, expected)


def test_adaptive_softmax_is_a_distribution():
    layer = nn.AdaptiveLogSoftmaxWithLoss(4, 7, [2, 4], div_value=2.0)
    x = torch.tensor(RANDOM.standard_normal((5, 4)).astype("f"))
    scores, target = layer.log_prob(x), torch.tensor([0, 6, 3, 1, 5])
    np.testing.assert_allclose(scores.exp().sum(1).detach().numpy(), np.ones(5), rtol=1e-5)
    found = layer(x, target)
    expected = scores.gather(1, target.unsqueeze(1)).squeeze(1)
    np.testing.assert_allclose(found.output.detach().numpy(), expected.detach().numpy(), rtol=1e-5)
    with pytest.raises(RuntimeError, match="7 was found"):
        layer(x, torch.tensor([0, 7, 3, 1, 5]))


def test_a_hook_for_every_module():
    seen = []
    register = nn.modules.module.register_module_forward_hook
    handle = register(lambda module, args, result: seen.append(type(module).__name__))
    net = nn.Sequential(nn.Identity(), nn.ReLU())
    net(torch.ones(1))
    handle.remove()
    net(torch.ones(1))
    assert seen == ["Identity", "ReLU", "Sequential"]


def test_normalize_into_a_tensor():
    x, out = torch.tensor([[3.0, 4.0]]), torch.empty(1, 2)
    assert F.normalize(x, out=out) is out
    np.testing.assert_allclose(out.numpy(), [[0.6, 0.8]], rtol=1e-6)


def test_parts_of_attention():
    x, w = torch.tensor(RANDOM.standard_normal((3, 2, 4))), torch.tensor(RANDOM.random((12, 4)))
    for found, part in zip(F._in_projection_packed(x, x, x, w), w.chunk(3), strict=True):
        np.testing.assert_allclose(found.numpy(), F.linear(x, part).numpy(), rtol=1e-12)
    assert F._mha_shape_check(x, x, x, None, None, 2)
    assert not F._mha_shape_check(x[0], x[0], x[0], None, None, 2)
    mask = F._canonical_mask(torch.tensor([True, False]), "mask", None, "", torch.float32)
    assert mask.tolist() == [float("-inf"), 0.0]
    with pytest.raises(AssertionError, match="2-D or 3-D"):
        F._mha_shape_check(x, x, x, None, torch.ones(2), 2)


def test_convolution_with_time_first():
    x, w = torch.tensor(RANDOM.random((5, 2, 3))), torch.tensor(RANDOM.random((2, 3, 4)))
    found = torch.conv_tbc(x, w, torch.zeros(4, dtype=torch.float64))
    expected = x[:-1] @ w[0] + x[1:] @ w[1]
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)


def test_options_of_a_loss_change_nothing():
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    loss = nn.LinearCrossEntropyLoss(3, 4, options=options)
    x, y = torch.ones(2, 3), torch.tensor([0, 3])
    expected = F.cross_entropy(loss.linear(x), y)
    np.testing.assert_allclose(loss(x, y).item(), expected.item(), rtol=1e-6)


def test_products_of_groups():
    a, b = torch.tensor(RANDOM.random((5, 3))), torch.tensor(RANDOM.random((3, 3, 2)))
    ends = torch.tensor([1, 1, 4], dtype=torch.int32)
    found = F.grouped_mm(a, b, offs=ends)
    expected = torch.cat([a[:1] @ b[0], a[1:4] @ b[2], torch.zeros(1, 2, dtype=torch.float64)])
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
    np.testing.assert_allclose(
        F.grouped_mm(b.mT, a.T, offs=ends).numpy(), expected.T.numpy(), rtol=1e-12
    )
    parts = F.grouped_mm(a.T, a, offs=ends)
    for part, (low, high) in zip(parts, ((0, 1), (1, 1), (1, 4)), strict=True):
        np.testing.assert_allclose(part.numpy(), (a[low:high].T @ a[low:high]).numpy(), rtol=1e-12)
    with pytest.raises(RuntimeError, match="Have to provide offsets"):
        torch._grouped_mm(a, b)
