"""``inspect``: from a folder to a proposed model file, with evidence for every field.

Nothing is invented: what was not found is absent; what is doubtful stands in the proposal as a
comment for a person, and does not count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flambeau.openness.components import BY_NAME, BY_NUMBER, BY_WEIGHT, Component
from flambeau.openness.detection import Findings, detect
from flambeau.openness.errors import OpennessError, display_name
from flambeau.openness.evaluator import resolve_license
from flambeau.openness.evidence import Evidence, Found, best
from flambeau.openness.license_evidence import LicenseFinding, collect_licenses
from flambeau.openness.licenses import LicenseTable, current_table
from flambeau.openness.model import UNLICENSED, ModelFile, parse_model
from flambeau.openness.tree import Folder, Progress, Tree, text_of

COMPONENT_SCOPE: Final = "component "
"""Scope of a licence that a model file declares for one component."""

MODEL_FILES: Final = ("mof.yml", "mof.yaml", "MOF.yml", "MOF.yaml")
FRAMEWORK: Final = {"name": "Model Openness Framework", "version": "1.0", "date": "2024-12-15"}

_TYPES: Final = {
    "text-generation": "language",
    "text2text-generation": "language",
    "fill-mask": "language",
    "text-classification": "language",
    "translation": "language",
    "summarization": "language",
    "question-answering": "language",
    "image-classification": "vision",
    "object-detection": "vision",
    "image-segmentation": "vision",
    "text-to-image": "image",
    "image-to-image": "image",
    "automatic-speech-recognition": "audio",
    "text-to-speech": "audio",
    "audio-classification": "audio",
    "text-to-video": "video",
    "image-text-to-text": "multimodal",
    "any-to-any": "multimodal",
}


@dataclass
class Proposal:
    """One component of the proposed file.

    Attributes:
        license: the licence to write; None inherits the distribution's.
        license_evidence: where that licence was found.
    """

    component: Component
    found: Found
    license: str | None = None
    license_evidence: list[Evidence] = field(default_factory=list[Evidence])
    path: str = ""


@dataclass
class Inspection:
    """What a folder shows.

    Attributes:
        yaml: the proposed model file, valid by the official schema, with its evidence as comments.
        doubts: what a person has to decide.
        notes: what was left out or could not be read.
        model_file: the folder's own model file, if it has one.
        producer: who made it, as that file says.
        producer_place: where it says so.
    """

    name: str
    proposals: list[Proposal]
    doubtful: list[Found]
    distribution: LicenseFinding | None
    licenses: list[LicenseFinding]
    doubts: list[str]
    notes: list[str]
    yaml: str = ""
    model_file: str = ""
    producer: str = ""
    producer_place: str = ""

    @property
    def model(self) -> ModelFile:
        """The proposed file, parsed."""
        return parse_model(self.yaml, f"{self.name} (proposed)")

    def evidence_for(self, number: int) -> list[Evidence]:
        for proposal in self.proposals:
            if proposal.component.number == number:
                return [*proposal.found.sorted_evidence(), *proposal.license_evidence]
        for found in self.doubtful:
            if found.number == number:
                return found.sorted_evidence()
        return []

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "distribution_license": self.distribution and self.distribution.name,
            "components": [
                {
                    "name": p.component.name,
                    "license": p.license,
                    "component_path": display_name(p.path),
                    "confidence": p.found.confidence,
                    "evidence": [e.as_json() for e in p.found.sorted_evidence()],
                    "license_evidence": [e.as_json() for e in p.license_evidence],
                }
                for p in self.proposals
            ],
            "to_confirm": [
                {
                    "name": BY_NUMBER[f.number].name,
                    "evidence": [e.as_json() for e in f.sorted_evidence()],
                }
                for f in self.doubtful
            ],
            "licenses": [
                {"license": f.name, "scope": display_name(f.scope), **f.evidence.as_json()}
                for f in self.licenses
            ],
            "doubts": self.doubts,
            "notes": self.notes,
            "yaml": self.yaml,
        }


def inspect(
    folder: Path | str | Tree,
    table: LicenseTable | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Find the components and licences of a model folder.

    Args:
        folder: a path, or the files of a :class:`~flambeau.openness.tree.Tree`.
        table: the licences; by default the current ones.
        progress: called now and then while the files are listed.

    Raises:
        OpennessError: if the folder cannot be read.
    """
    tree = Folder(Path(folder), progress=progress) if isinstance(folder, str | Path) else folder
    findings = detect(tree)
    own = _model_file(findings)
    declared = _declared_licenses(findings, own) if own else []
    licenses = [*collect_licenses(findings, table or current_table()), *declared]
    doubts: list[str] = []
    distribution = _distribution(licenses, doubts)
    proposals, doubtful = _proposals(findings, licenses, distribution, doubts)
    notes = [*tree.notes, *findings.notes]
    inspection = Inspection(
        _name(findings, own), proposals, doubtful, distribution, licenses, doubts, notes
    )
    inspection.model_file = _model_file_name(tree)
    if own:
        inspection.producer = _text(own.release.get("producer"))
        inspection.producer_place = own.document.file
    inspection.yaml = "\n".join(_yaml(inspection, findings)) + "\n"
    return inspection


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _name(findings: Findings, own: ModelFile | None) -> str:
    """The name that the folder's model file or its card gives, else the folder's."""
    front = findings.card.front if findings.card else {}
    said = (own.release.get("name") if own else "", front.get("model_name"), findings.tree.name)
    return next(filter(None, map(_text, said)), "")


