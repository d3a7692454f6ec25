"""Licences of a folder: LICENSE files by their text, SPDX headers, and what the card declares."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any, Final

from flambeau.openness.components import ContentType
from flambeau.openness.detection import CODE_SUFFIXES, Findings
from flambeau.openness.errors import OpennessError, as_list
from flambeau.openness.evidence import Confidence, Evidence
from flambeau.openness.license_text import MAXIMUM_BYTES, TextMatch, decode_license, identify_text
from flambeau.openness.licenses import LicenseTable
from flambeau.openness.spelling import normalise
from flambeau.openness.strict import NEW_LICENSES
from flambeau.openness.tree import File, Tree, text_of

HEADER_BYTES: Final = 4096
MAXIMUM_HEADERS: Final = 3_000
MAXIMUM_LICENSE_FILES: Final = 200

_LICENSE_NAME: Final = re.compile(
    r"^(?:un)?licen[cs]es?(?:[-_.][^/]*)?$|^copying(?:[-_.][^/]*)?$|^[^/]*[-_.]licen[cs]e(?:\.(?:md|txt|rst))?$",
    re.IGNORECASE,
)
_SPDX_HEADER: Final = re.compile(
    r"SPDX-License-Identifier:\s*([^\n\r*]+?)\s*(?:\*/|-->|#}|$)", re.M
)
_TITLE: Final = re.compile(r"licen[cs]e|agreement|terms", re.IGNORECASE)
_TYPES: Final[tuple[tuple[str, ContentType], ...]] = (
    (r"code|software|src", "code"),
    (r"model|weights?|param|data(?:set)?", "data"),
    (r"docs?|documentation|content", "document"),
)


@dataclass(frozen=True)
class LicenseFinding:
    """One licence and what it applies to.

    Attributes:
        name: the SPDX identifier, or the words of the source where it is none.
        is_spdx: whether ``name`` is an SPDX identifier or expression.
        scope: the folder it covers ('' is all of it), or a file for SPDX headers.
        content_type: the only type it covers, where its file's name says so.
        kind: ``text``, ``header`` or ``declared``.
    """

    name: str
    is_spdx: bool
    scope: str
    content_type: ContentType | None
    kind: str
    evidence: Evidence

    @property
    def is_usable(self) -> bool:
        return self.evidence.confidence != "doubtful" and bool(self.name)


def collect_licenses(findings: Findings, table: LicenseTable) -> list[LicenseFinding]:
    """Every licence that the folder shows, the surest sources first."""
    found = [
        *_license_files(findings),
        *_headers(findings, table),
        *_declared(findings, table),
    ]
    order = {"header": 0, "text": 1, "declared": 2}
    return sorted(found, key=lambda f: order[f.kind])


def _license_files(findings: Findings) -> list[LicenseFinding]:
    files = [f for f in findings.tree.files if _is_license_file(f)]
    if len(files) > MAXIMUM_LICENSE_FILES:
        findings.notes.append(
            f"{len(files)} licence files: only the first {MAXIMUM_LICENSE_FILES} were read"
        )
    found: list[LicenseFinding] = []
    for file in sorted(files, key=lambda f: (f.path.count("/"), f.path))[:MAXIMUM_LICENSE_FILES]:
        try:
            text = decode_license(findings.tree.read(file.path, MAXIMUM_BYTES + 1), file.path)
        except OpennessError as error:
            findings.notes.append(str(error))
            continue
        found.append(_from_text(file, text))
    return found


def _is_license_file(file: File) -> bool:
    if file.suffix in CODE_SUFFIXES or file.suffix in (".json", ".yml", ".yaml", ".html", ".pdf"):
        return False
    return bool(_LICENSE_NAME.match(file.name)) or file.folder.upper() == "LICENSES"


def _from_text(file: File, text: str) -> LicenseFinding:
    """What the text of a licence file is; a changed text is never taken for the licence."""
    scope = file.folder  # texts under LICENSES/ are referred to from elsewhere and cover nothing
    covered = content_type_of_name(file.name)
    matches = identify_text(text)
    if not matches:
        line, title = _title(text)
        known = f"“{title}”: " if title else ""
        evidence = Evidence(
            f"{known}the text is none of the SPDX list", "doubtful", file.path, line
        )
        return LicenseFinding(title, False, scope, covered, "text", evidence)
    confidence = _weakest(matches)
    name = " AND ".join(match.identifier for match in matches)
    said = "; ".join(_describe(match) for match in matches)
    evidence = Evidence(said, confidence, file.path, 1)
    return LicenseFinding(name, True, scope, covered, "text", evidence)


def _weakest(matches: list[TextMatch]) -> Confidence:
    levels = [match.confidence for match in matches]
    return next(c for c in ("doubtful", "likely", "certain") if c in levels)


def _describe(match: TextMatch) -> str:
    said = f"the text of {match.identifier}"
    if match.others:
        said += f" (the same text as {', '.join(match.others)})"
    if match.confidence == "certain":
        return said
    said += f", {match.coverage:.0%} of its words"
    changes = [f"added at {p}" for p in match.added] + [f"lacking {p}" for p in match.omitted]
    if match.note:
        said += f"; {match.note}"
    if match.confidence == "doubtful" and changes:
        said += "; " + "; ".join(changes[:4])
    return said


def _title(text: str) -> tuple[int | None, str]:
    """A heading near the top that names a licence or agreement, and its line."""
    for number, line in enumerate(text.splitlines()[:12], 1):
        cleaned = line.strip(" #*=-\t")
        if 5 < len(cleaned) <= 100 and _TITLE.search(cleaned):
            return number, cleaned
    return None, ""


def content_type_of_name(name: str) -> ContentType | None:
    """The type that a licence file's name restricts it to: LICENSE-CODE, MODEL_LICENSE."""
    rest = re.sub(r"(?i)licen[cs]es?|copying|\.(?:md|txt|rst)$", "", name)
    for pattern, content_type in _TYPES:
        if re.search(rf"(?i)(?:^|[-_.])(?:{pattern})(?:[-_.]|$)", rest):
            return content_type
    return None


