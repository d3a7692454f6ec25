"""Jacobians and products with them, as functions of inputs. PyTorch's torch.autograd.functional.

Inputs are a tensor or a tuple; results have their structure. Without create_graph results have no
gradient. `strict`, `vectorize` and strategies change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.func import transforms
from flambeau.ops.creation import ones_like
from flambeau.tensor.tensor import Tensor
from flambeau.utils._pytree import tree_map_only

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _settled(value: Any, create_graph: bool) -> Any:
    return value if create_graph else tree_map_only(Tensor, lambda each: each.detach(), value)


def _like(results: Any, inputs: Any) -> Any:
    """One result for each input: without a tuple where there was none."""
    return tuple(results) if isinstance(inputs, tuple) else results[0]


def _vector(value: Any, like: Any, name: str) -> Any:
    """The vector, or ones for a single number. RuntimeError where shapes differ."""
    if value is None:
        tensors = _tuple(like)
        if len(tensors) != 1 or tensors[0].numel() != 1:
            raise RuntimeError(
                f"The vector v can only be None if {name} is a single tensor with one element"
            )
        return ones_like(like) if isinstance(like, Tensor) else tuple(map(ones_like, like))
    for given, wanted in zip(_tuple(value), _tuple(like), strict=True):
        if given.shape != wanted.shape:
            raise RuntimeError(
                f"v has shape {given.shape}, expected that of {name}: {wanted.shape}"
            )
    return value


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(outputs, v times the Jacobian)."""
    outputs, pull = transforms.vjp(func, *_tuple(inputs))
    found = pull(_vector(v, outputs, "the output"))
    return _settled((outputs, _like(found, inputs)), create_graph)


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(outputs, the Jacobian times v)."""
    given = _tuple(_vector(v, inputs, "the input"))
    return _settled(transforms.jvp(func, _tuple(inputs), given), create_graph)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian: for each output, for each input, a tensor of the output's and input's shape."""
    tensors = _tuple(inputs)
    found = transforms.jacrev(func, tuple(range(len(tensors))))(*tensors)
    if not isinstance(inputs, tuple):
        several = isinstance(found[0], tuple)
        found = tuple(each[0] for each in found) if several else found[0]
    return _settled(found, create_graph)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function with one scalar result."""
    tensors = _tuple(inputs)
    places = tuple(range(len(tensors)))
    found = transforms.hessian(_scalar(func), places)(*tensors)
    return _settled(found if isinstance(inputs, tuple) else found[0][0], create_graph)


def _scalar(func: Callable[..., Any]) -> Callable[..., Any]:
    def single(*args: Any) -> Any:
        output = func(*args)
        if not isinstance(output, Tensor) or output.numel() != 1:
            raise RuntimeError(
                "The Tensor returned by the function given to hessian should contain a single "
                "element"
            )
        return output.reshape(())

    return single


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(output, the Hessian times v)."""
    tensors = _tuple(inputs)
    given = _tuple(_vector(v, inputs, "the input"))
    gradient = transforms.grad(_scalar(func), tuple(range(len(tensors))))
    _, found = transforms.jvp(gradient, tensors, given)
    return _settled((func(*tensors), _like(found, inputs)), create_graph)


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(output, v times the Hessian)."""
    tensors = _tuple(inputs)
    gradient = transforms.grad(_scalar(func), tuple(range(len(tensors))))
    _, pull = transforms.vjp(gradient, *tensors)
    found = pull(tuple(_tuple(_vector(v, inputs, "the input"))))
    return _settled((func(*tensors), _like(found, inputs)), create_graph)
