"""torch._foreach_*: one operation on each tensor of a list; all are computed together.

_foreach_name(list, …) gives a tuple; _foreach_name_(list, …) writes into the list's tensors and
gives the list. Further arguments are lists of the same length, or one tensor or number for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.ops.later import FOREACH
from flambeau.ops.publish import publish
from flambeau.ops.spread import norm
from flambeau.tensor.tensor import Tensor

__all__: list[str] = []


def _norm(x: Any, ord: Any = 2, dtype: Any = None) -> Any:
    return norm(x, ord, dtype=dtype)


def _power_sum(x: Any, ord: Any = 2, dtype: Any = None) -> Any:
    return (x if dtype is None else x.to(dtype)).abs().pow(ord).sum()


_UNLIKE_METHODS: dict[str, Callable[..., Any]] = {
    "max": lambda x: x.max(),
    "norm": _norm,
    "powsum": _power_sum,
}
"""Where _foreach_name is not Tensor.name of each."""


def _each(name: str, tensors: Sequence[Tensor], args: Any, kwargs: dict[str, Any]) -> list[Any]:
    """name(tensor, its arguments) for each tensor."""
    count = len(tensors)
    if not count:
        raise RuntimeError(f"{name}: Tensor list must have at least one tensor.")
    for given in (*args, *kwargs.values()):
        if isinstance(given, (list, tuple)) and len(given) != count:
            raise RuntimeError(
                f"{name}: Tensor lists must have the same number of tensors, got {count} and "
                f"{len(given)}"
            )
    function = _UNLIKE_METHODS.get(name)
    found = []
    for place, each in enumerate(tensors):
        own = [_at(given, place) for given in args]
        named = {key: _at(given, place) for key, given in kwargs.items()}
        found.append(
            getattr(each, name)(*own, **named)
            if function is None
            else function(each, *own, **named)
        )
    return found


def _at(given: Any, place: int) -> Any:
    return given[place] if isinstance(given, (list, tuple)) else given


def _scaled(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Arguments as the method takes them: PyTorch's third of addcmul and addcdiv is `value`."""
    if name in ("addcmul", "addcdiv") and len(args) == 3:
        kwargs["value"] = args[2]
        args = args[:2]
    if "value" in kwargs and isinstance(kwargs["value"], Tensor):
        kwargs["value"] = kwargs["value"].tolist()
    if "scalars" in kwargs:
        kwargs["value"] = kwargs.pop("scalars")
    return args


def _make(name: str) -> None:
    plain = name.removesuffix("_")
    in_place = name.endswith("_")

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        args = _scaled(plain, args, kwargs)
        if plain == "pow" and not isinstance(self, (list, tuple)):
            return tuple([self**each for each in args[0]])
        found = _each(name if name in ("zero_", "copy_") else plain, self, args, kwargs)
        if not in_place:
            return tuple(found)
        if name not in ("zero_", "copy_"):
            for target, value in zip(self, found, strict=True):
                target.copy_(value)
        return self

    call.__name__ = call.__qualname__ = f"_foreach_{name}"
    call.__doc__ = f"Tensor.{name} of each tensor of a list."
    globals()[call.__name__] = call
    publish(call, call.__name__)


for _name in FOREACH:
    _make(_name)
