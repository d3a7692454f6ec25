"""Rarer modules side by side with PyTorch: repr, state_dict, results, gradients."""

from __future__ import annotations

import copy
import importlib

import numpy
import pytest

import flambeau
from flambeau import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

# name, arguments, keyword arguments, shape of the input
CASES = [
    ("Unfold", ((2, 3),), {"padding": 1, "stride": (1, 2)}, (2, 3, 4, 5)),
    ("Fold", ((4, 5), 2), {"dilation": 2, "padding": (1, 0)}, (2, 12, 12)),
    ("SyncBatchNorm", (3,), {}, (4, 3, 5)),
    ("SyncBatchNorm", (3,), {"momentum": None, "affine": False}, (4, 3)),
    ("LPPool1d", (2, 3), {"stride": 2}, (2, 3, 8)),
    ("LPPool2d", (1.0, (2, 1)), {"ceil_mode": True}, (2, 3, 7, 5)),
    ("LPPool3d", (2, 2), {}, (1, 2, 4, 4, 4)),
    ("FractionalMaxPool2d", (2,), {"output_ratio": 0.5}, (2, 3, 8, 6)),
    ("FractionalMaxPool3d", ((2, 1, 2), (2, 3, 2)), {}, (2, 5, 5, 6)),
    ("CircularPad1d", (2,), {}, (1, 2, 3)),
    ("CircularPad2d", ((1, 0, 2, 1),), {}, (1, 2, 3, 3)),
    ("CircularPad3d", (1,), {}, (1, 2, 3, 2, 3)),
    ("ReflectionPad3d", (1,), {}, (1, 2, 3, 4, 3)),
    ("ReplicationPad3d", ((0, 1, 2, 0, 1, 1),), {}, (1, 2, 3, 4, 3)),
    ("FeatureAlphaDropout", (0.3,), {}, None),
    ("MaxUnpool2d", (2,), {"stride": (2, 1)}, None),
    ("EmbeddingBag", (7, 3), {"padding_idx": -1, "mode": "max"}, None),
    ("EmbeddingBag", (7, 3), {"max_norm": 1.0, "scale_grad_by_freq": True}, None),
    ("TripletMarginWithDistanceLoss", (), {"margin": 0.5}, None),
    ("LinearCrossEntropyLoss", (4, 3), {"bias": True, "out_features": (2,)}, None),
]


def near(ours, theirs, tolerance=1e-5):
    numpy.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance
    )


def made(name, args=(), kwargs=None):
    found = []
    for library in (flambeau, torch):
        library.manual_seed(3)
        found.append(getattr(library.nn, name)(*args, **(kwargs or {})))
    ours, theirs = found
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        near(ours.state_dict()[key], value, 1e-6)
    return ours, theirs


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), CASES)
def test_module(name, args, kwargs, shape):
    ours, theirs = made(name, args, kwargs)
    if shape is None:
        return
    values = numpy.random.RandomState(0).rand(*shape).astype(numpy.float32) + 0.1
    for training in (True, False):
        results, leaves = [], []
        for library, module in ((flambeau, ours), (torch, theirs)):
            library.manual_seed(1)
            leaf = library.tensor(values, requires_grad=True)
            results.append(module.train(training)(leaf))
            (results[-1] * results[-1]).sum().backward()
            leaves.append(leaf.grad)
        near(*results)
        near(*leaves, 1e-4)
    for key, value in theirs.state_dict().items():
        near(ours.state_dict()[key], value)


def test_bags_of_a_module():
    rows = numpy.array([[1, 4, 6], [0, 0, 2]])
    ours, theirs = made("EmbeddingBag", (7, 3), {"mode": "sum", "padding_idx": 0})
    for library, module in ((flambeau, ours), (torch, theirs)):
        index = library.tensor(rows)
        scale = library.arange(6.0).reshape(2, 3)
        module(index, per_sample_weights=scale).square().sum().backward()
    near(ours.weight.grad, theirs.weight.grad)
    table = numpy.arange(6, dtype=numpy.float32).reshape(3, 2)
    both = [
        library.nn.EmbeddingBag.from_pretrained(library.tensor(table), include_last_offset=True)(
            library.tensor([0, 2, 1]), library.tensor([0, 1, 3])
        )
        for library in (flambeau, torch)
    ]
    near(*both)


