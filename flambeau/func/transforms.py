"""grad, vjp, jvp and Jacobians of functions. PyTorch's torch.func.

A transform calls the function on tensors of its own that require a gradient. Where an argument
belongs to an outer transform, the tensor is connected to it, so that transforms nest; where not,
results come out without a gradient. jvp differentiates the vjp, which is linear in its argument
(J. Townsend, "A new trick for calculating Jacobian vector products", 2017).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from flambeau import autograd
from flambeau.autograd.mode import STATE, enable_grad
from flambeau.graph import op
from flambeau.graph.history import is_leaf
from flambeau.graph.node import walk
from flambeau.ops.creation import zeros_like
from flambeau.ops.shape import stack
from flambeau.tensor.record import derive
from flambeau.tensor.tensor import Tensor
from flambeau.utils._pytree import TreeSpec, tree_flatten, tree_map_only, tree_unflatten

ArgNums = int | tuple[int, ...]


# levels ------------------------------------------------------------------------------------------


def _enter(value: Tensor) -> Tensor:
    """A tensor of this transform's own, connected to `value` where that requires a gradient."""
    if not value.requires_grad:
        return value.detach().requires_grad_()
    return Tensor._own(derive(op.RESHAPE, (value._read(),), (tuple(value.shape),)))


def _leave(results: Any, own: Sequence[Tensor]) -> Any:
    """Results without a gradient, unless something outside of this transform requires it."""
    inner = {id(each) for each in own}

    def settle(value: Tensor) -> Tensor:
        if not value.requires_grad:
            return value
        if not STATE.enabled:
            return value.detach()
        order = walk([value._read()], lambda node: node.requires_grad and not is_leaf(node))
        for node in order:
            if node.requires_grad and is_leaf(node) and node.history is not None:
                leaf = node.history.leaf() if node.history.leaf is not None else None
                if leaf is not None and id(leaf) not in inner:
                    return value
        return value.detach()

    return tree_map_only(Tensor, settle, results)


def _enter_tree(tree: Any) -> tuple[Any, list[Tensor]]:
    """A tree of this transform's tensors, and these. RuntimeError where a leaf is no tensor."""
    leaves, spec = tree_flatten(tree)
    for each in leaves:
        if not isinstance(each, Tensor):
            raise RuntimeError(f"expected tensors to differentiate by, got {type(each).__name__}")
    own = [_enter(each) for each in leaves]
    return tree_unflatten(own, spec), own


def _gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], given: Sequence[Tensor | None]
) -> list[Tensor]:
    """One gradient for each input, zeros where nothing depends on it; differentiable again."""
    pairs = [pair for pair in zip(outputs, given, strict=True) if pair[0].requires_grad]
    if not pairs:
        return [zeros_like(each) for each in inputs]
    roots, cotangents = zip(*pairs, strict=True)
    found = autograd.grad(
        list(roots),
        list(inputs),
        list(cotangents),
        create_graph=True,
        retain_graph=True,
        materialize_grads=True,
    )
    return list(found)


def _selected(args: tuple[Any, ...], argnums: ArgNums) -> tuple[list[int], list[Any]]:
    """The places of the arguments to differentiate by, and these."""
    wanted = (argnums,) if isinstance(argnums, int) else argnums
    places = []
    for each in wanted:
        if not isinstance(each, int) or not -len(args) <= each < len(args):
            raise RuntimeError(
                f"Got argnum={each}, but only {len(args)} positional inputs: expected a place "
                "among them"
            )
        places.append(each % len(args))
    return places, [args[place] for place in places]


def _call(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    argnums: ArgNums,
    has_aux: bool,
) -> tuple[Any, Any, list[Tensor], TreeSpec]:
    """func's output and aux on tensors of this transform, these, and their structure."""
    places, chosen = _selected(args, argnums)
    _, spec = tree_flatten(chosen)
    entered, own = _enter_tree(chosen)
    called = list(args)
    for place, value in zip(places, entered, strict=True):
        called[place] = value
    output = func(*called, **kwargs)
    aux = None
    if has_aux:
        if not (isinstance(output, tuple) and len(output) == 2):
            raise RuntimeError(
                "has_aux=True: expected the function to return (output, aux), got "
                f"{type(output).__name__}"
            )
        output, aux = output
    return output, aux, own, spec


# transforms --------------------------------------------------------------------------------------


