"""Modules side by side with PyTorch: repr, state_dict, starting values, results, gradients."""

from __future__ import annotations

import copy

import numpy
import pytest

import flambeau
from flambeau import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

# name, arguments, keyword arguments, shape of the input (None: only made), integers below
CASES = [
    ("Linear", (4, 3), {}, (2, 4)),
    ("Linear", (4, 3), {"bias": False}, (2, 5, 4)),
    ("Bilinear", (3, 4, 2), {}, None),
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, (2, 4, 9)),
    ("Conv2d", (2, 4, 3), {"padding": "same", "bias": False}, (2, 2, 5, 5)),
    ("Conv2d", (2, 4, (3, 2)), {"padding": 1, "padding_mode": "reflect"}, (2, 2, 5, 5)),
    ("Conv2d", (4, 4, 3), {"dilation": 2, "groups": 4, "padding": (2, 1)}, (2, 4, 7, 8)),
    ("Conv3d", (1, 2, 2), {}, (2, 1, 3, 4, 3)),
    ("ConvTranspose1d", (2, 4, 3), {"stride": 2}, (2, 2, 5)),
    ("ConvTranspose2d", (2, 4, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (1, 2, 4, 4)),
    ("BatchNorm1d", (4,), {}, (5, 4)),
    ("BatchNorm1d", (4,), {"momentum": None}, (5, 4, 3)),
    ("BatchNorm2d", (3,), {"affine": False}, (4, 3, 5, 5)),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, (4, 3, 5, 5)),
    ("BatchNorm3d", (2,), {"eps": 1e-3, "momentum": 0.2}, (2, 2, 3, 2, 2)),
    ("InstanceNorm1d", (3,), {}, (2, 3, 5)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, (2, 3, 4, 4)),
    ("LayerNorm", (4,), {}, (2, 3, 4)),
    ("LayerNorm", ((3, 4),), {"bias": False}, (2, 3, 4)),
    ("LayerNorm", (4,), {"elementwise_affine": False}, (2, 4)),
    ("GroupNorm", (2, 4), {}, (3, 4, 5)),
    ("RMSNorm", (4,), {}, (2, 4)),
    ("Embedding", (7, 3), {"padding_idx": -1}, None),
    ("Embedding", (7, 3), {"max_norm": 1.0, "norm_type": 1.0}, None),
    ("Identity", (1,), {"anything": 2}, (2, 3)),
    ("Dropout", (0.3,), {}, None),
    ("Dropout2d", (), {"inplace": True}, None),
    ("ReLU", (), {}, (2, 3)),
    ("ReLU", (True,), {}, None),
    ("ReLU6", (), {}, (9, 9)),
    ("LeakyReLU", (0.2,), {}, (2, 3)),
    ("ELU", (), {"alpha": 0.5}, (2, 3)),
    ("CELU", (), {}, (2, 3)),
    ("SELU", (), {}, (2, 3)),
    ("GELU", (), {}, (2, 3)),
    ("GELU", ("tanh",), {}, (2, 3)),
    ("SiLU", (), {}, (2, 3)),
    ("Mish", (), {}, (2, 3)),
    ("Tanh", (), {}, (2, 3)),
    ("Sigmoid", (), {}, (2, 3)),
    ("LogSigmoid", (), {}, (2, 3)),
    ("Softplus", (), {"beta": 2.0}, (2, 3)),
    ("Softsign", (), {}, (2, 3)),
    ("Tanhshrink", (), {}, (2, 3)),
    ("Hardtanh", (), {}, (3, 5)),
    ("Hardsigmoid", (), {}, (3, 5)),
    ("Hardswish", (), {}, (3, 5)),
    ("Hardshrink", (), {}, (3, 5)),
    ("Softshrink", (), {}, (3, 5)),
    ("Threshold", (0.1, 2.0), {}, (3, 5)),
    ("PReLU", (), {}, (3, 5)),
    ("PReLU", (5,), {}, (3, 5)),
    ("GLU", (), {}, (3, 4)),
    ("RReLU", (0.1, 0.3), {}, None),
    ("AlphaDropout", (), {}, None),
    ("LocalResponseNorm", (3,), {}, (2, 5, 4)),
    ("CosineSimilarity", (), {}, None),
    ("PairwiseDistance", (), {}, None),
    ("Softmax", (), {"dim": 1}, (3, 4)),
    ("LogSoftmax", (-1,), {}, (3, 4)),
    ("Softmin", (0,), {}, (3, 4)),
    ("Softmax2d", (), {}, (2, 3, 2, 2)),
    ("MaxPool1d", (2,), {}, (2, 3, 8)),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1}, (2, 3, 7, 7)),
    ("MaxPool2d", ((2, 1),), {"ceil_mode": True}, (2, 3, 7, 7)),
    ("MaxPool3d", (2,), {}, (1, 2, 4, 4, 4)),
    ("AvgPool1d", (2,), {}, (2, 3, 8)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, (2, 3, 7, 7)),
    ("AvgPool3d", (2,), {}, (1, 2, 4, 4, 4)),
    ("AdaptiveAvgPool1d", (3,), {}, (2, 2, 7)),
    ("AdaptiveAvgPool2d", ((2, None),), {}, (2, 2, 7, 5)),
    ("AdaptiveMaxPool2d", (2,), {}, (2, 2, 7, 5)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (0, 1), {}, (2, 3, 4)),
    ("Unflatten", (1, (2, 2)), {}, (3, 4)),
    ("ZeroPad2d", (1,), {}, (1, 2, 3, 3)),
    ("ConstantPad1d", ((1, 2), 3.5), {}, (1, 2, 3)),
    ("ReflectionPad2d", ((1, 1, 2, 0),), {}, (1, 2, 4, 4)),
    ("ReplicationPad1d", (2,), {}, (1, 2, 3)),
]
_IDS = [f"{name}{place}" for place, (name, *_) in enumerate(CASES)]


