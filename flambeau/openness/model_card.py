"""Read a model card: YAML front matter, and sections of Markdown with their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from flambeau.openness.errors import OpennessError
from flambeau.openness.source import parse_yaml

MAXIMUM_BYTES: Final = 1 << 20

_HEADING: Final = re.compile(r"(#{1,6})\s+(.+?)\s*#*\s*$")
_FENCE: Final = re.compile(r"\s*(?:```|~~~)")
_ARXIV: Final = re.compile(
    r"arxiv(?:\.org/(?:abs|pdf)/|\s*:\s*|\s+)(\d{4}\.\d{4,5})", re.IGNORECASE
)
_BIBTEX_TITLE: Final = re.compile(r"\btitle\s*=\s*[{\"]+(.+?)[}\"]+\s*,?\s*$", re.IGNORECASE)
_BIBTEX_ARXIV: Final = re.compile(
    r"(?:eprint\s*=\s*[{\"]*|abs/|arXiv:)(\d{4}\.\d{4,5})", re.IGNORECASE
)


@dataclass(frozen=True)
class Section:
    """A heading and the text under it, up to the next heading of its level or above."""

    title: str
    level: int
    line: int
    text: str

    @property
    def words(self) -> int:
        return len(self.text.split())

    @property
    def has_numbers_in_table(self) -> bool:
        rows = [row for row in self.text.splitlines() if row.count("|") >= 2]
        return sum(1 for row in rows if re.search(r"\|\s*[*_]*\d+(?:\.\d+)?\s*%?", row)) >= 1


@dataclass(frozen=True)
class Citation:
    """A paper that a card cites."""

    title: str
    arxiv: str | None
    line: int
    in_citation_section: bool


@dataclass
class Card:
    """A parsed Markdown file.

    Attributes:
        front: the front matter, an empty dict where there is none or it is broken.
        front_lines: the line of each top-level key.
        problem: why the front matter could not be read.
    """

    front: dict[str, Any] = field(default_factory=dict[str, Any])
    front_lines: dict[str, int] = field(default_factory=dict[str, int])
    sections: list[Section] = field(default_factory=list[Section])
    citations: list[Citation] = field(default_factory=list[Citation])
    arxiv: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    problem: str = ""
    text: str = ""

    def section(self, *words: str) -> Section | None:
        """The first section whose title has one of the words (regular expressions)."""
        pattern = re.compile("|".join(words), re.IGNORECASE)
        return next((s for s in self.sections if pattern.search(s.title)), None)


def parse_card(text: str, file: str) -> Card:
    """Read a Markdown file with or without front matter; never raises."""
    card = Card(text=text)
    lines = text.replace("\r\n", "\n").split("\n")
    body = _read_front(card, lines, file)
    card.sections = list(_sections(lines, body))
    card.citations = list(_citations(card, lines, body))
    for number, line in enumerate(lines, 1):
        card.arxiv += [(match[1], number) for match in _ARXIV.finditer(line)]
    return card


def _read_front(card: Card, lines: list[str], file: str) -> int:
    """Parse the front matter; return the index of the first line after it."""
    if not lines or lines[0].strip() != "---":
        return 0
    end = next((i for i in range(1, len(lines)) if lines[i].strip() == "---"), 0)
    if not end:
        card.problem = "the front matter has no end"
        return 0
    try:
        document = parse_yaml("\n" + "\n".join(lines[1:end]), file)
    except OpennessError as error:
        card.problem = str(error)
        return end + 1
    if isinstance(document.data, dict):
        card.front = cast("dict[str, Any]", document.data)
        card.front_lines = {key: document.line(key) or 1 for key in card.front}
    return end + 1


def _sections(lines: list[str], body: int) -> Iterator[Section]:
    headings: list[tuple[int, int, str]] = []
    is_code = False
    for i in range(body, len(lines)):
        if _FENCE.match(lines[i]):
            is_code = not is_code
        match = None if is_code else _HEADING.match(lines[i])
        if match:
            headings.append((i, len(match[1]), match[2]))
    for position, (i, level, title) in enumerate(headings):
        end = next((j for j, other, _ in headings[position + 1 :] if other <= level), len(lines))
        yield Section(title, level, i + 1, "\n".join(lines[i + 1 : end]))


def _entry_around(lines: list[str], body: int, at: int) -> list[str]:
    """The lines of the BibTeX entry that a line stands in."""
    begin, end = at, at + 1
    while begin > max(body, at - 30) and not lines[begin].lstrip().startswith("@"):
        begin -= 1
    while end < min(len(lines), at + 30):
        if lines[end].lstrip().startswith(("@", "```")):
            break
        end += 1
    return lines[begin:end]


def _citations(card: Card, lines: list[str], body: int) -> Iterator[Citation]:
    spans = [
        (s.line, s.line + s.text.count("\n") + 1)
        for s in card.sections
        if re.search(r"cit(?:e|ing|ation)|bibtex", s.title, re.IGNORECASE)
    ]
    for i in range(body, len(lines)):
        match = _BIBTEX_TITLE.search(lines[i])
        if not match:
            continue
        around = "\n".join(_entry_around(lines, body, i))
        arxiv = _BIBTEX_ARXIV.search(around)
        inside = any(begin <= i + 1 <= end for begin, end in spans)
        title = match[1].replace("{", "").replace("}", "")
        yield Citation(title, arxiv[1] if arxiv else None, i + 1, inside)
