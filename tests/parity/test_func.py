"""torch.func and the trees of torch.utils against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

RANDOM = numpy.random.default_rng(0)
A = RANDOM.standard_normal((4, 3)).astype("float32")
B = RANDOM.standard_normal((4, 3)).astype("float32")


def transforms(library: Any) -> dict[str, Any]:
    func = __import__(f"{library.__name__}.func", fromlist=["grad"])
    functional = __import__(f"{library.__name__}.autograd.functional", fromlist=["vjp"])
    a, b = library.from_numpy(A), library.from_numpy(B)
    row = lambda x, y: (x.tanh() * y).sum()  # noqa: E731  # used only here
    vector = lambda x: x.exp() * x.sum()  # noqa: E731  # used only here
    return {
        "grad": func.grad(row, (0, 1))(a, b),
        "each": func.vmap(func.grad(row))(a, b),
        "jacrev": func.jacrev(vector)(a[0]),
        "jacfwd": func.jacfwd(vector)(a[0]),
        "each jacobian": func.vmap(func.jacrev(vector))(a),
        "hessian": func.hessian(row)(a[0], b[0]),
        "jvp": func.jvp(vector, (a[0],), (b[0],)),
        "vjp": func.vjp(vector, a[0])[1](b[0]),
        "nested": func.grad(lambda x: func.grad(row)(x, b).sum())(a),
        "in the middle": func.vmap(library.sub, in_dims=(1, None), out_dims=-1)(a, b[:, 0]),
        "same": func.vmap(lambda x: x + 1, randomness="same")(a),
        "functional": functional.hessian(lambda x: vector(x).sum(), a[0]),
        "two": functional.jacobian(lambda x, y: (x * y, y), (a[0], b[0])),
        "hvp": functional.hvp(lambda x: vector(x).sum(), a[0], b[0]),
    }


def test_transforms():
    ours, theirs = transforms(flambeau), transforms(torch)
    trees = __import__("flambeau.utils._pytree", fromlist=["tree_leaves"])
    for name, wanted in theirs.items():
        found, expected = trees.tree_leaves(ours[name]), trees.tree_leaves(wanted)
        assert len(found) == len(expected), name
        for one, other in zip(found, expected, strict=True):
            assert tuple(one.shape) == tuple(other.shape), name
            assert numpy.allclose(one.numpy(), other.numpy(), 1e-4, 1e-5), name


@pytest.mark.parametrize("tree", [{"b": [1, (2,)], "a": {}}, 3, [], (None, [1])])
def test_trees(tree):
    ours = __import__("flambeau.utils._pytree", fromlist=["tree_flatten"])
    theirs = torch.utils._pytree
    assert ours.tree_flatten(tree)[0] == theirs.tree_flatten(tree)[0]
    for name in ("num_nodes", "num_leaves", "num_children"):
        one, other = ours.tree_structure(tree), theirs.tree_structure(tree)
        assert getattr(one, name) == getattr(other, name)
