"""Classes derived from Tensor, __torch_function__ and modes.

Each test leaves the process with the machinery switched on; that nothing else changes then is what
the rest of the suite, run after it, says.
"""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any, ClassVar

import pytest

import flambeau as torch
from flambeau import overrides


class Plain(torch.Tensor):
    """No __torch_function__ of its own."""


class Noted(torch.Tensor):
    """Carries a note, which results take from the first argument that has one."""

    calls: ClassVar[list[str]] = []

    @staticmethod
    def __new__(cls: type, x: Any, note: str | None = None) -> Any:
        return torch.Tensor._make_subclass(cls, torch.as_tensor(x))

    def __init__(self, x: Any, note: str | None = None) -> None:
        self.note = note

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.calls.append(func.__name__)
        found = super().__torch_function__(func, types, args, kwargs)
        if isinstance(found, Noted):
            found.note = next((x.note for x in args if isinstance(x, Noted)), None)
        return found


@pytest.fixture(autouse=True)
def no_calls() -> None:
    Noted.calls.clear()


def test_results_are_of_the_class() -> None:
    x = torch.ones(2).as_subclass(Plain)
    results = [
        x + 1,
        1 + x,
        torch.ones(2) * x,
        x.sin(),
        torch.cat([x, x]),
        torch.reshape(x, (1, 2)),
        torch.nn.functional.relu(x),
        torch.nn.Linear(2, 3)(x),
        x.max(0).values,
        x[0],
        x.T,
        x.detach(),
        x.data,
        torch.where(x > 0, x, x),
        *x,
        *x.split(1),
    ]
    assert {type(each) for each in results} == {Plain}
    assert type(x.shape) is torch.Size and type(x.tolist()) is list
    assert type(x.as_subclass(torch.Tensor) + 1) is torch.Tensor
    assert repr(Plain([1, 2])) == "Plain([1., 2.])"
    x += 1
    assert type(x) is Plain and x.tolist() == [2.0, 2.0]
    with pytest.raises(TypeError, match="derived from Tensor"):
        x.as_subclass(list)


def test_history_copies_and_pickles() -> None:
    leaf = torch.ones(2, requires_grad=True)
    x = leaf.as_subclass(Plain)
    assert x.requires_grad and not x.is_leaf
    (x * 3).sum().backward()
    assert leaf.grad.tolist() == [3, 3]
    noted = Noted([1.0, 2.0], note="a")
    twin = copy.deepcopy(noted)
    assert type(twin) is Noted and twin.note == "a"
    assert type(pickle.loads(pickle.dumps(noted))) is Noted
    parameter = torch.nn.Parameter(torch.ones(2))
    assert type(parameter * 1) is torch.Tensor


def test_a_class_sees_calls() -> None:
    x = Noted([1.0, 2.0], note="a")
    y = torch.add(x, 1)
    assert y.note == "a" and Noted.calls == ["add"]
    Noted.calls.clear()
    z = x.reshape(1, 2).sum()
    assert z.note == "a" and Noted.calls == ["reshape", "sum"]
    Noted.calls.clear()
    with torch._C.DisableTorchFunctionSubclass():
        assert type(x + 1) is torch.Tensor
    assert not Noted.calls


class Duck:
    """Not a tensor: handles what it knows."""

    handled: ClassVar[dict[Any, Any]] = {}

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func not in cls.handled:
            return NotImplemented
        return cls.handled[func](*args, **(kwargs or {}))


def test_ducks() -> None:
    Duck.handled |= {
        torch.mean: lambda duck: "mean",
        torch.cat: lambda ducks, dim=0: "cat",
        torch.add: lambda x, y: "add",
    }
    duck = Duck()
    assert torch.mean(duck) == "mean"
    assert torch.cat([duck, duck]) == "cat"
    assert torch.add(torch.ones(2), duck) == "add"
    with pytest.raises(TypeError, match="no implementation found for 'sin'"):
        torch.sin(duck)


def test_modes() -> None:
    class Log(overrides.TorchFunctionMode):
        def __init__(self) -> None:
            self.calls: list[str] = []

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.calls.append(func.__name__)
            return func(*args, **(kwargs or {}))

    class Twice(overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            found = func(*args, **(kwargs or {}))
            return found * 2 if func is torch.cos else found

    with Log() as outer:
        x = torch.zeros(2)
        with Twice():
            assert x.reshape(1, 2).cos().tolist() == [[2.0, 2.0]]
        torch.nn.functional.gelu(x)
    assert outer.calls[0] == "zeros" and outer.calls[-1] == "gelu"
    assert "reshape" in outer.calls and "cos" in outer.calls
    before = list(outer.calls)
    assert torch.cos(x).tolist() == [1.0, 1.0]
    assert outer.calls == before


def test_functions_that_programs_write() -> None:
    def own(x):
        if overrides.has_torch_function_unary(x):
            return overrides.handle_torch_function(own, (x,), x)
        return "plain"

    Duck.handled[own] = lambda x: "duck"
    assert own(Duck()) == "duck" and own(torch.ones(1)) == "plain"

    @overrides.wrap_torch_function(lambda x: (x,))
    def wrapped(x):
        return "plain"

    Duck.handled[wrapped] = lambda x: "duck"
    assert wrapped(Duck()) == "duck" and wrapped(torch.nn.Parameter(torch.ones(1))) == "plain"
    assert overrides.is_tensor_like(Duck()) and not overrides.is_tensor_like(3)
    assert overrides.resolve_name(torch.add) == "torch.add"
    assert overrides.is_tensor_method_or_property(torch.Tensor.add)
    assert torch.add in overrides.get_overridable_functions()[torch]


def test_nothing_asks_before_there_is_somebody() -> None:
    program = (
        "import flambeau as torch; from flambeau.tensor import override; x = torch.ones(2) + 1; "
        "torch.nn.Linear(2, 2)(x); torch.sparse_coo_tensor([[0]], [1.0], (2,)); "
        "assert override.ACTIVE is None"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