def test_unpooling_undoes_pooling():
    values = numpy.random.RandomState(0).rand(1, 2, 5, 6).astype(numpy.float32)
    both = []
    for library in (flambeau, torch):
        pool = library.nn.MaxPool2d(2, return_indices=True)
        x = library.tensor(values)
        both.append(library.nn.MaxUnpool2d(2)(*pool(x), output_size=x.size()))
    near(*both)


CLASSES = numpy.array([[2, 0, -1, 1], [1, 3, -1, 0], [-1, 0, 0, 0]])
LOSSES = [
    ("MultiMarginLoss", {"p": 2, "margin": 0.5}, CLASSES[:, 0] % 4),
    ("MultiLabelMarginLoss", {"reduction": "sum"}, CLASSES),
    ("MultiLabelSoftMarginLoss", {"reduction": "none"}, (CLASSES > 0).astype(numpy.float32)),
]


@pytest.mark.parametrize(("name", "kwargs", "target"), LOSSES)
def test_losses(name, kwargs, target):
    ours, theirs = made(name, (), kwargs)
    scores = numpy.random.RandomState(0).randn(3, 4).astype(numpy.float32)
    near(
        ours(flambeau.tensor(scores), flambeau.tensor(target)),
        theirs(torch.tensor(scores), torch.tensor(target)),
    )


def test_losses_of_linear_layers_and_sequences():
    ours, theirs = made("LinearCrossEntropyLoss", (4, 3), {"bias": True, "label_smoothing": 0.1})
    scores = numpy.random.RandomState(0).randn(5, 4).astype(numpy.float32)
    target = numpy.array([0, 2, 1, -100, 1])
    near(
        ours(flambeau.tensor(scores), flambeau.tensor(target)),
        theirs(torch.tensor(scores), torch.tensor(target)),
    )
    ours, theirs = made("CTCLoss", (2,), {"zero_infinity": True})
    near(
        ours(flambeau.tensor(scores), flambeau.tensor([1, 1]), (5,), (2,)),
        theirs(torch.tensor(scores), torch.tensor([1, 1]), (5,), (2,)),
    )


def test_conversion_to_sync_batch_norm():
    texts = []
    for library in (flambeau, torch):
        n = library.nn
        net = n.Sequential(n.Conv2d(1, 2, 3), n.BatchNorm2d(2), n.ModuleList([n.BatchNorm1d(4)]))
        weight = net[1].weight
        converted = n.SyncBatchNorm.convert_sync_batchnorm(net.eval())
        assert converted[1].weight is weight and not converted[1].training
        alone = n.SyncBatchNorm.convert_sync_batchnorm(n.BatchNorm1d(3))
        texts.append((repr(converted), repr(alone), list(copy.deepcopy(converted).state_dict())))
    assert texts[0] == texts[1]


FILES = {
    "batchnorm": "_BatchNorm _NormBase SyncBatchNorm",
    "channelshuffle": "ChannelShuffle",
    "conv": "_ConvNd _ConvTransposeNd _pair",
    "dropout": "_DropoutNd",
    "flatten": "Flatten Unflatten",
    "fold": "Fold Unfold",
    "instancenorm": "_InstanceNorm InstanceNorm2d",
    "loss": "_Loss _WeightedLoss CTCLoss TripletMarginLoss",
    "padding": "ZeroPad2d ReflectionPad3d",
    "pixelshuffle": "PixelShuffle",
    "pooling": "_MaxPoolNd _AvgPoolNd _AdaptiveAvgPoolNd MaxUnpool1d",
    "rnn": "RNNBase RNNCellBase",
    "sparse": "Embedding EmbeddingBag",
    "transformer": "_get_clones _get_activation_fn",
    "upsampling": "Upsample",
    "utils": "_single _pair _triple _quadruple _ntuple _list_with_default",
}


