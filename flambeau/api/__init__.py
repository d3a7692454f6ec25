"""What of PyTorch's API is here: the names that public code uses, looked up in the code itself.

`surface.tsv` ranks names by how many of 86 public repositories use them: tier 1 is needed by
well-known programs or used by 20 repositories or more, tier 2 by 4 to 19, tier 3 by fewer.
`kwargs.tsv` counts the keyword arguments that they are used with. `python -m flambeau.api` prints
the table; nothing in it is written by hand.
"""

from __future__ import annotations

import csv
import importlib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

THERE = "there"
STANDS_IN = "stands in"
MISSING = "missing"
STATES = (THERE, STANDS_IN, MISSING)
"""A name that stands in is accepted and does what makes sense on one machine without CUDA."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of PyTorch's: how much it is used, and whether it is here."""

    tier: int
    kind: str
    name: str
    repositories: int
    state: str


@dataclass(frozen=True, slots=True)
class Keyword:
    """One keyword argument of a name that is here, and whether it is taken."""

    name: str
    keyword: str
    repositories: int
    taken: bool


def entries() -> Iterator[Entry]:
    """All names of the table with their state, most used first within a tier."""
    for row in _rows("surface.tsv"):
        name = row["name"]
        yield Entry(int(row["tier"]), row["kind"], name, int(row["repos_using"]), state(name))


def keywords() -> Iterator[Keyword]:
    """The keyword arguments that public code gives to names that are here."""
    for row in _rows("kwargs.tsv"):
        found = find(row["name"])
        if found is not None and callable(found):
            taken = takes(found, row["kwarg"])
            yield Keyword(row["name"], row["kwarg"], int(row["repos_using"]), taken)


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = files(__name__).joinpath(name).read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines(), delimiter="\t")


def state(name: str) -> str:
    """THERE, STANDS_IN or MISSING."""
    from flambeau.stand_in import is_stand_in

    found = find(name)
    if found is None and not _is_none(name):
        return MISSING
    return STANDS_IN if is_stand_in(found) else THERE


def find(name: str) -> Any:
    """The object that PyTorch calls `name`, such as torch.nn.Linear or Tensor.add; None if none."""
    first, *rest = name.split(".")
    for start in _starts(first):
        found = _follow(start, rest)
        if found is not None:
            return found
    return None


def _is_none(name: str) -> bool:
    """Whether the name is here and is None, as torch.version.cuda is."""
    parent, _, last = name.rpartition(".")
    holder = find(parent) if parent else None
    return holder is not None and hasattr(holder, last)


def _follow(start: Any, names: Iterable[str]) -> Any:
    for name in names:
        try:
            start = getattr(start, name)
        except AttributeError:
            try:
                start = importlib.import_module(f"{start.__name__}.{name}")
            except (AttributeError, ImportError):
                return None
    return start


@cache
def _starts(first: str) -> tuple[Any, ...]:
    """Where names that begin with `first` are looked for: a class, then an object of it.

    An object has what its constructor sets, such as Module.training.
    """
    torch: Any = importlib.import_module("flambeau")
    if first == "torch":
        return (torch,)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    samples: dict[str, Any] = {
        "Tensor": lambda: weight,
        "Module": lambda: torch.nn.Linear(1, 1),
        "Optimizer": lambda: optimizer,
        "LRScheduler": lambda: torch.optim.lr_scheduler.StepLR(optimizer, 1),
        "Generator": torch.Generator,
        "FunctionCtx": lambda: torch.autograd.function.FunctionCtx(),
        "Distribution": lambda: torch.distributions.Normal(0.0, 1.0),
        "GradScaler": lambda: torch.amp.GradScaler("cpu", enabled=False),
    }
    try:
        sample = samples[first]()
    except (AttributeError, KeyError):
        return ()
    return (type(sample), sample)


def takes(function: Any, keyword: str) -> bool:
    """Whether a call with this keyword argument binds."""
    if keyword in getattr(function, "also_takes", ()):
        return True
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        each.kind is each.VAR_KEYWORD
        or (each.name == keyword and each.kind is not each.POSITIONAL_ONLY)
        for each in parameters
    )
