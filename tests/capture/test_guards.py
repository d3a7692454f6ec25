"""What a replay must notice, what cannot be replayed, and what stays usable after errors."""

from __future__ import annotations

import warnings
from collections import namedtuple
from typing import Any

import numpy
import pytest

import flambeau as torch
from flambeau.nn import functional as F  # as everyone calls it

from .programs import batches, check_same, network, replays_of, state_of, train_step

nn, optim = torch.nn, torch.optim
FACTOR = 2.0
Pair = namedtuple("Pair", "first second")  # a plain one, as users have


def recorded(function: Any, *args: Any) -> Any:
    """The function compiled, with a recording of this call."""
    compiled = torch.compile(function)
    for _ in range(3):
        compiled(*args)
    assert replays_of(compiled), "there is no recording"
    return compiled


def test_nested_structures() -> None:
    def function(pair: Any, *, more: Any) -> Any:
        first, second = pair
        return Pair(first + more["x"], [second * 2, {"k": first}]), (first, 3, "text")

    compiled = torch.compile(function)
    for number in range(5):
        a, b, c = (torch.full((3,), float(number + each)) for each in range(3))
        found, (same, three, text) = compiled(Pair(a, b), more={"x": c})
        assert isinstance(found, Pair)
        assert found.first.tolist() == [2.0 * number + 2] * 3
        assert found.second[0].tolist() == [2.0 * number + 2] * 3
        assert found.second[1]["k"] is a
        assert same is a
        assert (three, text) == (3, "text")
    assert replays_of(compiled) == ["Replay"]


def test_globals_free_variables_and_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Holder:
        scale = 1.0

    holder, shift, numbers = Holder(), 1.0, [1.0, 2.0]
    holder.scale = 3.0

    def function(x: Any) -> Any:
        return x * FACTOR * holder.scale + shift + numbers[1]

    x = torch.ones(2)
    compiled = recorded(function, x)
    assert compiled(x).tolist() == [9.0, 9.0]
    shift = 2.0
    assert compiled(x).tolist() == [10.0, 10.0]
    holder.scale = 4.0
    assert compiled(x).tolist() == [12.0, 12.0]
    numbers[1] = 0.0
    assert compiled(x).tolist() == [10.0, 10.0]
    monkeypatch.setitem(globals(), "FACTOR", 1.0)
    assert compiled(x).tolist() == [6.0, 6.0]


def test_module_attributes_modes_and_hooks() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = 2.0
            self.drop = nn.Dropout(0.999)

        def forward(self, x: Any) -> Any:
            return self.drop(x) * self.scale

    module = Scaled().eval()
    x = torch.ones(100)
    compiled = recorded(lambda x: module(x), x)
    module.scale = 3.0
    assert compiled(x).tolist() == [3.0] * 100
    module.train()
    assert compiled(x).sum().item() != 300.0
    module.eval()
    module.register_forward_hook(lambda module, args, result: result + 1)
    assert compiled(x).tolist() == [4.0] * 100


def test_replaced_parameters_and_states() -> None:
    def run(wrap: Any) -> list[bytes]:
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        step = wrap(train_step(model, optimizer))
        start, found = {}, []
        for number, (x, y) in enumerate(batches(24, 5, 4)):
            step(x, y)
            if number == 2:
                start = {k: v.clone() for k, v in model.state_dict().items()}
                of_optimizer = optimizer.state_dict()
            if number == 6:
                model.load_state_dict(start)
            if number == 9:
                optimizer.load_state_dict(of_optimizer)
            if number == 12:
                model[0].weight.data = torch.ones(8, 4)
            if number == 15:
                model[2].weight = nn.Parameter(torch.ones(3, 8))
            if number == 18:
                optimizer.add_param_group({"params": [model[2].weight], "lr": 0.1})
            if number == 20:
                model[0].bias.requires_grad_(False)
            found += state_of(model, optimizer)
        return found

    check_same(run)