def _close(mine, theirs, tolerance=1e-5):
    numpy.testing.assert_allclose(
        mine.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance
    )


def _both(name, args, kwargs):
    flambeau.manual_seed(3)
    torch.manual_seed(3)
    return getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)


def _same_state(mine, theirs, tolerance=5e-7):
    a, b = mine.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    assert a._metadata == b._metadata
    for key, value in b.items():
        assert str(a[key].dtype) == str(value.dtype)
        _close(a[key], value, tolerance)


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), CASES, ids=_IDS)
def test_module(name, args, kwargs, shape):
    mine, theirs = _both(name, args, kwargs)
    assert repr(mine) == repr(theirs)
    _same_state(mine, theirs)
    if shape is None:
        return
    values = numpy.random.RandomState(0).randn(*shape).astype(numpy.float32)
    for training in (True, True, False):
        mine.train(training)
        theirs.train(training)
        x = flambeau.tensor(values, requires_grad=True)
        y = torch.tensor(values, requires_grad=True)
        a, b = mine(x), theirs(y)
        _close(a, b)
        weights = numpy.random.RandomState(1).randn(*b.shape).astype(numpy.float32)
        (a * flambeau.tensor(weights)).sum().backward()
        (b * torch.tensor(weights)).sum().backward()
        _close(x.grad, y.grad, 1e-4)
        for (key, p), (_, q) in zip(
            mine.named_parameters(), theirs.named_parameters(), strict=True
        ):
            assert (p.grad is None) == (q.grad is None), key
            if q.grad is not None:
                _close(p.grad, q.grad, 1e-4)
        _same_state(mine, theirs, 1e-5)


LOSSES = [
    ("L1Loss", {}, "float"),
    ("MSELoss", {"reduction": "sum"}, "float"),
    ("SmoothL1Loss", {"beta": 0.5}, "float"),
    ("HuberLoss", {"delta": 0.7}, "float"),
    ("KLDivLoss", {"reduction": "batchmean"}, "probability"),
    ("BCEWithLogitsLoss", {}, "probability"),
    ("BCELoss", {"reduction": "none"}, "both"),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, "class"),
    ("CrossEntropyLoss", {"ignore_index": 1, "reduction": "sum"}, "class"),
    ("CrossEntropyLoss", {}, "probability"),
    ("NLLLoss", {}, "class"),
]


