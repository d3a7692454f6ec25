"""Named results of operations with several: torch.return_types."""

from __future__ import annotations

from collections import namedtuple
from typing import Any


def _shown(self: Any) -> str:
    fields = ",\n".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
    return f"torch.return_types.{type(self).__name__}(\n{fields})"


def named(name: str, fields: str) -> Any:
    """A tuple type with named fields, printed as PyTorch prints it."""
    make: Any = namedtuple
    made = make(name, fields)  # the fields are data here
    made.__repr__ = _shown
    made.__module__ = __name__
    globals()[name] = made
    return made


max_ = named("max", "values indices")
min_ = named("min", "values indices")
aminmax_ = named("aminmax", "min max")
median_ = named("median", "values indices")
nanmedian_ = named("nanmedian", "values indices")
mode_ = named("mode", "values indices")
kthvalue_ = named("kthvalue", "values indices")
sort_ = named("sort", "values indices")
topk_ = named("topk", "values indices")
cummax_ = named("cummax", "values indices")
cummin_ = named("cummin", "values indices")
