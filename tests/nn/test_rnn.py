"""RNN, LSTM and GRU against their formulas in numpy, and side by side with PyTorch."""

from __future__ import annotations

import itertools

import numpy
import pytest

import flambeau
from flambeau import nn
from flambeau.ops import recurrent
from flambeau.ops.gradcheck import gradcheck, gradgradcheck

_MODES = [
    {},
    {"bias": False},
    {"num_layers": 2, "bidirectional": True, "batch_first": True},
]
_KINDS = ("RNN", "LSTM", "GRU")


def _numbers(seed, *shape):
    return numpy.random.default_rng(seed).standard_normal(shape).astype("float32")


def _sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def _reference(kind, layer, x, state):
    """One layer in float64: (T, B, I) and states (B, H) to (T, B, H)."""
    w, u, b, c = (value.numpy().astype("float64") for value in layer.state_dict().values())
    hidden, cell = (each.astype("float64") for each in state)
    outputs = []
    for row in x.astype("float64"):
        left, right = row @ w.T + b, hidden @ u.T + c
        if kind == "RNN":
            hidden = numpy.tanh(left + right)
        elif kind == "LSTM":
            i, f, g, o = numpy.split(left + right, 4, axis=1)
            cell = _sigmoid(f) * cell + _sigmoid(i) * numpy.tanh(g)
            hidden = _sigmoid(o) * numpy.tanh(cell)
        else:
            (r, z, n), (r2, z2, n2) = (numpy.split(each, 3, axis=1) for each in (left, right))
            r, z = _sigmoid(r + r2), _sigmoid(z + z2)
            n = numpy.tanh(n + r * n2)
            hidden = (1 - z) * n + z * hidden
        outputs.append(hidden)
    return numpy.stack(outputs), hidden, cell


@pytest.mark.parametrize("kind", _KINDS)
def test_formula(kind):
    flambeau.manual_seed(0)
    layer = getattr(nn, kind)(5, 7)
    x, hidden, cell = _numbers(0, 4, 3, 5), _numbers(1, 3, 7), _numbers(2, 3, 7)
    state = [flambeau.from_numpy(each[None]) for each in (hidden, cell)]
    found, last = layer(flambeau.from_numpy(x), tuple(state) if kind == "LSTM" else state[0])
    outputs, hidden, cell = _reference(kind, layer, x, (hidden, cell))
    numpy.testing.assert_allclose(found.detach().numpy(), outputs, atol=1e-6)
    lasts = zip(last if kind == "LSTM" else [last], (hidden, cell), strict=False)
    for one, wanted in lasts:
        numpy.testing.assert_allclose(one.detach().numpy()[0], wanted, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["tanh", "LSTM", "GRU"])
def test_gradients_of_first_and_second_order(kind, reverse):
    gates = {"tanh": 1, "LSTM": 4, "GRU": 3}[kind]
    shapes = [(3, 2, 2 * gates), (2, 2), (2 * gates, 2)]
    if kind == "LSTM":
        shapes.insert(2, (2, 2))
    elif kind == "GRU":
        shapes.append((2 * gates,))
    inputs = tuple(
        flambeau.from_numpy(_numbers(seed, *shape).astype("float64")).requires_grad_()
        for seed, shape in enumerate(shapes)
    )

    def run(*values):
        if kind == "tanh":
            return recurrent.plain_layer(*values, "tanh", reverse)
        layer = recurrent.lstm_layer if kind == "LSTM" else recurrent.gru_layer
        return layer(*values, reverse)

    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


def test_only_the_last_state_gives_gradients():
    flambeau.manual_seed(0)
    layer = nn.LSTM(2, 3)
    x = flambeau.from_numpy(_numbers(0, 3, 2, 2)).requires_grad_()
    for pick in (lambda found: found[1][1], lambda found: found[1][0]):
        (gradient,) = flambeau.autograd.grad(pick(layer(x)).sum(), x)
        assert (gradient != 0).all().item()


def test_steps_are_one_kernel_however_many_there_are():
    layer = nn.GRU(2, 3)

    def kernels(steps):
        found = flambeau.explain(layer(flambeau.zeros(steps, 2, 2))[1], show=False)
        return {line.split(":")[0] for line in found.launches.splitlines()}

    assert kernels(4) == kernels(9)


def test_unbatched_is_a_batch_of_one():
    layer = nn.LSTM(2, 3, bidirectional=True)
    x = flambeau.from_numpy(_numbers(0, 4, 2))
    alone, (hidden, _) = layer(x)
    batch, (hiddens, _) = layer(x.unsqueeze(1))
    assert alone.shape == (4, 6) and hidden.shape == (2, 3)
    assert flambeau.equal(alone, batch.squeeze(1)) and flambeau.equal(hidden, hiddens.squeeze(1))