def _headers(findings: Findings, table: LicenseTable) -> list[LicenseFinding]:
    found: list[LicenseFinding] = []
    suffixes = CODE_SUFFIXES | {".md", ".yml", ".yaml", ".toml", ".txt", ".tex"}
    files = [f for f in findings.tree.files if f.suffix in suffixes and not _is_license_file(f)]
    for file in files[:MAXIMUM_HEADERS]:
        text = text_of(findings.tree, file.path, HEADER_BYTES)
        match = _SPDX_HEADER.search(text)
        if match is None:
            continue
        line = text.count("\n", 0, match.start()) + 1
        name, is_spdx = _as_identifier(match[1].strip(" \"'"), table)
        evidence = Evidence(f"SPDX header: {match[1].strip()}", "certain", file.path, line)
        found.append(LicenseFinding(name, is_spdx, file.path, None, "header", evidence))
    return found


def _as_identifier(text: str, table: LicenseTable) -> tuple[str, bool]:
    spelling = normalise(text, table, NEW_LICENSES)
    if spelling.identifier is not None:
        return spelling.identifier, True
    return text, bool(re.search(r"\s(?:AND|OR|WITH)\s", text))


def _declared(findings: Findings, table: LicenseTable) -> list[LicenseFinding]:
    """The card's licence tag, the metadata of weight files, pyproject.toml."""
    found: list[LicenseFinding] = []
    card = findings.card
    if card and card.front.get("license") is not None:
        tag = card.front["license"]
        text = " AND ".join(map(str, as_list(tag) or [tag]))
        if text == "other" and card.front.get("license_name"):
            text = str(card.front["license_name"])
        line = card.front_lines.get("license")
        evidence = Evidence(f"the card declares {text!r}", "likely", findings.card_file, line)
        found.append(_declaration(text, "", None, evidence, table))
    for path, header in findings.headers.items():
        declared = header.metadata.get("general.license") or header.metadata.get("license")
        if declared:
            evidence = Evidence(f"the header of the weights says {declared!r}", "likely", path)
            found.append(_declaration(declared, path, "data", evidence, table))
    found += _pyproject(findings.tree, table)
    return found


def _declaration(
    text: str, scope: str, covered: ContentType | None, evidence: Evidence, table: LicenseTable
) -> LicenseFinding:
    name, is_spdx = _as_identifier(text.strip(), table)
    return LicenseFinding(name, is_spdx, scope, covered, "declared", evidence)


def _pyproject(tree: Tree, table: LicenseTable) -> list[LicenseFinding]:
    if not any(file.path == "pyproject.toml" for file in tree.files):
        return []
    text = text_of(tree, "pyproject.toml", 256 << 10)
    try:
        project: dict[str, Any] = tomllib.loads(text).get("project", {})
        declared: Any = project.get("license")
    except (tomllib.TOMLDecodeError, AttributeError, RecursionError):
        return []
    if isinstance(declared, dict):
        declared = project["license"].get("text")
    if not isinstance(declared, str):
        return []
    at = text.find("license")
    line = text.count("\n", 0, at) + 1 if at >= 0 else None
    evidence = Evidence(f"the project declares {declared!r}", "likely", "pyproject.toml", line)
    return [_declaration(declared, "", "code", evidence, table)]