@pytest.mark.parametrize("file", FILES)
def test_names_are_in_pytorchs_files(file):
    ours = importlib.import_module(f"flambeau.nn.modules.{file}")
    theirs = importlib.import_module(f"torch.nn.modules.{file}")
    for name in FILES[file].split():
        assert callable(getattr(ours, name)) and callable(getattr(theirs, name))


def test_helpers_for_arguments():
    ours, theirs = nn.modules.utils, torch.nn.modules.utils
    for call in (
        lambda u: (u._single(3), u._pair((1, 2)), u._pair(2), u._triple([1]), u._quadruple("ab")),
        lambda u: u._reverse_repeat_tuple((1, 2, 3), 2),
        lambda u: u._list_with_default([None, 3], [5, 6, 7]),
        lambda u: u._list_with_default(4, [5]),
    ):
        assert call(ours) == call(theirs)
    with pytest.raises(ValueError, match="at least"):
        ours._list_with_default([None, 3], [5])
    for prefix in ("module.", "module"):
        states = []
        for library in (flambeau, torch):
            state = library.nn.ModuleDict({"module": library.nn.Linear(1, 1)}).state_dict()
            library.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, prefix)
            states.append((list(state), dict(state._metadata)))
        assert states[0] == states[1]


@pytest.mark.parametrize("bias", [True, False])
def test_adaptive_softmax(bias):
    options = {"cutoffs": [2, 5, 9], "div_value": 2.0, "head_bias": bias}
    ours, theirs = made("AdaptiveLogSoftmaxWithLoss", (8, 12), options)
    random = numpy.random.RandomState(0)
    rows, target = random.randn(7, 8).astype(numpy.float32), numpy.array([0, 4, 11, 1, 6, 6, 3])
    x, y = flambeau.tensor(rows, requires_grad=True), torch.tensor(rows, requires_grad=True)
    mine, reference = ours(x, flambeau.tensor(target)), theirs(y, torch.tensor(target))
    near(mine.output, reference.output)
    near(mine.loss, reference.loss)
    mine.loss.backward()
    reference.loss.backward()
    near(x.grad, y.grad)
    for each, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        near(each.grad, other.grad)
    near(ours.log_prob(x), theirs.log_prob(y))
    assert ours.predict(x).tolist() == theirs.predict(y).tolist()
    single = ours(x[0], flambeau.tensor(3)), theirs(y[0], torch.tensor(3))
    near(*[each.output for each in single])
    for cutoffs in ([], [3, 2], [12], [2, 2]):
        kinds = []
        for library in (flambeau, torch):
            with pytest.raises(Exception) as caught:  # noqa: PT011  # the type is compared
                library.nn.AdaptiveLogSoftmaxWithLoss(8, 12, cutoffs)
            kinds.append(caught.type)
        assert kinds[0] is kinds[1]


def test_hooks_of_every_module():
    logs = []
    for library in (flambeau, torch):
        log = []
        module = library.nn.modules.module
        net = library.nn.Sequential(library.nn.Linear(2, 2), library.nn.ReLU())
        net[0].register_forward_hook(lambda m, a, r, log=log: log.append("own"))
        handles = [
            module.register_module_forward_pre_hook(
                lambda m, a, log=log: log.append(("before", type(m).__name__))
            ),
            module.register_module_forward_hook(
                lambda m, a, k, r, log=log: log.append(("after", type(m).__name__, len(k))),
                with_kwargs=True,
            ),
            module.register_module_full_backward_pre_hook(
                lambda m, g, log=log: log.append(("gradient", type(m).__name__))
            ),
            module.register_module_full_backward_hook(
                lambda m, i, o, log=log: log.append(("gradients", type(m).__name__, len(i)))
            ),
        ]
        x = library.ones(1, 2, requires_grad=True)
        net(x).sum().backward()
        for each in handles:
            each.remove()
        count = len(log)
        net(x)
        assert log[count:] == ["own"]
        logs.append(log)
    assert logs[0] == logs[1]
