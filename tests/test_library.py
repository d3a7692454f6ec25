"""torch.library: operators that programs define."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau.library import Library, custom_op, define, impl, register_autograd, register_fake


def test_an_operator_with_a_gradient() -> None:
    @custom_op("tests_of_library::double", mutates_args=())
    def double(x: torch.Tensor, times: int = 2) -> torch.Tensor:
        """Twice x."""
        return torch.from_numpy(x.numpy() * times)

    register_fake("tests_of_library::double", lambda x, times=2: torch.empty_like(x))
    x = torch.ones(3, requires_grad=True)
    y = double(x)
    with pytest.raises(RuntimeError, match="tests_of_library::double has no gradient"):
        y.sum().backward()

    def setup_context(ctx, inputs, output) -> None:
        assert output.tolist() == [3.0, 3.0, 3.0]
        ctx.times = inputs[1]

    double.register_autograd(
        lambda ctx, gradient: (gradient * ctx.times, None), setup_context=setup_context
    )
    torch.ops.tests_of_library.double(x, 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0, 3.0]
    assert torch.ops.tests_of_library.double.default is double.operator


def test_a_library_of_schemas_and_kernels() -> None:
    library = Library("tests_of_schemas", "DEF")
    name = library.define("scaled(Tensor x, float[] by=[1.0, 2.0], *, int plus=1) -> Tensor")
    library.impl(name, lambda value, factors, plus: value * factors[1] + plus, "CPU")
    library.impl(name, lambda value, factors, plus: value, "Meta")
    assert torch.ops.tests_of_schemas.scaled(torch.ones(2)).tolist() == [3.0, 3.0]
    assert torch.ops.tests_of_schemas.scaled(torch.ones(1), plus=5, by=[0, 4]).tolist() == [9.0]


def test_an_operator_by_its_functions() -> None:
    define("tests_of_functions::plus", "(Tensor x, int n) -> Tensor")

    @impl("tests_of_functions::plus", "cpu")
    def plus(x: torch.Tensor, n: int) -> torch.Tensor:
        return x + n

    register_autograd("tests_of_functions::plus", lambda ctx, gradient: (gradient * 5, None))
    x = torch.zeros(2, requires_grad=True)
    torch.ops.tests_of_functions.plus.default(x, 4).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]


def test_what_writes_its_argument() -> None:
    @custom_op("tests_of_library::fill", mutates_args={"x"})
    def fill(x: torch.Tensor) -> None:
        x.fill_(7)

    x = torch.zeros(2)
    assert fill(x) is None
    assert x.tolist() == [7.0, 7.0]


def test_torch_s_own_operators() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    torch.ops.aten.abs.default(x).sum().backward()
    assert x.grad.tolist() == [1.0, -1.0]
    assert torch.ops.aten.add.Tensor(x, x).tolist() == [2.0, -4.0]


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"torch\.ops\.aten has no operator 'no_such'"):
        _ = torch.ops.aten.no_such
    with pytest.raises(OSError, match=r"no compiled extensions of PyTorch \(a\.so\)"):
        torch.ops.load_library("a.so")
    define("tests_of_library::empty", "() -> Tensor")
    with pytest.raises(NotImplementedError, match="no kernel is registered for device 'cpu'"):
        torch.ops.tests_of_library.empty()
    with pytest.raises(ValueError, match="namespace::name"):
        register_fake("plain", lambda: None)


def test_the_fake_says_shapes_on_meta() -> None:
    @torch.library.custom_op("tests::rows", mutates_args=())
    def rows(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(x.numpy().sum(1))

    @rows.register_fake
    def _(x: torch.Tensor) -> torch.Tensor:
        return x.new_empty(x.shape[0])

    found = rows(torch.ones(3, 2, device="meta"))
    assert found.is_meta and found.shape == (3,)
    assert rows(torch.ones(3, 2)).tolist() == [2.0, 2.0, 2.0]