def test_gradients_that_the_user_sets() -> None:
    def run(wrap: Any) -> list[bytes]:
        model = nn.Linear(4, 3)

        @wrap
        def accumulate(x: Any) -> None:
            model(x).pow(2).sum().backward()

        found = []
        for number, (x, _) in enumerate(batches(16, 5, 4)):
            if number in (5, 6, 12):
                model.weight.grad = None
            if number == 8:
                model.weight.grad = torch.ones(3, 4)
            accumulate(x)
            found += state_of(model)
        return found

    check_same(run)


def test_gradient_modes() -> None:
    weight = torch.ones(3, requires_grad=True)
    compiled = torch.compile(lambda x: x * weight)
    x = torch.ones(3)
    for _ in range(4):
        assert compiled(x).requires_grad
        with torch.no_grad():
            assert not compiled(x).requires_grad
    assert sorted(replays_of(compiled)) == ["ForwardReplay", "Replay"]


def test_what_somebody_holds_is_not_overwritten() -> None:
    model = network()
    step = train_step(model, optim.SGD(model.parameters(), lr=0.1))
    (x, y), *_ = batches(1, 5, 4)
    compiled = recorded(step, x, y)
    held = model[0].weight.detach().numpy()
    before = held.copy()
    compiled(x, y)
    assert (held == before).all()
    assert (model[0].weight.detach().numpy() != before).any()


def test_tensors_that_are_written() -> None:
    average, view = torch.zeros(4, 3), torch.zeros(2, 3)

    @torch.compile
    def function(x: Any) -> None:
        average.mul_(0.5).add_(x)
        view[1] = x[0]

    want = numpy.zeros((4, 3), numpy.float32)
    for number in range(6):
        x = torch.full((4, 3), float(number))
        function(x)
        want = want * 0.5 + number
        assert (average.numpy() == want).all()
        assert view[1].tolist() == [float(number)] * 3
    assert replays_of(function) == ["Replay"]


def test_arguments_that_are_views() -> None:
    data = torch.arange(40.0).reshape(20, 2)

    @torch.compile
    def function(x: Any) -> Any:
        return (x * 2).sum()

    with torch.no_grad():
        for start in range(0, 16, 2):
            want = (numpy.arange(40.0).reshape(20, 2)[start : start + 4] * 2).sum()
            assert function(data[start : start + 4]).item() == want
    assert replays_of(function) == ["Replay"]


def test_results_that_are_views_or_share() -> None:
    @torch.compile
    def function(x: Any) -> Any:
        y = x + 1
        return y, y[1:], y.detach()

    for number in range(5):
        x = torch.full((3,), float(number))
        whole, part, same = function(x)
        whole.add_(1)
        assert part.tolist() == [number + 2.0] * 2
        assert same.tolist() == [number + 2.0] * 3


def test_history_through_a_compiled_function() -> None:
    weight = torch.full((3,), 2.0, requires_grad=True)

    @torch.compile
    def function(x: Any) -> Any:
        with torch.no_grad():
            fixed = x * 5
        return (x * weight + fixed).relu(), fixed

    for number in range(1, 6):
        x = torch.full((3,), float(number), requires_grad=True)
        y, fixed = function(x * 1)
        assert y.requires_grad
        assert not fixed.requires_grad
        weight.grad = None
        (y * y).sum().backward()
        value = 7.0 * number
        assert x.grad.tolist() == [2 * value * 2.0] * 3
        assert weight.grad.tolist() == [2 * value * number] * 3
    assert replays_of(function) == ["ForwardReplay"]


def test_second_derivatives() -> None:
    function = torch.compile(lambda x: (x**3).sum())
    for number in range(1, 5):
        x = torch.full((2,), float(number), requires_grad=True)
        (first,) = torch.autograd.grad(function(x), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x)
        assert second.tolist() == pytest.approx([6.0 * number] * 2)


def test_versions_are_checked() -> None:
    weight = torch.ones(3, requires_grad=True)
    function = torch.compile(lambda x: (x * weight).sum())
    for _ in range(4):
        x = torch.ones(3)
        y = function(x)
        x.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()