@pytest.mark.parametrize(("name", "kwargs", "kind"), LOSSES)
def test_loss(name, kwargs, kind):
    mine, theirs = getattr(nn, name)(**kwargs), getattr(torch.nn, name)(**kwargs)
    assert repr(mine) == repr(theirs) and mine.state_dict() == theirs.state_dict()
    random = numpy.random.RandomState(0)
    x = random.randn(5, 4).astype(numpy.float32)
    target = random.rand(5, 4).astype(numpy.float32)
    if kind == "both":
        x = random.rand(5, 4).astype(numpy.float32)
    if kind == "float":
        target = random.randn(5, 4).astype(numpy.float32)
    if kind == "class":
        target = random.randint(0, 4, 5)
    a = flambeau.tensor(x, requires_grad=True)
    b = torch.tensor(x, requires_grad=True)
    ours, reference = mine(a, flambeau.tensor(target)), theirs(b, torch.tensor(target))
    _close(ours, reference)
    ours.sum().backward()
    reference.sum().backward()
    _close(a.grad, b.grad)


PAIRS = [
    ("PoissonNLLLoss", {"full": True}, "count"),
    ("GaussianNLLLoss", {}, "variance"),
    ("SoftMarginLoss", {}, "sign"),
    ("HingeEmbeddingLoss", {}, "sign"),
    ("MarginRankingLoss", {"margin": 0.2}, "two"),
    ("CosineEmbeddingLoss", {"margin": 0.2, "reduction": "none"}, "vectors"),
    ("TripletMarginLoss", {"swap": True}, "three"),
]


@pytest.mark.parametrize(("name", "kwargs", "kind"), PAIRS)
def test_losses_of_pairs(name, kwargs, kind):
    mine, theirs = getattr(nn, name)(**kwargs), getattr(torch.nn, name)(**kwargs)
    assert repr(mine) == repr(theirs)
    random = numpy.random.RandomState(0)
    x, y, z = random.randn(3, 5, 4).astype(numpy.float32)
    signs = numpy.where(z > 0, 1, -1).astype(numpy.float32)
    arguments = {
        "count": (x, numpy.abs(y).round() * 3),
        "variance": (x, y, numpy.abs(z) + 0.1),
        "sign": (x, signs),
        "two": (x, y, signs),
        "vectors": (x, y, signs[:, 0]),
        "three": (x, y, z),
    }[kind]
    _close(mine(*map(flambeau.tensor, arguments)), theirs(*map(torch.tensor, arguments)), 2e-5)


def test_weighted_losses():
    weight = numpy.array([1, 2, 0.5, 3], numpy.float32)
    random = numpy.random.RandomState(0)
    x, target = random.randn(6, 4).astype(numpy.float32), random.randint(0, 4, 6)
    mine = nn.CrossEntropyLoss(weight=flambeau.tensor(weight))
    theirs = torch.nn.CrossEntropyLoss(weight=torch.tensor(weight))
    assert list(mine.state_dict()) == list(theirs.state_dict()) == ["weight"]
    _close(
        mine(flambeau.tensor(x), flambeau.tensor(target)),
        theirs(torch.tensor(x), torch.tensor(target)),
    )
    mine = nn.BCEWithLogitsLoss(pos_weight=flambeau.tensor(weight))
    theirs = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight))
    y = random.rand(6, 4).astype(numpy.float32)
    _close(mine(flambeau.tensor(x), flambeau.tensor(y)), theirs(torch.tensor(x), torch.tensor(y)))


