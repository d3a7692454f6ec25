"""torch.func and torch.autograd.functional: transforms, alone and nested, against formulas."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau.autograd import functional
from flambeau.func import (
    functional_call,
    functionalize,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    stack_module_state,
    vjp,
    vmap,
)

X = [0.5, -1.0, 2.0]


def cube(x):
    return (x**3).sum()


def test_grad_nests_and_leaves_no_graph():
    x = torch.tensor(X)
    found = grad(cube)(x)
    assert found.tolist() == [0.75, 3.0, 12.0] and not found.requires_grad
    assert grad(grad(grad(lambda x: x**4)))(torch.tensor(2.0)).item() == 48
    gradient, value = grad_and_value(cube)(x)
    assert gradient.tolist() == found.tolist() and value.item() == pytest.approx(7.125)
    with torch.no_grad():
        assert grad(cube)(x).tolist() == found.tolist()


def test_grad_of_trees_places_and_aux():
    def loss(parameters, x, scale=1.0):
        y = parameters["w"] * x + parameters["b"]
        return (y * scale).sum(), y

    parameters = {"w": torch.tensor(2.0), "b": torch.tensor(1.0)}
    x = torch.tensor([1.0, 2.0])
    found, aux = grad(loss, has_aux=True)(parameters, x, scale=3.0)
    assert found["w"].item() == 9 and found["b"].item() == 6
    assert aux.tolist() == [3, 5] and not aux.requires_grad
    both = grad(lambda a, b: a * b, argnums=(0, 1))(torch.tensor(2.0), torch.tensor(5.0))
    assert [each.item() for each in both] == [5, 2]
    with pytest.raises(RuntimeError, match="argnum=2"):
        grad(lambda x: x, argnums=2)(torch.tensor(1.0))
    with pytest.raises(RuntimeError, match="scalar tensor, got tensor with 1 dims"):
        grad(lambda x: x)(torch.ones(2))


def test_outer_gradients_reach_through():
    x = torch.tensor(X, requires_grad=True)
    grad(cube)(x).sum().backward()
    assert x.grad.tolist() == [3.0, -6.0, 12.0]
    weight = torch.tensor(2.0, requires_grad=True)
    found = grad(lambda x: weight * x**2)(torch.tensor(3.0))
    found.backward()
    assert weight.grad.item() == 6


def test_vjp_and_jvp_agree():
    x = torch.tensor(X)
    output, pull = vjp(lambda x: (x.sin(), {"s": x.sum()}), x)
    (found,) = pull((torch.ones(3), {"s": torch.tensor(2.0)}))
    torch.testing.assert_close(found, x.cos() + 2)
    assert not output[0].requires_grad
    value, tangent = jvp(torch.sin, (x,), (torch.tensor([1.0, 2.0, 3.0]),))
    torch.testing.assert_close(tangent, x.cos() * torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(value, x.sin())
    _, zero = jvp(lambda x: torch.ones(2), (x,), (x,))
    assert zero.tolist() == [0, 0]
    _, push = linearize(torch.exp, x)
    torch.testing.assert_close(push(torch.ones(3)), x.exp())
    with pytest.raises(RuntimeError, match="python structure"):
        jvp(torch.sin, (x,), (x, x))


def test_jacobians_and_hessians():
    x, w = torch.tensor(X), torch.randn(2, 3)
    for transform in (jacrev, jacfwd):
        torch.testing.assert_close(transform(lambda x: w @ x)(x), w)
        pair = transform(lambda a, b: a * b, argnums=(0, 1))(x, x)
        torch.testing.assert_close(pair[0], torch.diag(x))
    torch.testing.assert_close(hessian(cube)(x), torch.diag(6 * x))
    tree = jacrev(lambda d: {"y": d["x"] * 2})({"x": x})
    torch.testing.assert_close(tree["y"]["x"], 2 * torch.eye(3))


@pytest.mark.parametrize("count", [3, 12])
def test_vmap_is_a_loop(count):
    a, b = torch.randn(count, 4), torch.randn(4, count)
    torch.testing.assert_close(vmap(torch.dot, (0, 1))(a, b), (a * b.t()).sum(1))
    found = torch.vmap(lambda x, y: (x + y, x), in_dims=(0, None), out_dims=(1, 0))(a, b[:, 0])
    torch.testing.assert_close(found[0], (a + b[:, 0]).t())
    torch.testing.assert_close(found[1], a)
    nested = vmap(vmap(torch.mul, (0, None)), (None, 0))(a[0], a[1])
    torch.testing.assert_close(nested, torch.outer(a[1], a[0]))
    tree = vmap(lambda d: d["x"].sum(), in_dims=({"x": 0},))({"x": a})
    torch.testing.assert_close(tree, a.sum(1))


def test_gradients_of_each_sample():
    model = torch.nn.Linear(3, 2)
    parameters = {name: each.detach() for name, each in model.named_parameters()}
    x, y = torch.randn(10, 3), torch.randn(10, 2)

    def loss(parameters, x, y):
        return ((functional_call(model, parameters, (x,)) - y) ** 2).sum()

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    for number in range(10):
        model.zero_grad()
        ((model(x[number]) - y[number]) ** 2).sum().backward()
        torch.testing.assert_close(found["weight"][number], model.weight.grad)
        torch.testing.assert_close(found["bias"][number], model.bias.grad)


def test_vmap_has_gradients_itself():
    x = torch.randn(12, 3, requires_grad=True)
    vmap(cube)(x).sum().backward()
    torch.testing.assert_close(x.grad, 3 * x.detach() ** 2)


def test_vmap_and_random_numbers():
    x = torch.zeros(4)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(lambda x: x + torch.rand(()))(x)
    same = vmap(lambda x: x + torch.rand(()), randomness="same")(x)
    assert len(set(same.tolist())) == 1
    different = vmap(lambda x: x + torch.rand(()), randomness="different")(x)
    assert len(set(different.tolist())) == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vmap(torch.dot)(torch.ones(2, 3), torch.ones(3, 3)), r"same size.*\[2, 3\]"),
        (lambda: vmap(torch.sin, in_dims=2)(torch.ones(2)), "in_dim=2 .*dimensionality 1"),
        (lambda: vmap(torch.sin, in_dims=None)(torch.ones(2)), "expected `in_dims` to be int"),
        (lambda: vmap(torch.add, in_dims=(0, 0))(torch.ones(2), 1), "type <class 'int'>"),
        (lambda: vmap(torch.add, in_dims=(0,))(torch.ones(2), torch.ones(2)), "not compatible"),
        (lambda: vmap(lambda x: 1)(torch.ones(2)), "must only return Tensors"),
        (lambda: vmap(torch.sin)(), "no inputs"),
        (lambda: vmap(torch.sin)(torch.ones(0)), "without samples"),
    ],
)
def test_what_vmap_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_functional_call_restores_the_module():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    before = dict(model.named_parameters())
    zero = {name: torch.zeros_like(each) for name, each in before.items()}
    assert functional_call(model, zero, torch.ones(3, 2)).tolist() == [[0, 0]] * 3
    assert all(dict(model.named_parameters())[name] is before[name] for name in before)
    with pytest.raises(RuntimeError, match="unexpected names"):
        functional_call(model, {"none": torch.ones(1)}, torch.ones(3, 2))
    with pytest.raises(RuntimeError, match="missing names"):
        functional_call(model, zero, torch.ones(3, 2), strict=True)


def test_tied_weights_are_replaced_together():
    model = torch.nn.Sequential(*[torch.nn.Linear(2, 2, bias=False) for _ in range(2)])
    model[1].weight = model[0].weight
    given = {"0.weight": 2 * torch.eye(2)}
    assert functional_call(model, given, torch.ones(1, 2)).tolist() == [[4, 4]]


def test_an_ensemble():
    models = [torch.nn.Linear(3, 2) for _ in range(3)]
    parameters, buffers = stack_module_state(models)
    assert parameters["weight"].shape == (3, 2, 3) and parameters["weight"].is_leaf
    x = torch.randn(5, 3)
    call = functionalize(lambda p, b: functional_call(models[0], (p, b), (x,)))
    found = vmap(call)(parameters, buffers)
    torch.testing.assert_close(found, torch.stack([each(x) for each in models]))


def test_autograd_functional():
    x, v = torch.tensor(X), torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(functional.jacobian(torch.sin, x), torch.diag(x.cos()))
    one, two = functional.jacobian(lambda a, b: a * b, (x, v))
    torch.testing.assert_close(one, torch.diag(v))
    torch.testing.assert_close(two, torch.diag(x))
    torch.testing.assert_close(functional.hessian(cube, x), torch.diag(6 * x))
    for product in (functional.hvp, functional.vhp):
        output, found = product(cube, x, v)
        torch.testing.assert_close(found, 6 * x * v)
        torch.testing.assert_close(output, cube(x))
    torch.testing.assert_close(functional.vjp(torch.sin, x, v)[1], v * x.cos())
    torch.testing.assert_close(functional.jvp(torch.sin, x, v)[1], v * x.cos())
    assert functional.vjp(cube, x)[1].tolist() == (3 * x * x).tolist()
    with pytest.raises(RuntimeError, match="expected that of"):
        functional.vjp(torch.sin, x, v[:2])
    leaf = x.clone().requires_grad_()
    functional.jacobian(torch.sin, leaf, create_graph=True).sum().backward()
    torch.testing.assert_close(leaf.grad, -x.sin())


def test_two_leaves_over_one_storage_keep_their_gradients_apart():
    x = torch.tensor(X)
    one, two = x.detach().requires_grad_(), x.detach().requires_grad_()
    first = torch.autograd.grad(cube(one), one)[0]
    second = torch.autograd.grad(cube(two) * 2, two)[0]
    torch.testing.assert_close(second, 2 * first)
    row = x[1:].detach().requires_grad_()
    loss = cube(row)
    with torch.no_grad():
        row.sum()
    torch.testing.assert_close(torch.autograd.grad(loss, row)[0], first[1:])


def test_views_of_a_leaf_that_is_a_view():
    whole = torch.arange(6.0).reshape(2, 3)
    leaf = whole[1].detach().requires_grad_()
    (leaf.view(3, 1)[1:] ** 2).sum().backward()
    assert leaf.grad.tolist() == [0, 8, 10]
    parameter = torch.nn.Parameter(whole.t())
    part = parameter[1:].t()
    assert part.requires_grad and not part.is_leaf
    (part * part).sum().backward()
    assert parameter.grad.tolist() == [[0, 0], [2, 8], [4, 10]]
    with torch.no_grad():
        part.fill_(7)
    assert whole.tolist() == [[0, 7, 7], [3, 7, 7]] and parameter[2].tolist() == [7, 7]