def test_backward_twice() -> None:
    model = nn.Linear(4, 3)
    step = train_step(model, optim.SGD(model.parameters(), lr=0.1))
    (x, y), *_ = batches(1, 5, 4)
    compiled = recorded(step, x, y)
    loss = compiled(x, y)
    assert loss.requires_grad
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


# what cannot be replayed -------------------------------------------------------------------------


def _reads(x: Any) -> Any:
    return x * 2 if x.sum().item() > 0 else x  # the line that is named


def _prints(x: Any) -> Any:
    print("looking")  # noqa: T201  # what is tested
    return x + 1


_KEPT: list[Any] = []


def _keeps(x: Any) -> Any:
    _KEPT.append(x + 1)
    return x + 2


def _counts(x: Any, state: Any = {"n": 0.0}) -> Any:  # noqa: B006  # it is meant to be kept
    state["n"] += 1.0
    return x + state["n"]


_COUNTER = iter(range(100))


def _hidden(x: Any) -> Any:
    return x + float(next(_COUNTER))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_reads, "a value is read at .*test_guards.py:"),
        (_prints, r"print\(\) is called"),
        (_keeps, "changes Python state|kept in Python state"),
        (_counts, "changes Python state"),
        (_hidden, "another from call to call"),
    ],
)
def test_plain_where_it_must_be(function: Any, reason: str) -> None:
    compiled = torch.compile(function)
    x = torch.ones(2)
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        found = [compiled(x).tolist() for _ in range(8)]
    assert len([each for each in met if "runs plainly" in str(each.message)]) == 1
    with pytest.warns(UserWarning, match=reason):
        warnings.warn(met[0].message, stacklevel=1)
    if function is _counts:
        assert found == [[2.0 + number] * 2 for number in range(8)]
    if function is _hidden:
        assert found == [[1.0 + number] * 2 for number in range(8)]
    if function is _keeps:
        assert len(_KEPT) == 8


def test_fullgraph_raises_at_the_line() -> None:
    compiled = torch.compile(_reads, fullgraph=True)
    with pytest.raises(RuntimeError, match=r"a value is read at .*test_guards\.py"):
        compiled(torch.ones(2))
    assert (torch.ones(2) + 1).tolist() == [2.0, 2.0]


def test_control_flow_on_values_stays_right() -> None:
    compiled = torch.compile(_reads)
    with pytest.warns(UserWarning, match="a value is read"):
        compiled(torch.ones(1))
    for number in (1.0, -1.0, 2.0, -3.0):
        want = 2 * number if number > 0 else number
        assert compiled(torch.full((1,), number)).item() == want


# errors -------------------------------------------------------------------------------------------


def test_a_bad_label_raises_before_anything_is_done() -> None:
    model = network()
    optimizer = optim.Adam(model.parameters())
    (x, y), *_ = batches(1, 5, 4)
    compiled = recorded(train_step(model, optimizer), x, y)
    before = state_of(model, optimizer)
    with pytest.raises(IndexError):
        compiled(x, torch.full((5,), 7))
    assert state_of(model, optimizer) == before
    compiled(x, y)
    assert state_of(model, optimizer) != before


def test_an_exception_while_recording() -> None:
    weight = torch.ones(3)
    fail = [True]

    @torch.compile
    def function(x: Any) -> Any:
        weight.add_(x)
        if fail[0]:
            raise KeyError("stop")
        return weight * 1

    with pytest.raises(KeyError):
        function(torch.ones(3))
    assert weight.tolist() == [2.0] * 3
    fail[0] = False
    for number in range(4):
        assert function(torch.ones(3)).tolist() == [3.0 + number] * 3


def test_an_index_that_is_computed_and_wrong() -> None:
    table = torch.arange(5.0)

    @torch.compile
    def function(x: Any) -> Any:
        return table[x * 2]

    for _ in range(4):
        assert function(torch.tensor([1, 2])).tolist() == [2.0, 4.0]
    with pytest.raises(IndexError):
        function(torch.tensor([1, 3])).tolist()
    assert function(torch.tensor([0, 2])).tolist() == [0.0, 4.0]


# the interface ------------------------------------------------------------------------------------


