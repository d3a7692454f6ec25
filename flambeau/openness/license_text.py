"""Identify a licence by its text, offline, against the texts of the SPDX License List.

The texts are packaged as normalised words (``data/license_texts.xz``). A file is compared with the
nearest of them by runs of words: what the licence says and the file does not, and the other way
round, is found with its line, so that a licence with an added condition is never taken for the
licence itself. Rules of normalisation: SPDX matching guidelines (case, punctuation, quotes,
copyright lines, bullets, spelling variants).
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, Literal

from flambeau.openness.errors import OpennessError
from flambeau.openness.licenses import DATA

Confidence = Literal["certain", "likely", "doubtful"]

TEXTS: Final = DATA / "license_texts.xz"
MAXIMUM_BYTES: Final = 512 << 10
RUN: Final = 4
"""Words that must agree in a row to count as the same passage."""

CANDIDATES: Final = 12
LIKELY_COVERAGE: Final = 0.95
DOUBTFUL_COVERAGE: Final = 0.80
SHORT_ADDITION: Final = 12
"""Added passages of up to this many words (names, titles) are tolerated."""

_WORD: Final = re.compile(r"[a-z0-9]+(?:\.[0-9]+)*")
_COPYRIGHT: Final = re.compile(
    r"(?:portions\s+)?(?:copyright\s*(?:\(c\)|©|[\[<{(]|\d{4}|notice:?$)|©|\(c\)\s+(?:copyright|\d{4})"
    r"|all rights reserved\.?$)",
    re.IGNORECASE,
)
_BULLET: Final = re.compile(
    r"(?:\(?(?:[0-9]{1,2}|[a-z]|[ivx]{1,4})[.)]\s+|[*•-]\s+)+", re.IGNORECASE
)
_MARKUP: Final = "#*/<!->;|= \t"
_VARIANTS: Final = {
    "licence": "license",
    "licences": "licenses",
    "licenced": "licensed",
    "acknowledgement": "acknowledgment",
    "authorised": "authorized",
    "authorisation": "authorization",
    "favour": "favor",
    "merchantibility": "merchantability",
    "organisation": "organization",
    "recognised": "recognized",
    "whilst": "while",
    "https": "http",
    "holders": "holder",
    "owner": "holder",
    "owners": "holder",
}
NEGATIONS: Final = frozenset(
    [
        "not",
        "no",
        "never",
        "only",
        "noncommercial",
        "commercial",
        "prohibited",
        "forbidden",
        "except",
        "without",
        "fee",
        "free",
    ]
)
"""Words that reverse a passage, even alone."""

RESTRICTING: Final = NEGATIONS | frozenset(
    [
        "military",
        "unless",
        "prohibit",
        "restricted",
        "restrict",
        "restriction",
        "must",
        "shall",
        "research",
        "academic",
        "weapon",
        "weapons",
        "harm",
        "ethical",
        "revoke",
        "approval",
        "royalty",
        "million",
        "users",
        "provided",
        "condition",
        "conditions",
        "additional",
        "exclude",
        "excluded",
        "excluding",
    ]
)
"""Words that make an added passage a possible condition."""

_VERSION_CHANGES: Final = {
    "OpenMDW-1.1": (
        "OpenMDW-1.0",
        (("1.0", "1.1"), ("any patent then", "any patent or copyright then")),
    )
}
"""Licences that the packaged list lacks, as changes to the words of one that it has."""


_SHORTER: Final = {
    "Apache-2.0": (
        "without-instructions",
        "appendix how to apply the apache license",
        "licensed under the apache license version 2.0",
    ),
    "LGPL-3.0-only": ("alone", "gnu general public license version 3 29 june 2007", None),
}
"""Shorter forms in which some texts are usually found: without the words from one passage up to
another (or the end)."""

HARMLESS_ADDITIONS: Final = (
    """does not permit incorporating your program into proprietary programs. If your program is a
    subroutine library, you may consider it more useful to permit linking proprietary applications
    with the library. If this is what you want to do, use the GNU Lesser General Public License
    instead""",
)
"""Passages that usual copies have and the packaged texts lack (the end of GPL-2.0's appendix)."""


@dataclass(frozen=True)
class Passage:
    """A run of words that only one of the two texts has; ``line`` where it is the file's."""

    words: tuple[str, ...]
    line: int | None = None

    def __str__(self) -> str:
        text = " ".join(self.words[:12]) + (" …" if len(self.words) > 12 else "")
        return f"line {self.line}: “{text}”" if self.line else f"“{text}”"

    @property
    def restricts(self) -> bool:
        """Whether the passage may add or take away a condition."""
        telling = NEGATIONS if len(self.words) <= 2 else RESTRICTING
        return bool(telling.intersection(self.words))


@dataclass(frozen=True)
class TextMatch:
    """What a licence text is.

    Attributes:
        identifier: the nearest SPDX identifier.
        confidence: ``certain`` (the same words), ``likely`` (only names, titles, preamble or
            appendix differ) or ``doubtful``.
        coverage: the share of the licence's words that the file has.
        added, omitted: passages that only the file, only the licence has.
        others: identifiers with the same text.
        missing_ends: words of the licence's preamble and appendix that the file lacks.
        compared_with: the packaged text.
    """

    identifier: str
    confidence: Confidence
    coverage: float
    added: tuple[Passage, ...] = ()
    omitted: tuple[Passage, ...] = ()
    others: tuple[str, ...] = ()
    note: str = ""
    missing_ends: int = 0
    compared_with: str = ""


@dataclass(frozen=True)
class _Words:
    """Normalised words and the line of each."""

    words: tuple[str, ...]
    lines: tuple[int, ...]


def normalise(text: str) -> _Words:
    """Words of a text as they are compared; copyright lines and markup are dropped."""
    words: list[str] = []
    lines: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip(_MARKUP)
        if _COPYRIGHT.match(line):
            continue
        line = _BULLET.sub("", line, count=1) if _BULLET.match(line) else line
        for word in _WORD.findall(line.casefold()):
            words.append(_VARIANTS.get(word, word))
            lines.append(number)
    return _Words(tuple(words), tuple(lines))


def decode_license(raw: bytes, file: str) -> str:
    """The text of a licence file.

    Raises:
        OpennessError: if it is too large or not text.
    """
    if len(raw) > MAXIMUM_BYTES:
        raise OpennessError(f"too large for a licence text (over {MAXIMUM_BYTES} bytes)", file)
    if b"\0" in raw[:4] and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace")
    controls = sum(1 for byte in raw if byte < 32 and byte not in b"\t\n\r\f\v\x1b")
    if controls > len(raw) // 200:
        raise OpennessError("is not text, so no licence can be read from it", file)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def identify_text(text: str) -> list[TextMatch]:
    """The licences whose texts a file holds, the largest first; empty where there is none.

    Several licences one after the other are told apart; whether they are a choice or all apply is
    not in the texts.
    """
    file = normalise(text)
    first = _best_match(file)
    if first is None:
        return []
    found = [first]
    rest = _without(file, first)
    while len(found) < 5 and len(rest.words) >= 20:
        match = _further_match(file, rest)
        if match is None:
            break
        found.append(match)
        rest = _without(rest, match)
    return found if len(found) == 1 else [_one_of_several(match) for match in found]


def _further_match(file: _Words, rest: _Words) -> TextMatch | None:
    """A licence that the file holds whole, and that explains much of what is left of it."""
    best: TextMatch | None = None
    best_gain = 0
    for identifier in _nearest(rest.words, 0.4):
        match = _compare(file, identifier)
        gain = len(rest.words) - len(_without(rest, match).words)
        size = len(_texts()[identifier])
        if match.coverage >= LIKELY_COVERAGE and gain > max(best_gain, 0.4 * size):
            best, best_gain = match, gain
    return best


def _best_match(file: _Words) -> TextMatch | None:
    if len(file.words) < 8:
        return None
    if file.words in _exact():
        identifier = _exact()[file.words]
        names = _names(identifier)
        return TextMatch(names[0], "certain", 1.0, others=names[1:], compared_with=identifier)
    matches = [_compare(file, identifier) for identifier in _nearest(file.words)]
    best = max(matches, key=_score, default=None)
    return best if best and best.coverage >= DOUBTFUL_COVERAGE else None


def _score(match: TextMatch) -> float:
    """Words in common, less what differs: gaps inside the licence weigh most."""
    omitted = sum(len(passage.words) for passage in match.omitted)
    added = sum(len(passage.words) for passage in match.added)
    shared = match.coverage * len(_texts()[match.compared_with])
    return shared - 3 * (omitted - match.missing_ends) - 0.25 * match.missing_ends - added


def _nearest(words: Sequence[str], share: float = 0.75) -> list[str]:
    """Licences by how much of their vocabulary the file has, nearest first."""
    ours = frozenset(words)
    scores: list[tuple[float, str]] = []
    for identifier, theirs in _vocabularies().items():
        shared = len(ours & theirs)
        if shared < share * len(theirs):
            continue
        scores.append((2 * shared / (len(ours) + len(theirs)) + shared / len(theirs), identifier))
    scores.sort(key=lambda pair: (-pair[0], pair[1]))
    return [identifier for _, identifier in scores[:CANDIDATES]]


def _compare(file: _Words, identifier: str) -> TextMatch:
    license_words = _texts()[identifier]
    in_file = _covered(license_words, _runs(file.words))
    in_license = _covered(file.words, _runs(license_words))
    size = len(license_words)
    gaps = list(_gaps(in_file))
    omitted = [Passage(license_words[a:b]) for a, b in gaps]
    inner = [Passage(license_words[a:b]) for a, b in gaps if a > 0 and b < size]
    added = [Passage(file.words[a:b], file.lines[a]) for a, b in _gaps(in_license)]
    added = [passage for passage in added if not _is_harmless(passage)]
    coverage = sum(in_file) / size
    ends = sum(len(p.words) for p in omitted) - sum(len(p.words) for p in inner)
    confidence = _confidence(coverage, ends, inner, added, size)
    names = _names(identifier)
    return TextMatch(
        names[0],
        confidence,
        coverage,
        tuple(added),
        tuple(omitted),
        names[1:],
        missing_ends=ends,
        compared_with=identifier,
    )


def _confidence(
    coverage: float, ends: int, inner: Sequence[Passage], added: Sequence[Passage], size: int
) -> Confidence:
    """Only names, titles and a missing preamble or appendix may differ in a likely match."""
    if coverage + ends / size < LIKELY_COVERAGE or ends > 0.25 * size:
        return "doubtful"
    if any(len(p.words) > SHORT_ADDITION for p in inner):
        return "doubtful"
    if any(len(p.words) > SHORT_ADDITION or p.restricts for p in added):
        return "doubtful"
    if any(len(p.words) <= 3 and NEGATIONS.intersection(p.words) for p in inner):
        return "doubtful"
    return "likely"


def _runs(words: Sequence[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1))


def _covered(words: Sequence[str], runs: frozenset[tuple[str, ...]]) -> list[bool]:
    """Which words stand in a run that the other text has too."""
    covered = [False] * len(words)
    for i in range(len(words) - RUN + 1):
        if tuple(words[i : i + RUN]) in runs:
            covered[i : i + RUN] = [True] * RUN
    return covered


def _gaps(covered: Sequence[bool]) -> Iterable[tuple[int, int]]:
    start: int | None = None
    for i, is_covered in enumerate([*covered, True]):
        if not is_covered and start is None:
            start = i
        elif is_covered and start is not None:
            yield start, i
            start = None


def _without(file: _Words, match: TextMatch) -> _Words:
    """The file without the passages of a licence that was found in it."""
    covered = _covered(file.words, _runs(_texts()[match.compared_with]))
    kept = [i for i, is_covered in enumerate(covered) if not is_covered]
    return _Words(tuple(file.words[i] for i in kept), tuple(file.lines[i] for i in kept))


def _one_of_several(match: TextMatch) -> TextMatch:
    note = (
        "one of several licence texts in this file; a choice or all of them? the text does not say"
    )
    return replace(match, confidence="doubtful", added=(), note=note)


@cache
def _texts() -> Mapping[str, tuple[str, ...]]:
    packed = lzma.decompress(TEXTS.read_bytes()).decode("utf-8")
    texts = {k: tuple(v.split()) for k, v in json.loads(packed)["licenses"].items()}
    for identifier, (base, changes) in _VERSION_CHANGES.items():
        words = " ".join(texts[base])
        for old, new in changes:
            words = words.replace(old, new)
        texts[identifier] = tuple(words.split())
    for identifier, (name, start, end) in _SHORTER.items():
        whole = texts[identifier]
        first = _find(whole, start, 50)
        last = _find(whole, end, first) if end else len(whole)
        texts[f"{identifier}#{name}"] = whole[:first] + whole[last:]
    return texts


def _find(words: tuple[str, ...], passage: str, begin: int) -> int:
    """Where a passage starts; packaged texts that lack it are a broken package."""
    sought = tuple(passage.split())
    for i in range(begin, len(words) - len(sought) + 1):
        if words[i : i + len(sought)] == sought:
            return i
    raise OpennessError(f"a packaged text lacks “{passage}”", str(TEXTS))


def _is_harmless(passage: Passage) -> bool:
    words = " " + " ".join(passage.words) + " "
    return len(passage.words) > 5 and any(words in known for known in _harmless())


@cache
def _harmless() -> tuple[str, ...]:
    return tuple(f" {' '.join(normalise(text).words)} " for text in HARMLESS_ADDITIONS)


@cache
def _vocabularies() -> Mapping[str, frozenset[str]]:
    return {identifier: frozenset(words) for identifier, words in _texts().items() if words}


@cache
def _exact() -> Mapping[tuple[str, ...], str]:
    """Identifiers by text; of several with the same text, any one of them."""
    return {words: identifier for identifier, words in _texts().items()}


_GNU: Final = re.compile(
    r"((?:A|L)?GPL-[0-9.]+|GFDL-[0-9.]+)(?:-(?:no-)?invariants)?(?:-only|-or-later|\+)?"
)


@cache
def _names(identifier: str) -> tuple[str, ...]:
    """The identifiers of a text, the narrowest first: a GNU text does not say "or later"."""
    identifier = identifier.partition("#")[0]
    gnu = _GNU.fullmatch(identifier)
    if gnu:
        return (f"{gnu[1]}-only", f"{gnu[1]}-or-later")
    words = _texts()[identifier]
    others = [
        other
        for other, text in _texts().items()
        if text == words and other != identifier and "#" not in other
    ]
    return tuple(sorted([identifier, *others], key=lambda name: (len(name), name)))


def pack_texts(texts: Mapping[str, str]) -> bytes:
    """Licence texts as the packaged file stores them: normalised words, compressed."""
    words = {k: " ".join(normalise(texts[k]).words) for k in sorted(texts)}
    document = json.dumps({"licenses": words}, separators=(",", ":"))
    return lzma.compress(document.encode(), preset=9 | lzma.PRESET_EXTREME)


def read_texts(folder: Path) -> dict[str, str]:
    """Licence texts of a folder: SPDX's ``ID.txt``, or ``ID.json`` with ``licenseText``."""
    texts: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".txt":
            texts[path.stem] = path.read_text("utf-8")
        elif path.suffix == ".json":
            texts[path.stem] = str(json.loads(path.read_text("utf-8")).get("licenseText", ""))
    if not texts:
        raise OpennessError("holds no licence texts (ID.txt or ID.json)", str(folder))
    return texts