INITS = [
    ("uniform_", (-2.0, 3.0), {}),
    ("normal_", (1.0, 2.0), {}),
    ("constant_", (0.3,), {}),
    ("ones_", (), {}),
    ("zeros_", (), {}),
    ("xavier_uniform_", (2.0,), {}),
    ("xavier_normal_", (), {}),
    ("kaiming_uniform_", (), {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", (0.2,), {}),
    ("trunc_normal_", (), {"std": 0.5, "a": -0.4, "b": 0.9}),
    ("trunc_normal_", (), {"a": 1.5, "b": 3.0}),
    ("orthogonal_", (), {"gain": 1.5}),
    ("eye_", (), {}),
    ("sparse_", (0.4,), {}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), INITS)
@pytest.mark.parametrize("shape", [(3, 4), (17, 5)])
def test_init(name, args, kwargs, shape):
    flambeau.manual_seed(5)
    torch.manual_seed(5)
    mine = getattr(nn.init, name)(flambeau.empty(*shape), *args, **kwargs)
    theirs = getattr(torch.nn.init, name)(torch.empty(*shape), *args, **kwargs)
    _close(mine, theirs, 2e-6)
    _close(flambeau.rand(3), torch.rand(3), 0)  # and the streams are at the same place


def test_init_of_more_dimensions():
    for shape, groups in (((4, 2, 3), 2), ((3, 3, 2, 5), 1), ((2, 4, 1, 2, 3), 1)):
        _close(
            nn.init.dirac_(flambeau.empty(*shape), groups),
            torch.nn.init.dirac_(torch.empty(*shape), groups),
        )
    flambeau.manual_seed(5)
    torch.manual_seed(5)
    _close(
        nn.init.orthogonal_(flambeau.empty(4, 3, 5)),
        torch.nn.init.orthogonal_(torch.empty(4, 3, 5)),
        2e-6,
    )
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)


def _net(n):
    class Net(n.Module):
        def __init__(self):
            super().__init__()
            self.features = n.Sequential(n.Conv2d(1, 4, 3), n.BatchNorm2d(4), n.ReLU())
            self.blocks = n.ModuleList([n.Linear(4, 4) for _ in range(3)] + [n.Tanh()])
            self.heads = n.ModuleDict({"a": n.Linear(4, 2), "b": n.Identity()})
            self.scale = n.ParameterList([n.Parameter(self.heads["a"].bias.detach() + 1)])
            self.nothing = None
            self.register_buffer("table", self.scale[0].detach() * 2, persistent=False)

    return Net()


def test_a_network_prints_and_saves_alike():
    flambeau.manual_seed(0)
    torch.manual_seed(0)
    mine, theirs = _net(nn), _net(torch.nn)
    assert repr(mine) == repr(theirs)
    _same_state(mine, theirs)
    for name in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        a, b = list(getattr(mine, name)()), list(getattr(theirs, name)())
        assert [key for key, _ in a] == [key for key, _ in b]
    assert repr(copy.deepcopy(mine)) == repr(theirs)


def _error(action):
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the kind is compared
        action()
    return type(caught.value), str(caught.value)


def test_errors_in_the_same_words():
    for action in (
        lambda n, t: n.Module(3),
        lambda n, t: n.Module(x=3),
        lambda n, t: n.Module()(1),
        lambda n, t: n.Linear(2, 3).nothing,
        lambda n, t: setattr(n.Linear(2, 3), "weight", t.ones(2)),
        lambda n, t: setattr(n.Linear(2, 3), "weight", 3),
        lambda n, t: setattr(n.Sequential(n.ReLU()), "0", 3),
        lambda n, t: setattr(n.BatchNorm1d(3), "running_mean", 3),
        lambda n, t: n.Module().register_parameter("a.b", None),
        lambda n, t: n.Module().register_parameter("", None),
        lambda n, t: n.Module().register_parameter(3, None),
        lambda n, t: n.Module().register_parameter("training", None),
        lambda n, t: n.Module().register_parameter("x", t.ones(2)),
        lambda n, t: n.Module().register_parameter("x", 3),
        lambda n, t: n.Module().register_buffer("a.b", None),
        lambda n, t: n.Module().register_buffer("x", 3),
        lambda n, t: n.Module().add_module("x", 3),
        lambda n, t: n.Module().add_module("a.b", None),
        lambda n, t: n.Module().get_submodule("a.b"),
        lambda n, t: n.Linear(2, 3).get_submodule("weight"),
        lambda n, t: n.Linear(2, 3).get_parameter("x"),
        lambda n, t: n.Linear(2, 3).get_buffer("weight"),
        lambda n, t: n.Linear(2, 3).train("yes"),
        lambda n, t: n.Linear(2, 3).load_state_dict(3),
        lambda n, t: n.Linear(2, 3).load_state_dict({}),
        lambda n, t: n.Linear(2, 3).load_state_dict({"weight": t.ones(4), "a.b": 1, "c": 2}),
        lambda n, t: n.Sequential(n.Linear(2, 3)).load_state_dict({"0.weight": 1, "1.x": 2}),
        lambda n, t: n.Sequential(n.ReLU())[1],
        lambda n, t: n.ModuleList([n.ReLU()]).append(3),
        lambda n, t: n.ModuleList(3),
        lambda n, t: n.ModuleDict(3),
        lambda n, t: n.ModuleDict([(1, 2, 3)]),
        lambda n, t: n.ParameterList([1])[2],
        lambda n, t: n.Dropout(2),
        lambda n, t: n.Conv2d(3, 4, 3, groups=2),
        lambda n, t: n.Conv2d(3, 4, 3, padding="some"),
        lambda n, t: n.Conv2d(3, 4, 3, padding="same", stride=2),
        lambda n, t: n.ConvTranspose2d(3, 4, 3, padding_mode="circular"),
        lambda n, t: n.BatchNorm2d(3)(t.ones(2, 3)),
        lambda n, t: n.GroupNorm(3, 4),
        lambda n, t: n.init.calculate_gain("nothing"),
        lambda n, t: n.init.kaiming_uniform_(t.ones(3)),
        lambda n, t: n.init.eye_(t.ones(3)),
    ):
        ours = _error(lambda action=action: action(nn, flambeau))
        theirs = _error(lambda action=action: action(torch.nn, torch))
        theirs = theirs[0], theirs[1].replace("torch.nn.modules", "flambeau.nn.modules")
        assert ours == theirs


def test_clipping():
    random = numpy.random.RandomState(0)
    values = [random.randn(3, 4).astype(numpy.float32), random.randn(5).astype(numpy.float32)]
    for kind in (2.0, 1.0, 3.0, float("inf"), float("-inf"), 0.0):
        mine = [nn.Parameter(flambeau.zeros(*v.shape)) for v in values]
        theirs = [torch.nn.Parameter(torch.zeros(*v.shape)) for v in values]
        for a, b, v in zip(mine, theirs, values, strict=True):
            a.grad, b.grad = flambeau.tensor(v), torch.tensor(v)
        ours = nn.utils.clip_grad_norm_(mine, 1.0, kind)
        reference = torch.nn.utils.clip_grad_norm_(theirs, 1.0, kind)
        _close(ours, reference)
        for a, b in zip(mine, theirs, strict=True):
            _close(a.grad, b.grad)
        nn.utils.clip_grad_value_(mine, 0.1)
        torch.nn.utils.clip_grad_value_(theirs, 0.1)
        for a, b in zip(mine, theirs, strict=True):
            _close(a.grad, b.grad)


RESIZED = [
    ("Upsample", (), {"scale_factor": 1.7, "mode": "bicubic"}, (2, 2, 5, 4)),
    ("Upsample", ((3, 7),), {"mode": "bilinear"}, (1, 2, 5, 4)),
    ("Upsample", (), {"scale_factor": (1.5, 2.5), "recompute_scale_factor": True}, (1, 2, 5, 4)),
    ("Upsample", (4,), {"mode": "trilinear", "align_corners": True}, (1, 2, 3, 5, 4)),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, (1, 2, 3, 4)),
    ("UpsamplingBilinear2d", ((6, 5),), {}, (1, 2, 3, 4)),
    ("PixelShuffle", (2,), {}, (2, 8, 3, 2)),
    ("PixelUnshuffle", (3,), {}, (2, 1, 6, 3)),
    ("ChannelShuffle", (3,), {}, (2, 6, 3)),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), RESIZED)
def test_resizing_as_pytorch(name, args, kwargs, shape):
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    values = numpy.random.default_rng(0).standard_normal(shape).astype(numpy.float32)
    x = flambeau.tensor(values, requires_grad=True)
    y = torch.tensor(values, requires_grad=True)
    found, expected = ours(x), theirs(y)
    numpy.testing.assert_allclose(
        found.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=5e-6
    )
    found.square().sum().backward()
    expected.square().sum().backward()
    numpy.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-5, atol=1e-5)