def test_ways_to_call_it() -> None:
    @torch.compile
    def one(x: Any) -> Any:
        """Doc."""
        return x + 1

    @torch.compile(fullgraph=True, dynamic=True, mode="max-autotune", backend="inductor")
    def two(x: Any) -> Any:
        return x + 2

    assert one.__name__ == "one"
    assert one.__doc__ == "Doc."
    assert one(torch.zeros(1)).item() == 1.0
    assert two(torch.zeros(1)).item() == 2.0
    assert torch.compile(_reads, disable=True) is _reads
    with pytest.raises(RuntimeError, match="mode"):
        torch.compile(_reads, mode="fastest")
    with pytest.raises(RuntimeError, match="both"):
        torch.compile(_reads, mode="default", options={})
    with pytest.raises(NotImplementedError):
        torch.compile(_reads, backend=lambda graph, inputs: graph)


def test_a_compiled_module_is_a_module() -> None:
    model = network()
    compiled = torch.compile(model)
    assert isinstance(compiled, nn.Module)
    assert compiled._orig_mod is model
    assert compiled[0] is model[0]
    assert [id(each) for each in compiled.parameters()] == [id(each) for each in model.parameters()]
    assert all(name.startswith("_orig_mod.") for name in compiled.state_dict())
    assert not compiled.eval().training
    assert not model.training
    compiled.extra = 3
    assert model.extra == 3
    x = torch.ones(2, 4)
    assert compiled.forward(x).tolist() == model(x).tolist()


def test_compiled_within_compiled() -> None:
    model = torch.compile(network())
    step = torch.compile(train_step(model, optim.SGD(model.parameters(), lr=0.1)))
    (x, y), *_ = batches(1, 5, 4)
    losses = [step(x, y).item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert replays_of(step) == ["Replay"]


def test_custom_functions_and_hooks_run_plainly() -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient * 10

    compiled = torch.compile(lambda x: Double.apply(x) + 1)

    def run() -> None:
        x = torch.ones(2, requires_grad=True)
        compiled(x).sum().backward()
        assert x.grad.tolist() == [10.0, 10.0]

    run()
    with pytest.warns(UserWarning, match=r"autograd\.Function"):
        run()
    run()


def test_functional_results_match() -> None:
    compiled = torch.compile(lambda x, y: F.softmax(x @ y.T, -1))
    with torch.no_grad():
        for number in range(5):
            random = numpy.random.default_rng(number)
            x, y = (torch.from_numpy(random.standard_normal((3, 4))) for _ in range(2))
            want = F.softmax(x @ y.T, -1)
            assert compiled(x, y).numpy().tobytes() == want.numpy().tobytes()


def test_two_tensors_of_one_value() -> None:
    """A gradient that arrives at two leaves is one Node in two storages."""
    a, b = (torch.ones(3, requires_grad=True) for _ in range(2))
    (a + b).sum().backward()
    one, other = a.grad, b.grad

    @torch.compile
    def function(x: Any) -> Any:
        return one * x + other

    x = torch.full((3,), 2.0)
    for _ in range(4):
        assert function(x).tolist() == [3.0] * 3
    one.mul_(10)
    for _ in range(4):
        assert function(x).tolist() == [21.0] * 3
    other.mul_(5)
    for _ in range(4):
        assert function(x).tolist() == [25.0] * 3


def test_attributes_that_the_code_does_not_name() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.losses: list[float] = []
            self.scale = 2.0

        def step(self, x: Any) -> Any:
            return x * self.scale

    trainer = Trainer()
    compiled = torch.compile(trainer.step)
    for number in range(5):
        trainer.losses.append(compiled(torch.full((1,), float(number))).item())
    assert trainer.losses == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert replays_of(compiled) == ["Replay"]
    trainer.scale = 3.0
    assert compiled(torch.ones(1)).item() == 3.0


def test_an_argument_in_a_new_tensor() -> None:
    compiled = torch.compile(lambda x: x.to(torch.float32))
    for number in range(5):
        x = torch.full((2,), float(number))
        with torch.no_grad():
            assert compiled(x).tolist() == [float(number)] * 2
