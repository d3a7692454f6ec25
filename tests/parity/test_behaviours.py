"""What programs rely on, behaviour by behaviour: the same lines give the same in both libraries.

Each function below is a few lines of a program; what it returns (numbers, shapes, dtypes, the type
of an error) must be what PyTorch makes of them.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

BEHAVIOURS: dict[str, Callable[[Any], Any]] = {}


def behaviour(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    assert function.__name__ not in BEHAVIOURS, function.__name__
    BEHAVIOURS[function.__name__] = function
    return function


def plain(value: Any) -> Any:
    """Tensors, dtypes and sizes as what both libraries would write."""
    if isinstance(value, (flambeau.Tensor, torch.Tensor)):
        return (str(value.dtype).split(".")[-1], tuple(value.shape), value.detach().tolist())
    if isinstance(value, (torch.Size, flambeau.Size)):
        return tuple(value)
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (torch.dtype, type(flambeau.float32))):
        return str(value).split(".")[-1]
    return value


def error(call: Callable[[], Any]) -> Any:
    """The name of the exception that a call raises, or what it returns."""
    try:
        return call()
    except Exception as found:  # noqa: BLE001  # which one is the question
        return type(found).__name__


def near(one: Any, other: Any) -> None:
    if isinstance(other, float):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6, nan_ok=True)
    elif isinstance(other, list):
        assert isinstance(one, list)
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            near(mine, theirs)
    elif isinstance(other, tuple):
        near(list(one), list(other))
    elif isinstance(other, dict):
        assert list(one) == list(other)
        near(list(one.values()), list(other.values()))
    else:
        assert one == other


# random streams ----------------------------------------------------------------------------------


@behaviour
def rand_of_both_widths(torch: Any) -> Any:
    torch.manual_seed(5)
    return torch.rand(7), torch.rand(3, dtype=torch.float64), torch.rand(2, 2)


@behaviour
def randint_and_randperm(torch: Any) -> Any:
    torch.manual_seed(5)
    wide = torch.randint(0, 1 << 40, (3,))
    return torch.randint(3, 17, (9,)), wide, torch.randperm(20), torch.randperm(50000)[:9]


@behaviour
def randn_below_and_above_sixteen(torch: Any) -> Any:
    torch.manual_seed(5)
    return [torch.randn(n) for n in (1, 3, 15, 16, 17, 33)] + [torch.empty(5).normal_(2, 3)]


@behaviour
def bernoulli_in_three_ways(torch: Any) -> Any:
    torch.manual_seed(5)
    p = torch.full((9,), 0.4)
    return torch.bernoulli(p), torch.empty(9).bernoulli_(0.4), torch.empty(5).exponential_()


@behaviour
def multinomial_with_and_without_replacement(torch: Any) -> Any:
    torch.manual_seed(5)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4])
    first = torch.multinomial(weights, 3)
    return first, torch.multinomial(weights, 8, replacement=True), torch.multinomial(weights, 1)


@behaviour
def a_loader_takes_its_numbers(torch: Any) -> Any:
    torch.manual_seed(5)
    data = torch.utils.data.TensorDataset(torch.arange(10))
    plainly = [x for (x,) in torch.utils.data.DataLoader(data, 4)]
    after = torch.rand(1)
    shuffled = [x for (x,) in torch.utils.data.DataLoader(data, 4, shuffle=True)]
    return plainly, after, shuffled, torch.rand(1)


@behaviour
def linear_starts_with_weight_then_bias(torch: Any) -> Any:
    torch.manual_seed(5)
    layer = torch.nn.Linear(3, 2)
    return layer.weight, layer.bias, torch.rand(1)


@behaviour
def a_generator_has_its_own_seed_and_state(torch: Any) -> Any:
    fresh = torch.Generator()
    seeded = torch.Generator().manual_seed(3)
    state = seeded.get_state()
    first = torch.rand(2, generator=seeded)
    seeded.set_state(state)
    again = torch.rand(2, generator=seeded)
    return fresh.initial_seed(), len(state), state.dtype, first, again


# autograd ----------------------------------------------------------------------------------------


@behaviour
def detach_shares_storage_and_version(torch: Any) -> Any:
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    z = y.detach()
    z += 1
    return y, y._version, z._version


@behaviour
def data_shares_storage_but_not_the_version(torch: Any) -> Any:
    x = torch.ones(3, requires_grad=True)
    x.data += 1
    x.data[0] = 7
    return x, x._version, x.data.requires_grad


@behaviour
def writing_to_a_leaf(torch: Any) -> Any:
    x = torch.ones(3, requires_grad=True)
    return error(lambda: x.add_(1)), error(lambda: x[0:2].mul_(2))


@behaviour
def writing_to_what_backward_needs(torch: Any) -> Any:
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    y += 1
    return error(lambda: y.sum().backward())


@behaviour
def a_second_backward(torch: Any) -> Any:
    x = torch.ones(3, requires_grad=True)
    y = (x * x).sum()
    y.backward()
    return error(y.backward)


@behaviour
def writing_to_an_expanded_tensor(torch: Any) -> Any:
    return error(lambda: torch.ones(1).expand(3).add_(1))


@behaviour
def writing_to_a_part_of_unbind(torch: Any) -> Any:
    x = torch.ones(2, 2, requires_grad=True) * 1
    return error(lambda: x.unbind()[0].add_(1))


@behaviour
def writing_to_a_view_rebases_the_graph(torch: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    a = w * 2
    v = a[:2]
    v *= 3
    a.sum().backward()
    return w.grad


@behaviour
def gradients_at_ties(torch: Any) -> Any:
    found = []
    for call in (
        lambda x: x.max(),
        lambda x: x.amax(),
        lambda x: x.max(0)[0],
        lambda x: torch.maximum(x, torch.tensor([2.0, 2.0, 1.0])).sum(),
        lambda x: x.clamp(1.0, 2.0).sum(),
        lambda x: x.median(),
    ):
        x = torch.tensor([2.0, 2.0, 1.0], requires_grad=True)
        call(x).backward()
        found.append(x.grad)
    return found


@behaviour
def gradients_at_zero(torch: Any) -> Any:
    found = []
    for name in ("abs", "relu", "sqrt", "sign", "norm"):
        x = torch.zeros(2, requires_grad=True)
        result = getattr(x, name)()
        result.sum().backward()
        found.append(x.grad)
    return found


@behaviour
def gradients_accumulate_and_are_set_to_none(torch: Any) -> Any:
    x = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=0.1)
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    total = x.grad.clone()
    optimizer.zero_grad()
    return total, x.grad


@behaviour
def assigning_to_grad(torch: Any) -> Any:
    x = torch.ones(2, requires_grad=True)
    x.grad = torch.full((2,), 4.0)
    torch.optim.SGD([x], lr=0.5).step()
    return x, error(lambda: setattr(x, "grad", torch.ones(3)))


@behaviour
def no_grad_as_context_and_decorator(torch: Any) -> Any:
    x = torch.ones(2, requires_grad=True)

    @torch.no_grad()
    def call() -> Any:
        return x * 2

    with torch.no_grad():
        inside = x * 2
        with torch.enable_grad():
            again = x * 2
    return call().requires_grad, inside.requires_grad, again.requires_grad, torch.is_grad_enabled()


@behaviour
def order_of_hooks(torch: Any) -> Any:
    order = []
    layer = torch.nn.Linear(1, 1)
    layer.register_forward_pre_hook(lambda *_: order.append("before"))
    layer.register_forward_hook(lambda *_: order.append("first"))
    layer.register_forward_hook(lambda *_: order.append("second"), prepend=True)
    layer.register_full_backward_hook(lambda *_: order.append("backward"))
    x = torch.ones(1, 1, requires_grad=True)
    x.register_hook(lambda g: order.append("tensor"))
    layer(x).sum().backward()
    return order


@behaviour
def a_forward_hook_replaces_the_output(torch: Any) -> Any:
    layer = torch.nn.Identity()
    handle = layer.register_forward_hook(lambda module, given, result: result + 1)
    first = layer(torch.zeros(1))
    handle.remove()
    return first, layer(torch.zeros(1))


# types -------------------------------------------------------------------------------------------


@behaviour
def promotion(torch: Any) -> Any:
    def of(kind: str, *shape: int) -> Any:
        return torch.ones(shape, dtype=getattr(torch, kind))

    return [
        each.dtype
        for each in (
            of("int32", 2) + of("int64"),
            of("float16", 2) + of("float64"),
            of("int64", 2) * 1.5,
            of("int64", 2) * of("float16", 2),
            of("uint8", 2) + of("int8", 2),
            of("bfloat16", 2) + of("float16", 2),
            of("bool", 2) + 1,
            of("bool", 2) + of("bool", 2),
            of("int32", 2).sum(),
            of("int32", 2) / of("int32", 2),
            of("int32", 2) // 2,
            of("float32", 2) * np.float64(2),
            torch.cat([of("int32", 1), of("float32", 1)]),
            torch.stack([of("int64", 1), of("float16", 1)]),
            torch.from_numpy(np.zeros(2)),
            torch.tensor([1, 2.5]),
            torch.tensor([True, False]),
        )
    ]


@behaviour
def division_and_rounding(torch: Any) -> Any:
    x = torch.tensor([-7, 7, -8])
    return (
        *(x / 2, x // 2, x % 3, torch.fmod(x, 3), torch.remainder(x, -3)),
        torch.round(torch.tensor([0.5, 1.5, 2.5, -0.5])),
        *(torch.div(x, 2, rounding_mode=mode) for mode in ("floor", "trunc")),
    )


@behaviour
def integers_in_place_with_floats(torch: Any) -> Any:
    x = torch.ones(2, dtype=torch.int64)
    return (
        error(lambda: x.div_(2)),
        error(lambda: x.add_(1.5)),
        error(lambda: x @ torch.ones(2)),
        error(lambda: torch.ones(2, 2) @ torch.ones(2, 2, dtype=torch.float64)),
        error(lambda: x.mean()),
    )


# indexing ----------------------------------------------------------------------------------------


@behaviour
def repeated_places(torch: Any) -> Any:
    x, places = torch.zeros(3), torch.tensor([0, 0, 2])
    x[places] += 1
    y = torch.zeros(3).index_put_((places,), torch.ones(3), accumulate=True)
    return x, y


@behaviour
def where_advanced_indices_go(torch: Any) -> Any:
    x = torch.arange(24).reshape(2, 3, 4)
    return (
        *(x[[0, 1], :, [0, 1]].shape, x[0, :, [0, 1]].shape, x[:, [0, 1], [0, 1]].shape),
        *(x[[0, 1], 0, [0, 1]].shape, x[None, [0, 1]].shape, x[..., [0, 1]].shape),
        *(x[True].shape, x[False].shape, x[torch.tensor([True, False])].shape),
        *(x[0, :, [0, 1]], x[[[0, 1], [1, 0]], [0, 2]]),
    )


@behaviour
def indices_that_are_refused(torch: Any) -> Any:
    x = torch.zeros(3, 4)
    return (
        error(lambda: x[::-1]),
        error(lambda: x[3]),
        error(lambda: x[0, 0, 0]),
        error(lambda: x["a"]),
        error(lambda: x[torch.tensor([True, False])]),
        error(lambda: x[1.5]),
    )


@behaviour
def masks_written_and_read(torch: Any) -> Any:
    x = torch.arange(6.0).reshape(2, 3)
    x[x > 3] = -1.0
    x[:, 1][x[:, 1] < 0] = 9.0
    return x, x[x < 5], error(lambda: x.__setitem__(x > 0, torch.ones(77)))


# modules and optimizers --------------------------------------------------------------------------


@behaviour
def batch_norms_statistics(torch: Any) -> Any:
    layer = torch.nn.BatchNorm1d(2)
    layer(torch.tensor([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]]))
    return layer.running_mean, layer.running_var, layer.num_batches_tracked


@behaviour
def keys_of_states(torch: Any) -> Any:
    nn = torch.nn
    model = nn.Module()
    model.lstm = nn.LSTM(2, 3, 2, bidirectional=True)
    model.attention = nn.MultiheadAttention(4, 2)
    model.norm = nn.BatchNorm2d(3)
    model.layers = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.PReLU())
    model.encoder = nn.TransformerEncoderLayer(4, 2, 8)
    model.register_buffer("kept", torch.zeros(1))
    model.register_buffer("left", torch.zeros(1), persistent=False)
    return list(model.state_dict())


@behaviour
def adams_state(torch: Any) -> Any:
    x = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([x], lr=0.1, amsgrad=False)
    x.sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    return sorted(state["state"][0]), sorted(state["param_groups"][0]), x


@behaviour
def a_rate_written_into_the_groups(torch: Any) -> Any:
    x = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([x], lr=0.1)
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    x.sum().backward()
    optimizer.step()
    return x


@behaviour
def strictness(torch: Any) -> Any:
    layer = torch.nn.Linear(2, 1)
    state = {"weight": torch.ones(1, 2), "extra": torch.ones(1)}
    found = layer.load_state_dict(state, strict=False)
    wrong = {"weight": torch.ones(3, 2), "bias": torch.ones(1)}
    return (
        *(found.missing_keys, found.unexpected_keys, type(found).__name__, layer.weight),
        error(lambda: layer.load_state_dict(state)),
        error(lambda: layer.load_state_dict(wrong, strict=False)),
    )


@behaviour
def losses_of_nothing(torch: Any) -> Any:
    F = torch.nn.functional
    ignored = torch.full((2,), -100)
    return F.cross_entropy(torch.zeros(2, 3), ignored), torch.zeros(0).mean()


@behaviour
def copies_of_modules(torch: Any) -> Any:
    layer = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    other = copy.deepcopy(layer)
    with torch.no_grad():
        other[0].weight.fill_(1.0)
    return layer[0].weight.eq(1).all(), other[0].weight, list(other.state_dict())


@behaviour
def pickled_modules(torch: Any) -> Any:
    torch.manual_seed(1)
    layer = torch.nn.Linear(2, 2)
    again = pickle.loads(pickle.dumps(layer))
    return again.weight, again.weight.requires_grad, again.training


@behaviour
def parameters_that_are_frozen(torch: Any) -> Any:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    for each in model[0].parameters():
        each.requires_grad = False
    model(torch.ones(1, 2)).sum().backward()
    return [each.grad is None for each in model.parameters()]


@behaviour
def a_module_that_looks_up_attributes(torch: Any) -> Any:
    class Wrapped(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.inner, name)

    made = Wrapped(torch.nn.Linear(3, 2))
    return made.in_features, error(lambda: made.nothing)


@behaviour
def compiled_modules_have_a_prefix(torch: Any) -> Any:
    return list(torch.compile(torch.nn.Linear(2, 2)).state_dict())


# files -------------------------------------------------------------------------------------------


@behaviour
def a_state_goes_to_a_file_and_back(torch: Any) -> Any:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "epoch": 3}, file)
    file.seek(0)
    found = torch.load(file)
    return found["epoch"], found["model"]


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_behaviour(name: str) -> None:
    function = BEHAVIOURS[name]
    found, expected = (plain(function(library)) for library in (flambeau, torch))
    near(found, expected)


def test_initial_weights_are_pytorch_s_to_the_last_bit():
    made = []
    for library in (torch, flambeau):
        library.manual_seed(0)
        layers = library.nn.Linear(30, 40), library.nn.Conv2d(3, 16, 3), library.nn.GRU(5, 7)
        values = [each.detach().numpy() for layer in layers for each in layer.parameters()]
        made.append([*values, library.empty(1000).uniform_(-0.1, 0.3).numpy()])
    for theirs, ours in zip(*made, strict=True):
        assert (theirs == ours).all()
