"""From the spellings that people use to SPDX identifiers; never a choice between two licences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from flambeau.openness.licenses import LicenseTable

ALIASES: Final[Mapping[str, str]] = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "asl 2.0": "Apache-2.0",
    "expat": "MIT",
    "bsd 2 clause simplified": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
    "bsd 2": "BSD-2-Clause",
    "bsd 3": "BSD-3-Clause",
    "bsd 3 clause new": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "revised bsd": "BSD-3-Clause",
    "gpl 2": "GPL-2.0-only",
    "gpl 3": "GPL-3.0-only",
    "lgpl 2.1": "LGPL-2.1-only",
    "lgpl 3": "LGPL-3.0-only",
    "agpl 3": "AGPL-3.0-only",
    "mpl 2": "MPL-2.0",
    "boost": "BSL-1.0",
    "cc 0": "CC0-1.0",
    "cc0": "CC0-1.0",
    "cc zero": "CC0-1.0",
    "cdla permissive 2": "CDLA-Permissive-2.0",
    "odc pddl 1": "PDDL-1.0",
    "odc by": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
    "openmdw 1.0": "OpenMDW-1.0",
    "openmdw 1.1": "OpenMDW-1.1",
}
"""Common spellings by their key (see :func:`spelling_key`), where the key alone is not enough."""

AMBIGUOUS: Final[Mapping[str, str]] = {
    "bsd": "BSD-2-Clause, BSD-3-Clause or BSD-4-Clause",
    "gpl": "GPL-2.0-only, GPL-3.0-only or their -or-later forms",
    "gnu gpl": "GPL-2.0-only, GPL-3.0-only or their -or-later forms",
    "lgpl": "LGPL-2.1-only, LGPL-3.0-only or their -or-later forms",
    "agpl": "AGPL-3.0-only or AGPL-3.0-or-later",
    "cc": "one of the Creative Commons licences",
    "creative commons": "one of the Creative Commons licences",
    "cc by": "CC-BY-1.0 to CC-BY-4.0",
    "cc by sa": "CC-BY-SA-1.0 to CC-BY-SA-4.0",
    "cdla": "CDLA-Permissive or CDLA-Sharing, and which version",
    "cdla permissive": "CDLA-Permissive-1.0 or CDLA-Permissive-2.0",
    "openmdw": "OpenMDW-1.0 or OpenMDW-1.1",
    "pddl": "PDDL-1.0 (write the version)",
}
"""Spellings that name a family, not a licence."""

_FILLER: Final = re.compile(r"\b(?:the|licen[sc]es?|version|legal code|legalcode)\b")
_WORDS: Final = {
    "creative commons attribution noncommercial": "cc by nc",
    "creative commons attribution": "cc by",
    "creative commons zero": "cc0",
    "creative commons": "cc",
    "share alike": "sa",
    "sharealike": "sa",
    "no derivatives": "nd",
    "noderivatives": "nd",
    "non commercial": "nc",
    "noncommercial": "nc",
    "attribution": "by",
    "4.0 international": "4",
    "gnu general public": "gpl",
    "gnu lesser general public": "lgpl",
    "gnu affero general public": "agpl",
    "mozilla public": "mpl",
    "community data agreement": "cdla",
}


@dataclass(frozen=True)
class Spelling:
    """What a licence text in a form stands for.

    Attributes:
        identifier: the SPDX identifier, or None where it names no one licence.
        exact: whether it was written exactly so.
        note: what was done, or why it could not be.
    """

    identifier: str | None
    exact: bool
    note: str


def spelling_key(text: str) -> str:
    """Text reduced to what distinguishes licences: case, filler words and ``.0`` are dropped."""
    key = text.casefold().replace("licence", "license")
    key = re.sub(r"[\s_,;:()\"'/-]+", " ", key)
    key = _FILLER.sub(" ", key)
    key = re.sub(r"\bv\.?\s?(?=\d)", " ", key)
    key = re.sub(r"(?<=[a-z])(?=\d\.\d)", " ", key)
    key = " ".join(key.split())
    for words, short in _WORDS.items():
        key = key.replace(words, short)
    key = re.sub(r"(\d+)\.0\b", r"\1", key)
    return " ".join(key.split())


def normalise(text: str, table: LicenseTable, extra: Iterable[str] = ()) -> Spelling:
    """The SPDX identifier that a spelling stands for, if it can only be one.

    Args:
        text: what was written.
        table: the licences to choose from.
        extra: identifiers beside the table's (newer licences).
    """
    known = {*table.licenses, *extra}
    if text in known:
        return Spelling(text, True, "")
    key = spelling_key(text)
    if key in AMBIGUOUS:
        return Spelling(None, False, f"{text!r} names a family: {AMBIGUOUS[key]}; say which")
    candidates = _index(table, tuple(sorted(extra))).get(key, ())
    if len(candidates) == 1:
        return Spelling(candidates[0], False, f"{text!r} read as {candidates[0]}")
    if candidates:
        return Spelling(None, False, f"{text!r} may be {' or '.join(candidates)}; say which")
    return Spelling(None, False, f"{text!r} is not a licence of the SPDX list")


class _TableKey:
    """Lets the index be cached by the identity of a table."""

    def __init__(self, table: LicenseTable) -> None:
        self.table = table

    def __hash__(self) -> int:
        return id(self.table)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TableKey) and other.table is self.table


def _index(table: LicenseTable, extra: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    return _build_index(_TableKey(table), extra)


@lru_cache(maxsize=8)
def _build_index(holder: _TableKey, extra: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Licences by the keys of their identifiers and names; deprecated ones only where alone."""
    current: dict[str, set[str]] = {}
    deprecated: dict[str, set[str]] = {}
    for known in holder.table.licenses.values():
        into = deprecated if known.deprecated else current
        for text in (known.identifier, known.name):
            into.setdefault(spelling_key(text), set()).add(known.identifier)
    for identifier in extra:
        current.setdefault(spelling_key(identifier), set()).add(identifier)
    index = {key: tuple(sorted(ids)) for key, ids in deprecated.items()}
    index |= {key: tuple(sorted(ids)) for key, ids in current.items()}
    identifiers = {*holder.table.licenses, *extra}
    for key, identifier in ALIASES.items():
        if identifier in identifiers:
            index[spelling_key(key)] = (identifier,)
    return index