def _model_file_name(tree: Tree) -> str:
    paths = {file.path for file in tree.files}
    return next((name for name in MODEL_FILES if name in paths), "")


def _model_file(findings: Findings) -> ModelFile | None:
    """The folder's own model file, if it has one that can be read."""
    name = _model_file_name(findings.tree)
    if not name:
        return None
    try:
        return parse_model(text_of(findings.tree, name, 1 << 20), name)
    except OpennessError as error:
        findings.notes.append(str(error))
        return None


def _declared_licenses(findings: Findings, model: ModelFile) -> list[LicenseFinding]:
    """What the folder's model file lists and what is there is evidence.

    Returns:
        the licences that it declares, each for one component.
    """
    name = model.document.file
    paths = {file.path for file in findings.tree.files}
    declared: list[LicenseFinding] = []
    folders = {path.rpartition("/")[0] for path in paths}
    for entry in model.entries:
        if entry.name not in BY_NAME or not entry.component_path:
            continue
        path = entry.component_path.rstrip("/")
        if path in paths or path in folders or any(p.startswith(path + "/") for p in folders):
            text = f"{name} lists it, and {path} is there"
            findings.add(entry.number, text, "likely", name, entry.line, path)
            license_name = resolve_license(model, entry)[0]
            evidence = Evidence(f"declares {license_name!r}", "likely", name, entry.line)
            scope = f"{COMPONENT_SCOPE}{entry.number}"
            declared.append(LicenseFinding(license_name, True, scope, None, "declared", evidence))
        elif "://" not in path:
            findings.notes.append(f"{name}:{entry.line}: {path} is listed, but not there")
    return declared


def _distribution(licenses: list[LicenseFinding], doubts: list[str]) -> LicenseFinding | None:
    """The licence of the whole, if the folder says one thing about it."""
    whole = [f for f in licenses if f.scope == "" and f.content_type is None]
    unusable = [finding.evidence for finding in whole if not finding.is_usable]
    doubts += [f"{evidence.place}: {evidence.text}; not counted" for evidence in unusable]
    texts = [f for f in whole if f.kind == "text"]
    usable = [f for f in whole if f.is_usable]
    names = list(dict.fromkeys(f.name for f in usable))
    if len(names) > 1:
        said = "; ".join(f"{f.evidence.place}: {f.name}" for f in usable)
        doubts.append(f"the folder names several licences for the whole ({said}); choose one")
        return None
    if any(not f.is_usable for f in texts) and names:
        doubts.append(
            f"{names[0]} is declared, but the licence text differs from it; a person must decide"
        )
        return None
    return usable[0] if usable else None


def _proposals(
    findings: Findings,
    licenses: list[LicenseFinding],
    distribution: LicenseFinding | None,
    doubts: list[str],
) -> tuple[list[Proposal], list[Found]]:
    proposals: list[Proposal] = []
    doubtful: list[Found] = []
    for component in BY_WEIGHT:
        found = findings.components.get(component.number)
        if found is None:
            continue
        if not found.is_proposed:
            doubtful.append(found)
            strongest = best(found.evidence)
            if strongest:
                doubts.append(f"{component.name}? {strongest.place}: {strongest.text}")
            continue
        proposal = Proposal(component, found)
        strongest = best(found.evidence)
        proposal.path = (strongest.artefact or strongest.file) if strongest else ""
        _license_component(proposal, licenses, distribution, doubts)
        proposals.append(proposal)
    return proposals, doubtful