@pytest.mark.parametrize(
    ("make", "call", "error"),
    [
        (lambda: nn.LSTM(2, 3, dropout=2), None, ValueError),
        (lambda: nn.LSTM(2, 0), None, ValueError),
        (lambda: nn.LSTM(2, 3, proj_size=3), None, ValueError),
        (lambda: nn.LSTM(2, 3, proj_size=-1), None, ValueError),
        (lambda: nn.GRU(2, 3, proj_size=1), None, ValueError),
        (lambda: nn.RNN(2, 3, nonlinearity="gelu"), None, ValueError),
        (lambda: nn.RNN(2, 3), (flambeau.zeros(2),), ValueError),
        (lambda: nn.RNN(2, 3), (flambeau.zeros(2, 2, 3),), RuntimeError),
        (lambda: nn.RNN(2, 3), (flambeau.zeros(2, 2, 2, dtype=flambeau.float64),), ValueError),
        (lambda: nn.RNN(2, 3), (flambeau.zeros(4, 1, 2), flambeau.zeros(1, 3)), RuntimeError),
        (lambda: nn.RNN(2, 3), (flambeau.zeros(4, 1, 2), flambeau.zeros(2, 1, 3)), RuntimeError),
    ],
)
def test_errors(make, call, error):
    if call is None:
        with pytest.raises(error):
            make()
        return
    layer = make()
    with pytest.raises(error):
        layer(*call)


def test_dropout_between_layers_only_in_training():
    flambeau.manual_seed(0)
    layer = nn.GRU(2, 3, num_layers=2, dropout=0.5)
    x = flambeau.from_numpy(_numbers(0, 4, 3, 2))
    assert not flambeau.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert flambeau.equal(layer(x)[0], layer(x)[0])


def _states(framework, kind, kwargs, rows):
    layers = kwargs.get("num_layers", 1) * (2 if kwargs.get("bidirectional") else 1)
    states = [
        framework.from_numpy(_numbers(seed, layers, rows, 7)).requires_grad_()
        for seed in range(1, 3 if kind == "LSTM" else 2)
    ]
    return states, tuple(states) if kind == "LSTM" else states[0]


@pytest.mark.parametrize(
    ("kind", "kwargs", "given"), list(itertools.product(_KINDS, _MODES, (0, 1)))
)
def test_parity(kind, kwargs, given):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    found = []
    for X in (flambeau, torch):
        X.manual_seed(0)
        layer = getattr(X.nn, kind)(5, 7, **kwargs)
        x = X.from_numpy(_numbers(0, 4, 3, 5)).requires_grad_()
        states, hx = _states(X, kind, kwargs, 4 if kwargs.get("batch_first") else 3)
        output, last = layer(x, hx if given else None)
        last = last if isinstance(last, tuple) else (last,)
        ((output**2).sum() + sum((each**3).sum() for each in last)).backward()
        gradients = [each.grad for each in (x, *states, *layer.parameters())]
        values = [output, *last, *[each for each in gradients if each is not None]]
        found.append((repr(layer), list(layer.state_dict()), values))
    assert found[0][:2] == found[1][:2]
    for mine, theirs in zip(found[0][2], found[1][2], strict=True):
        numpy.testing.assert_allclose(
            mine.detach().numpy(), theirs.detach().numpy(), rtol=2e-4, atol=1e-5
        )


@pytest.mark.parametrize("kind", _KINDS)
def test_parity_of_cells(kind):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    found = []
    for X in (flambeau, torch):
        X.manual_seed(0)
        cell = getattr(X.nn, f"{kind}Cell")(5, 7)
        x = X.from_numpy(_numbers(0, 3, 5))
        state = cell(x, cell(x))
        state = state if isinstance(state, tuple) else (state,)
        sum(each.sum() for each in state).backward()
        found.append((repr(cell), [*state, *[each.grad for each in cell.parameters()]]))
    assert found[0][0] == found[1][0]
    for mine, theirs in zip(found[0][1], found[1][1], strict=True):
        numpy.testing.assert_allclose(
            mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-6
        )


def test_a_projection_is_a_product_after_each_step():
    layer = nn.LSTM(2, 4, proj_size=3)
    assert [name for name, _ in layer.named_parameters()][-1] == "weight_hr_l0"
    plain = nn.LSTM(2, 4)
    x = flambeau.from_numpy(_numbers(0, 1, 5, 2))  # one step from nothing: the states do not matter
    with flambeau.no_grad():
        for name, each in plain.named_parameters():
            if "hh" not in name or "bias" in name:
                each.copy_(getattr(layer, name))
    found, (hidden, cell) = layer(x)
    expected, (_, same) = plain(x)
    numpy.testing.assert_allclose(
        found.detach().numpy(), (expected @ layer.weight_hr_l0.T).detach().numpy(), rtol=1e-5
    )
    assert hidden.shape == (1, 5, 3) and flambeau.equal(cell, same)


@pytest.mark.parametrize("options", [{"bidirectional": True, "num_layers": 2}, {"bias": False}])
@pytest.mark.parametrize("last", [True, False])
def test_parity_of_projections(options, last):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    found = []
    for X in (flambeau, torch):
        X.manual_seed(0)
        layer = X.nn.LSTM(5, 7, proj_size=3, **options)
        x = X.from_numpy(_numbers(0, 4, 2, 5)).requires_grad_()
        output, states = layer(x)
        if last:  # the output itself has no gradient
            ((states[0] ** 2).sum() + (states[1] ** 3).sum()).backward()
        else:
            (output**2).sum().backward()
        parameters = [(name, each.grad) for name, each in layer.named_parameters()]
        found.append((repr(layer), parameters, [output, *states, x.grad]))
    assert found[0][0] == found[1][0]
    assert [name for name, _ in found[0][1]] == [name for name, _ in found[1][1]]
    values = [[*each[2], *[gradient for _, gradient in each[1]]] for each in found]
    for mine, theirs in zip(*values, strict=True):
        numpy.testing.assert_allclose(
            mine.detach().numpy(), theirs.detach().numpy(), rtol=2e-4, atol=1e-6
        )
