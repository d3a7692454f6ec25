"""Orthogonal polynomials of a degree that may differ from element to element.

They run on the host by their recurrences (Abramowitz and Stegun, chapter 22), in float64, as many
steps as the greatest degree. Degrees are truncated to whole numbers; a negative one gives 0. There
are no gradients, as in PyTorch: an input that wants one is a RuntimeError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from flambeau.ops.data import tensor
from flambeau.ops.host import host_function
from flambeau.ops.promote import floating, result_dtype
from flambeau.ops.publish import public
from flambeau.ops.special.cylinder import refuse_gradient
from flambeau.ops.view import broadcast_tensors
from flambeau.tensor.tensor import Tensor

Step = Callable[[Any, int, Any, Any], Any]
"""(x, k, Pₖ, Pₖ₋₁) -> Pₖ₊₁"""


def _by_recurrence(x: Any, degrees: Any, first: Any, step: Step) -> Any:
    """Each element's polynomial of its degree; P₀ = 1, P₁ = first."""
    before, now = numpy.ones_like(x), first
    found = numpy.where(degrees == 0, before, numpy.where(degrees == 1, first, 0.0))
    for k in range(1, int(degrees.max(initial=0))):
        before, now = now, step(x, k, now, before)
        found = numpy.where(degrees == k + 1, now, found)
    return numpy.where(numpy.isnan(x) & (degrees > 0), numpy.nan, found)


def _chebyshev(x: Any, k: int, now: Any, before: Any) -> Any:
    return 2 * x * now - before


def _legendre(x: Any, k: int, now: Any, before: Any) -> Any:
    return ((2 * k + 1) * x * now - k * before) / (k + 1)


def _laguerre(x: Any, k: int, now: Any, before: Any) -> Any:
    return ((2 * k + 1 - x) * now - k * before) / (k + 1)


def _physicists(x: Any, k: int, now: Any, before: Any) -> Any:
    return 2 * x * now - 2 * k * before


def _probabilists(x: Any, k: int, now: Any, before: Any) -> Any:
    return x * now - k * before


_FAMILIES: dict[str, tuple[Callable[[Any], Any], Step, str]] = {
    "chebyshev_polynomial_t": (lambda x: x, _chebyshev, "Chebyshev's Tₙ: cos nθ at cos θ."),
    "chebyshev_polynomial_u": (
        lambda x: 2 * x,
        _chebyshev,
        "Chebyshev's Uₙ: sin (n + 1)θ / sin θ at cos θ.",
    ),
    "chebyshev_polynomial_v": (
        lambda x: 2 * x - 1,
        _chebyshev,
        "Chebyshev's Vₙ: cos (n + ½)θ / cos ½θ at cos θ.",
    ),
    "chebyshev_polynomial_w": (
        lambda x: 2 * x + 1,
        _chebyshev,
        "Chebyshev's Wₙ: sin (n + ½)θ / sin ½θ at cos θ.",
    ),
    "hermite_polynomial_h": (lambda x: 2 * x, _physicists, "Hermite's Hₙ, the physicists'."),
    "hermite_polynomial_he": (lambda x: x, _probabilists, "Hermite's Heₙ, the probabilists'."),
    "laguerre_polynomial_l": (lambda x: 1 - x, _laguerre, "Laguerre's Lₙ."),
    "legendre_polynomial_p": (lambda x: x, _legendre, "Legendre's Pₙ."),
}
"""name -> P₁, the recurrence and what it is."""


def _polynomial(name: str, move: Callable[[Any], Any], doc: str) -> Any:
    first, step, _ = _FAMILIES[name.removeprefix("shifted_")]

    @host_function(name)
    def run(x: Any, n: Any) -> Any:
        moved = move(x.astype(numpy.float64))
        return _by_recurrence(moved, numpy.trunc(n), first(moved), step).astype(x.dtype)

    def call(input: Any, n: Any) -> Any:
        refuse_gradient(f"special_{name}", input, n)
        like = input if isinstance(input, Tensor) else n
        if not isinstance(like, Tensor):
            raise TypeError(f"{name}(): one of input and n must be a Tensor")
        dtype = floating(result_dtype((input, n)))
        both = broadcast_tensors(
            *[
                each.to(dtype)
                if isinstance(each, Tensor)
                else tensor(each, dtype=dtype, device=like.device)
                for each in (input, n)
            ]
        )
        return run(both, (), [(both[0]._type.shape, dtype)])[0]

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{doc} Degrees n are broadcast with input. Runs on the host."
    return public(method=False, function=False)(call)


NAMES: list[str] = []

for _name, _family in _FAMILIES.items():
    _doc = _family[2]
    globals()[_name] = _polynomial(_name, lambda x: x, _doc)
    NAMES.append(_name)
    if _name.startswith("chebyshev"):
        _shifted = f"shifted_{_name}"
        globals()[_shifted] = _polynomial(
            _shifted, lambda x: 2 * x - 1, f"{_doc.partition(':')[0]} at 2x - 1."
        )
        NAMES.append(_shifted)
