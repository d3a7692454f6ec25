"""vmap: a function of one sample as a function of a batch.

The function runs once for each sample, and results are stacked: control flow, random numbers,
nested transforms and every operation work as they do alone. All samples record the same structure,
so that one plan serves them: it is built for the first and run for each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flambeau.autograd.mode import STATE
from flambeau.ops.generator import default_generator
from flambeau.ops.shape import stack
from flambeau.ops.view import movedim
from flambeau.schedule import flush, watch
from flambeau.tensor.tensor import Tensor
from flambeau.utils._pytree import (
    TreeSpec,
    _broadcast_to_and_flatten,
    tree_flatten,
    tree_unflatten,
)

_TOGETHER = 8  # samples that are computed in one plan; more get a plan for one, run many times


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that maps `func` over a dimension of its arguments.

    `in_dims`: the dimension of each argument, None for what all samples share; `out_dims`: where
    the results' new dimension goes. `randomness`: "error" (random numbers raise RuntimeError),
    "different" (each sample draws) or "same" (all samples draw the same). `chunk_size` has no
    effect on results. ValueError where sizes or dimensions do not fit.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got "
            f"{randomness}"
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        leaves, dims, spec = _mapped(func, in_dims, args)
        keyword_leaves, keyword_spec = tree_flatten(kwargs)
        dims += [0 if isinstance(each, Tensor) else None for each in keyword_leaves]
        leaves += keyword_leaves
        count = _batch_size(leaves, dims)
        results: list[list[Any]] = []
        structure: TreeSpec | None = None
        draws = _Draws(randomness)
        for number in range(count):
            sample = [
                each if dim is None else each.select(dim, number)
                for each, dim in zip(leaves, dims, strict=True)
            ]
            positional = tree_unflatten(sample[: spec.num_leaves], spec)
            keywords = tree_unflatten(sample[spec.num_leaves :], keyword_spec)
            draws.before()
            output = func(*positional, **keywords)
            found, structure = tree_flatten(output)
            _check_outputs(func, found)
            if count > _TOGETHER:
                compute(found)
            results.append(found)
        assert structure is not None  # a batch has a sample
        draws.check()
        return _stacked(results, structure, out_dims)

    return wrapper


def _mapped(
    func: Callable[..., Any], in_dims: Any, args: tuple[Any, ...]
) -> tuple[list[Any], list[Any], TreeSpec]:
    """The arguments' leaves and the dimension of each."""
    name = getattr(func, "__name__", repr(func))
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...): expected `in_dims` to be int or a (potentially "
            f"nested) tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs")
    leaves, spec = tree_flatten(args)
    wanted = tuple(in_dims) if isinstance(in_dims, list) else in_dims
    dims = _broadcast_to_and_flatten(wanted, spec, lambda each: each is None)
    if dims is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the "
            "structure of inputs: give one dimension (or None) for each argument"
        )
    for leaf, dim in zip(leaves, dims, strict=True):
        if dim is None:
            continue
        if not isinstance(leaf, Tensor):
            raise ValueError(
                f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={dim} for an input "
                f"but the input is of type {type(leaf)}. We cannot vmap over non-Tensor arguments, "
                "please use None as the respective in_dim"
            )
        if not -leaf.ndim <= dim < leaf.ndim:
            raise ValueError(
                f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={dim} for some input, "
                f"but that input is a Tensor of dimensionality {leaf.ndim} so expected in_dim to "
                f"satisfy -{leaf.ndim} <= in_dim < {leaf.ndim}."
            )
    return leaves, dims, spec


def _batch_size(leaves: list[Any], dims: list[Any]) -> int:
    sizes = [
        int(leaf.shape[dim]) for leaf, dim in zip(leaves, dims, strict=True) if dim is not None
    ]
    if not sizes:
        raise ValueError("vmap: all in_dims are None: at least one argument must be mapped over")
    if len(set(sizes)) > 1:
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    if sizes[0] == 0:
        raise ValueError("vmap: a batch without samples: the results' shapes are not known")
    return sizes[0]


class _Draws:
    """Watches the random numbers that samples draw, as `randomness` says."""

    def __init__(self, randomness: str) -> None:
        self._randomness = randomness
        self._start = None if randomness == "different" else default_generator.get_state()

    def before(self) -> None:
        if self._randomness == "same" and self._start is not None:
            default_generator.set_state(self._start)

    def check(self) -> None:
        if self._randomness != "error":
            return
        now = default_generator.get_state()
        assert self._start is not None  # it was taken
        if now._to_numpy().tobytes() != self._start._to_numpy().tobytes():
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use "
                "the 'same' or 'different' randomness flags on vmap or perform the randomness "
                "operation out of vmap"
            )


def _check_outputs(func: Callable[..., Any], leaves: list[Any]) -> None:
    for each in leaves:
        if not isinstance(each, Tensor):
            raise ValueError(
                f"vmap({getattr(func, '__name__', repr(func))}, ...): `f` must only return "
                f"Tensors, got type {type(each)}. Did you mean to set out_dims= to None for output?"
            )


def compute(leaves: list[Tensor]) -> None:
    """Compute a sample's results, unless something outside is still to be recorded with them."""
    if STATE.tracing or watch.active() is not None:
        return
    pending = [each._read() for each in leaves if each._storage.node.buffer is None]
    if pending:
        flush.flush(pending)


def _stacked(results: list[list[Any]], structure: TreeSpec, out_dims: Any) -> Any:
    wanted = tuple(out_dims) if isinstance(out_dims, list) else out_dims
    dims = _broadcast_to_and_flatten(wanted, structure, lambda each: each is None)
    if dims is None:
        raise ValueError(
            f"vmap(..., out_dims={out_dims}): out_dims is not compatible with the structure of "
            f"the function's {structure.num_leaves} outputs"
        )
    columns = zip(*results, strict=True)
    stacked = [
        column[0] if dim is None else movedim(stack(list(column)), 0, dim)
        for column, dim in zip(columns, dims, strict=True)
    ]
    return tree_unflatten(stacked, structure)