def grad_and_value(
    func: Callable[..., Any], argnums: ArgNums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns (gradient, value) of a function with a scalar result.

    `argnums`: the arguments to differentiate by. has_aux: func returns (value, aux), and the
    result is (gradient, (value, aux)).
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            output, aux, own, spec = _call(func, args, kwargs, argnums, has_aux)
            if not isinstance(output, Tensor):
                raise RuntimeError(
                    f"Expected f(*args) to return a Tensor, got {type(output).__name__}"
                )
            if output.ndim:
                raise RuntimeError(
                    f"Expected f(*args) to return a scalar tensor, got tensor with {output.ndim} "
                    "dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            found = _gradients([output], own, [None])
        gradients = tree_unflatten(_leave(found, own), spec)
        gradient = gradients[0] if isinstance(argnums, int) else tuple(gradients)
        value, aux = _leave((output, aux), own)
        return gradient, (value, aux) if has_aux else value

    return wrapper


def grad(
    func: Callable[..., Any], argnums: ArgNums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient; with has_aux (gradient, aux). See grad_and_value."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def _output_leaves(output: Any, name: str) -> tuple[list[Tensor], TreeSpec]:
    leaves, spec = tree_flatten(output)
    for each in leaves:
        if not isinstance(each, Tensor):
            raise RuntimeError(
                f"{name}: expected f(*primals) to return only tensors, got {type(each).__name__}"
            )
    return leaves, spec


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(output, vjp_fn): vjp_fn(cotangents) gives a tuple with a gradient for each primal.

    With has_aux (output, vjp_fn, aux).
    """
    with enable_grad():
        places = tuple(range(len(primals)))
        output, aux, own, spec = _call(func, primals, {}, places, has_aux)
    leaves, output_spec = _output_leaves(output, "vjp")

    def vjp_fn(*cotangents: Any, **_: Any) -> Any:
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        given_leaves, given_spec = tree_flatten(given)
        if given_spec != output_spec:
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of "
                f"outputs to the function. cotangents: {given_spec}, primal output: {output_spec}"
            )
        with enable_grad():
            found = _gradients(leaves, own, given_leaves)
        return tuple(tree_unflatten(_leave(found, own), spec))

    settled = _leave((output, aux), own)
    return (settled[0], vjp_fn, settled[1]) if has_aux else (settled[0], vjp_fn)


def jvp(
    func: Callable[..., Any],
    primals: Any,
    tangents: Any,
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """(output, tangent): the derivative of func at `primals` in the direction of `tangents`.

    Both are tuples with one entry for each argument. With has_aux (output, tangent, aux). With
    strict RuntimeError where an output does not depend on the primals.
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple) or not primals:
        raise RuntimeError("jvp(f, primals, tangents): expected tuples with one entry an argument")
    given, given_spec = tree_flatten(list(tangents))
    with enable_grad():
        output, aux, own, spec = _call(func, primals, {}, tuple(range(len(primals))), has_aux)
        if given_spec != spec:
            raise RuntimeError(
                f"jvp(f, primals, tangents): Expected primals and tangents to have the same python "
                f"structure. primals: {spec}, tangents: {given_spec}"
            )
        leaves, output_spec = _output_leaves(output, "jvp")
        if strict and not all(each.requires_grad for each in leaves):
            raise RuntimeError("jvp: an output does not depend on the primals, and strict=True")
        dummies = [zeros_like(each).requires_grad_() for each in leaves if each.requires_grad]
        seeds = iter(dummies)
        cotangents = [next(seeds) if each.requires_grad else None for each in leaves]
        backwards = _gradients(leaves, own, cotangents)
        found = iter(_gradients(backwards, dummies, given))
        results = [next(found) if each.requires_grad else zeros_like(each) for each in leaves]
    inner = [*own, *dummies]
    tangent = tree_unflatten(_leave(results, inner), output_spec)
    settled = _leave((output, aux), inner)
    return (settled[0], tangent, settled[1]) if has_aux else (settled[0], tangent)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """(output, jvp_fn): jvp_fn(*tangents) is the tangent of jvp at these primals."""
    return func(*primals), lambda *tangents: jvp(func, primals, tangents)[1]


def jacrev(
    func: Callable[..., Any],
    argnums: ArgNums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """A function that returns the Jacobian, one backward for each element of the output.

    Its entries have the output's shape, then the argument's; where outputs or arguments are trees,
    it is the tree of outputs with a tree of arguments at each leaf. `chunk_size` has no effect.
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            output, aux, own, spec = _call(func, args, kwargs, argnums, has_aux)
            leaves, output_spec = _output_leaves(output, "jacrev")
            rows = [_jacobians(leaf, own) for leaf in leaves]
        parts = [tree_unflatten(_leave(each, own), spec) for each in rows]
        chosen = [each[0] if isinstance(argnums, int) else tuple(each) for each in parts]
        result = tree_unflatten(chosen, output_spec)
        return (result, _leave(aux, own)) if has_aux else result

    return wrapper


def _jacobians(output: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The Jacobian of one output by each input."""
    flat = output.reshape(-1)
    count = output.numel()
    if count == 0:
        shapes = [(*output.shape, *each.shape) for each in inputs]
        return [each.new_zeros(shape) for each, shape in zip(inputs, shapes, strict=True)]
    rows = [_gradients([flat[number]], inputs, [None]) for number in range(count)]
    return [
        stack(list(column)).reshape((*output.shape, *each.shape))
        for column, each in zip(zip(*rows, strict=True), inputs, strict=True)
    ]


def jacfwd(
    func: Callable[..., Any],
    argnums: ArgNums = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    randomness: str = "error",
) -> Callable[..., Any]:
    """The Jacobian as jacrev gives it, and by the same way: there is no separate forward mode."""
    return jacrev(func, argnums, has_aux=has_aux)


def hessian(func: Callable[..., Any], argnums: ArgNums = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives: the Jacobian of the Jacobian."""
    return jacfwd(jacrev(func, argnums), argnums)