def _license_component(
    proposal: Proposal,
    licenses: list[LicenseFinding],
    distribution: LicenseFinding | None,
    doubts: list[str],
) -> None:
    """The licence of one component: its own headers, the nearest LICENSE, its type, the whole."""
    name = proposal.component.name
    if "://" in proposal.path:
        proposal.license = UNLICENSED
        doubts.append(f"{name}: the licence of {proposal.path} is not in this folder; look it up")
        return
    chosen = _applicable(proposal, licenses)
    if not chosen:
        return
    names = list(dict.fromkeys(finding.name for finding in chosen))
    proposal.license_evidence = [finding.evidence for finding in chosen]
    if len(names) > 1:
        doubts.append(f"{name}: several licences ({', '.join(names)}); the strictest applies")
    text = " AND ".join(names)
    if distribution is None or text != distribution.name:
        proposal.license = text


def _applicable(proposal: Proposal, licenses: list[LicenseFinding]) -> list[LicenseFinding]:
    """The licences that speak for this component more closely than the whole folder's."""
    files = {e.file for e in proposal.found.evidence if e.confidence != "doubtful"}
    usable = [finding for finding in licenses if finding.is_usable]
    headers = [f for f in usable if f.kind == "header" and f.scope in files]
    if headers:
        return headers
    in_weights = [f for f in usable if f.kind == "declared" and f.scope in files]
    if in_weights:
        return in_weights
    folder = proposal.path.rpartition("/")[0]
    while folder:
        nearest = [f for f in usable if f.kind == "text" and f.scope == folder]
        if nearest:
            return nearest[:1]
        folder = folder.rpartition("/")[0]
    scope = f"{COMPONENT_SCOPE}{proposal.component.number}"
    declared = [f for f in usable if f.scope == scope]
    if declared:
        return declared
    kind = proposal.component.content_type
    typed = [f for f in usable if f.scope == "" and f.content_type == kind]
    typed = [f for f in typed if f.kind == "text"] or typed
    return typed[:1]


def _yaml(inspection: Inspection, findings: Findings) -> Iterator[str]:
    """The lines of the proposed model file."""
    yield "# Proposed by flambeau openness inspect. Lines that begin with '#?' are for a person:"
    yield "# they do not count until the '#? ' is taken away."
    yield "framework:"
    for key, value in FRAMEWORK.items():
        yield f"  {key}: {_quote(value)}"
    yield "release:"
    yield f"  name: {_quote(inspection.name)}"
    place = inspection.producer_place
    said = f"{place} says so" if inspection.producer else "not found: who made it?"
    yield f"  producer: {_quote(inspection.producer)}  # {said}"
    front = findings.card.front if findings.card else {}
    kind = _TYPES.get(str(front.get("pipeline_tag")))
    if kind and findings.card:
        line = findings.card.front_lines.get("pipeline_tag")
        yield f"  type: {_quote(kind)}  # {findings.card_file}:{line}: {front['pipeline_tag']}"
    yield from _yaml_license(inspection)
    yield "  components:" + ("" if inspection.proposals else " []")
    for proposal in inspection.proposals:
        yield from _yaml_component(proposal)
    for found in inspection.doubtful:
        yield f"#?     - name: {_quote(BY_NUMBER[found.number].name)}"
        for evidence in found.sorted_evidence()[:3]:
            yield f"#?       # {_comment(evidence)}"


def _yaml_license(inspection: Inspection) -> Iterator[str]:
    finding = inspection.distribution
    if finding is None:
        yield "  license: {}  # no one licence for the whole was found"
        return
    yield "  license:"
    yield "    distribution:"
    yield f"      # {_comment(finding.evidence)}"
    yield f"      name: {_quote(finding.name)}"
    yield f"      path: {_quote(finding.evidence.file)}"


def _yaml_component(proposal: Proposal) -> Iterator[str]:
    yield f"    - name: {_quote(proposal.component.name)}"
    for evidence in proposal.found.sorted_evidence()[:3]:
        yield f"      # {_comment(evidence)}"
    yield f"      component_path: {_quote(proposal.path)}"
    if proposal.license is not None:
        for evidence in proposal.license_evidence[:3]:
            yield f"      # licence: {_comment(evidence)}"
        yield f"      license: {_quote(proposal.license)}"


def _comment(evidence: Evidence) -> str:
    text = f"{evidence.confidence}: {evidence.place}: {evidence.text}"
    return re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text))[:300]


def _quote(text: str) -> str:
    """A YAML string in double quotes; JSON's are a subset."""
    return json.dumps(display_name(text), ensure_ascii=False)
