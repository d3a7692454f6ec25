"""Activation checkpointing. PyTorch's torch.utils.checkpoint.

PyTorch frees a part's intermediate results and computes them again in the backward. Here what the
program records is scheduled as a whole: what is cheap is computed again and what is dear is kept,
so that these functions run the part, and its gradients come out as without them. They save no
memory of their own.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flambeau.autograd.mode import STATE, no_grad
from flambeau.stand_in import stand_in
from flambeau.tensor.tensor import Tensor

__all__ = [
    "checkpoint",
    "checkpoint_sequential",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
]


def noop_context_fn() -> tuple[Any, Any]:
    """Contexts for forward and recomputation that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


@stand_in("runs the function; what its backward needs is kept or computed again as scheduled")
def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), with the gradients that it has.

    As in PyTorch, use_reentrant=True (with no tensor among `args` that requires a gradient) gives
    results without gradients, and a warning. ValueError for keywords with use_reentrant=True.
    """
    if use_reentrant and kwargs:
        raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
    if use_reentrant and context_fn is not noop_context_fn:
        raise ValueError("Passing `context_fn` is only supported when use_reentrant=False.")
    if use_reentrant and STATE.enabled:
        if not any(isinstance(each, Tensor) and each.requires_grad for each in args):
            warnings.warn(
                "None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2
            )
            with no_grad():
                return function(*args)
        return function(*args)
    forward, _ = context_fn()
    with forward:
        return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Any,
    segments: int,
    input: Any,  # noqa: A002  # PyTorch's name
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
) -> Any:
    """The functions, or a Sequential's modules, one after the other, in checkpointed segments.

    ValueError where `segments` is not between 1 and the number of functions.
    """
    parts: Sequence[Any] = list(
        functions.children() if hasattr(functions, "children") else functions
    )
    if not 1 <= segments <= len(parts):
        raise ValueError(f"segments={segments}: expected 1 to {len(parts)}, the functions given")
    size = len(parts) // segments
    starts = [number * size for number in range(segments)]

    def run(begin: int, end: int) -> Callable[[Any], Any]:
        def segment(value: Any) -> Any:
            for each in parts[begin:end]:
                value = each(value)
            return value

        return segment

    value = input
    for begin in starts[:-1]:
        value = checkpoint(run(begin, begin + size), value, use_reentrant=use_reentrant)
    return run(starts[-1], len(parts))(value)


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Accepted: nothing is recomputed that could stop early."""
    yield


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Accepted: nothing is recomputed that could be debugged."""
    yield
