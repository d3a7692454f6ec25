"""The strict profile: a licence must be open and suit what it is put on.

What it does beyond the official verdict: it reads usual spellings and SPDX expressions, knows
licences that are newer than the official snapshot, takes the most restrictive of several licences
for one component, ignores unknown components, and asks that the licence's type fits. The lists of
licences per type are Flambeau's reading of the framework ("open-source licences for code,
open-data licences for data, open-content licences for documentation"), on top of the official
ones; see docs/openness.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any, Final

from flambeau.openness.components import BY_NUMBER, Component
from flambeau.openness.errors import as_list, optional_library
from flambeau.openness.evaluator import Judgement
from flambeau.openness.licenses import OPEN_DATA_LICENSES, LicenseTable
from flambeau.openness.model import UNLICENSED, Entry, ModelFile, is_empty
from flambeau.openness.spelling import normalise


@dataclass(frozen=True)
class NewLicense:
    """An open licence that the official snapshot does not know or does not count, and why."""

    types: tuple[str, ...]
    reason: str


NEW_LICENSES: Final = {
    "OpenMDW-1.1": NewLicense(
        ("code", "data", "document"),
        "published 2026-05-18, after the official snapshot; permissive as OpenMDW-1.0 is",
    ),
    "PDDL-1.0": NewLicense(
        ("data",),
        "the SPDX identifier of the licence that the official list spells ODC-PDDL-1.0",
    ),
    "BSD-3-Clause-Open-MPI": NewLicense(("code",), "OSI-approved after the official snapshot"),
    "OSC-1.0": NewLicense(("code",), "OSI-approved after the official snapshot"),
    "WordNet": NewLicense(("code",), "OSI-approved after the official snapshot"),
}

MAXIMUM_EXPRESSION: Final = 1000

_DOCUMENT_FAMILIES: Final = re.compile(r"CC0-|CC-BY-|GFDL-")
_NOT_FOR_CODE: Final = re.compile(r"CC-BY|CC0-|GFDL-|ODbL|ODC-|PDDL|OGL-|CDLA-")
_COPYLEFT: Final = re.compile(
    r"A?GPL|LGPL|MPL|EPL|EUPL|CECILL-(?!B)|OSL|CC-BY-SA|ODbL|GFDL|CDLA-Sharing|CDDL|CPL|MS-RL"
)

SUGGESTION: Final = {
    "code": "an open-source licence such as Apache-2.0",
    "data": "an open-data licence such as CDLA-Permissive-2.0",
    "document": "an open-content licence such as CC-BY-4.0",
}


class Rank(IntEnum):
    """What a licence is worth on a component; the lowest of several decides."""

    NOT_OPEN = 0
    WRONG_TYPE = 1
    COPYLEFT = 2
    PERMISSIVE = 3


@dataclass(frozen=True)
class Answer:
    """What one licence or expression is worth on one content type, and why."""

    text: str
    rank: Rank
    reason: str


class StrictJudge:
    """Licences as the framework's text asks for them: open, and of the component's type."""

    def __init__(self, table: LicenseTable) -> None:
        self.table = table

    def judge(self, model: ModelFile) -> dict[int, Judgement]:
        by_component: dict[int, list[Entry]] = {}
        for entry in model.entries:
            if entry.has_known_name:
                by_component.setdefault(entry.number, []).append(entry)
        return {n: self.judge_entries(model, e) for n, e in by_component.items()}

    def judge_entries(self, model: ModelFile, entries: Sequence[Entry]) -> Judgement:
        component = BY_NUMBER[entries[0].number]
        texts: list[str] = []
        source: str | None = None
        for entry in entries:
            found, source = _license_texts(model, entry)
            texts += [text for text in found if text not in texts]
        if UNLICENSED in texts:
            also = [text for text in texts if text != UNLICENSED]
            reason = "included without a licence"
            reason += f" (elsewhere: {', '.join(also)})" if also else ""
            return Judgement(UNLICENSED, False, False, reason, source, entries[-1].line)
        answer = _strictest([self.read(text, component) for text in texts])
        counts = answer.rank > Rank.WRONG_TYPE
        return Judgement(answer.text, counts, counts, answer.reason, source, entries[-1].line)

    def read(self, text: str, component: Component) -> Answer:
        """What a licence as written (identifier, spelling, expression, several) is worth."""
        spelling = normalise(text, self.table, NEW_LICENSES)
        if spelling.identifier is not None:
            answer = self.identifier(spelling.identifier, component)
            note = "" if spelling.exact else f" ({spelling.note})"
            return Answer(answer.text, answer.rank, answer.reason + note)
        if len(text) > MAXIMUM_EXPRESSION:
            return Answer(text[:80] + " …", Rank.NOT_OPEN, "too long to be a licence expression")
        parts = [part.strip() for part in re.split(r"[,;]|(?<=\w)/(?=\w)", text) if part.strip()]
        if len(parts) > 1:
            return _strictest([self.read(part, component) for part in parts])
        parsed = _parse_expression(text)
        if parsed is None or (not getattr(parsed, "args", None) and not _has_exception(parsed)):
            return Answer(text, Rank.NOT_OPEN, f"{spelling.note}: not counted")
        return self.expression(parsed, component)

    def expression(self, node: Any, component: Component) -> Answer:
        """An SPDX expression: OR takes the better side, AND and lists the stricter one."""
        arguments = getattr(node, "args", ())
        if arguments:
            answers = [self.expression(argument, component) for argument in arguments]
            if type(node).__name__ == "OR":
                best = max(answers, key=lambda answer: answer.rank)
                return Answer(node.render(), best.rank, f"a choice; taken: {best.reason}")
            return _strictest(answers)
        if _has_exception(node):
            base = self.read(str(node.license_symbol.key), component)
            exception = str(node.exception_symbol.key)
            if exception not in _spdx_exceptions():
                return Answer(node.render(), Rank.NOT_OPEN, f"{exception} is no SPDX exception")
            return Answer(node.render(), base.rank, f"{base.reason}; {exception} only adds to it")
        return self.read(str(node.key), component)

    def identifier(self, identifier: str, component: Component) -> Answer:
        """One SPDX identifier, spelled exactly."""
        new = NEW_LICENSES.get(identifier)
        if new is None and not self.table.is_open(identifier):
            return Answer(identifier, Rank.NOT_OPEN, f"{identifier} is on no list of open licences")
        kind = component.content_type
        if kind not in suitable_types(identifier, self.table):
            return Answer(
                identifier,
                Rank.WRONG_TYPE,
                f"{identifier} is open, but not a licence for {kind}; "
                f"{component.name} asks for {SUGGESTION[kind]}",
            )
        rank = Rank.COPYLEFT if _COPYLEFT.match(identifier) else Rank.PERMISSIVE
        reason = f"{identifier} is open and suits {kind}"
        known = self.table.licenses.get(identifier)
        if known is not None and known.deprecated:
            reason += "; the identifier is deprecated by SPDX"
        return Answer(identifier, rank, reason + (f" ({new.reason})" if new else ""))


def suitable_types(identifier: str, table: LicenseTable) -> set[str]:
    """The content types that an open licence suits, in the strict profile."""
    if identifier in NEW_LICENSES:
        return set(NEW_LICENSES[identifier].types)
    known = table.licenses.get(identifier)
    types = set(known.types) if known else set[str]()
    if known and (known.osi or known.fsf) and not _NOT_FOR_CODE.match(identifier):
        types.add("code")
    if identifier in OPEN_DATA_LICENSES and not identifier.startswith("GFDL"):
        types.add("data")
    if _DOCUMENT_FAMILIES.match(identifier) and table.is_open(identifier):
        types.add("document")
    return types


def _license_texts(model: ModelFile, entry: Entry) -> tuple[list[str], str | None]:
    """The licences of one entry after inheritance; a list is several licences."""
    value: Any = entry.license
    source: str | None = "component"
    if value is None:
        value, source = model.shared_license(BY_NUMBER[entry.number].content_type)
    values = as_list(value) or [value]
    texts = [
        UNLICENSED if is_empty(v) or str(v).strip().lower() == UNLICENSED else str(v).strip()
        for v in values
    ]
    return (texts or [UNLICENSED]), source


def _strictest(answers: Sequence[Answer]) -> Answer:
    if len(answers) == 1:
        return answers[0]
    worst = min(answers, key=lambda answer: answer.rank)
    text = " AND ".join(dict.fromkeys(answer.text for answer in answers))
    return Answer(text, worst.rank, f"several licences; the strictest decides: {worst.reason}")


def _has_exception(node: Any) -> bool:
    return type(node).__name__ == "LicenseWithExceptionSymbol"


def _parse_expression(text: str) -> Any:
    """The parsed expression, or None where it is not one."""
    library = optional_library("license_expression", "license-expression")
    try:
        return library.Licensing().parse(text)
    except (library.ExpressionError, library.ParseError):
        return None


@cache
def _spdx_exceptions() -> frozenset[str]:
    library = optional_library("license_expression", "license-expression")
    symbols = library.get_spdx_licensing().known_symbols
    return frozenset(key for key, symbol in symbols.items() if symbol.is_exception)
