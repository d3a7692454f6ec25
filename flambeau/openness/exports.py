"""A verdict for machines: badges, OCI annotations and an SPDX 3 bill of materials."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from xml.sax.saxutils import escape

from flambeau.openness.components import (
    BY_NUMBER,
    BY_WEIGHT,
    CLASS_LABELS,
    CLASSES,
    COMPONENTS,
    Component,
)
from flambeau.openness.evaluator import Verdict
from flambeau.openness.model import UNLICENSED

_COLOURS: Final = {"Qualified": "#4c1", "Not met": "#9ba0a2", "In progress": "#76b1c9"}
_CHARACTER_WIDTH: Final = 6.6

SPDX_CONTEXT: Final = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"


def badge_text(progress: float) -> tuple[str, str]:
    """The official wording and colour for the progress of a class."""
    if progress == 100:
        return "Qualified", _COLOURS["Qualified"]
    if progress == 0:
        return "Not met", _COLOURS["Not met"]
    return f"In progress ({math.floor(progress + 0.5)}%)", _COLOURS["In progress"]


def badge(label: str, progress: float) -> str:
    """A badge of one class as SVG, with the official tool's wording, colours and size."""
    text, colour = badge_text(progress)
    left = round(len(label) * _CHARACTER_WIDTH) + 10
    right = round(len(text) * _CHARACTER_WIDTH) + 10
    title = escape(f"{label}: {text}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<rect width="{left}" height="20" fill="#555"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        '<g fill="#fff" text-anchor="middle" font-family="DejaVu Sans,Verdana,sans-serif" '
        f'font-size="11"><text x="{left / 2}" y="14">{escape(label)}</text>'
        f'<text x="{left + right / 2}" y="14">{escape(text)}</text></g></svg>\n'
    )


def badges(verdict: Verdict) -> dict[int, str]:
    """One badge per class."""
    return {k: badge(CLASS_LABELS[k], verdict.progress[k]) for k in CLASSES}


def oci_annotations(
    verdict: Verdict, framework_version: str = "1.0", has_model_file: bool = True
) -> dict[str, str]:
    """Annotations for an OCI artefact, after the draft of the CNCF (``org.cncf.ai.model.mof``).

    Only components that count are named; the model file itself where ``has_model_file`` says that
    it is in the folder. A class of 0 is written as such.
    """
    counted = [c for c in BY_WEIGHT if verdict.state_of(c) in ("included", "optional")]
    slugs = [c.slug for c in counted] + ["model-openness-config-file"] * has_model_file
    annotations = {
        "org.opencontainers.image.title": verdict.name,
        "org.cncf.ai.model.mof.class": str(verdict.number),
        "org.cncf.ai.model.mof.version": framework_version,
        "org.cncf.ai.model.mof.components": ",".join(slugs),
    }
    licenses = sorted({verdict.judgements[c.number].license for c in counted})
    if licenses:
        annotations["org.opencontainers.image.licenses"] = " AND ".join(licenses)
    return annotations


@dataclass(frozen=True)
class FileFact:
    """A file of the folder, for the bill of materials."""

    path: str
    sha256: str
    component: int


_DOCUMENTATION: Final = {11, 12, 13, 14, 20, 21}
_RELATION: Final = {15: "trainedOn", 19: "testedOn", 17: "hasMetadata", 22: "usesTool"}


class _Graph:
    """The elements of an SPDX 3 document, each with an identifier under one namespace."""

    def __init__(self, namespace: str, created: datetime) -> None:
        self.namespace = namespace
        self.files: dict[str, str] = {}
        self.elements: list[dict[str, Any]] = [
            {
                "type": "CreationInfo",
                "@id": "_:creation",
                "specVersion": "3.0.1",
                "created": created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "createdBy": [f"{namespace}producer"],
            }
        ]

    def add(self, kind: str, identifier: str, /, **fields: Any) -> str:
        address = f"{self.namespace}{identifier}"
        self.elements.append(
            {"type": kind, "spdxId": address, "creationInfo": "_:creation", **fields}
        )
        return address

    def file(self, fact: FileFact) -> str:
        """A file's element: one, however many components it belongs to."""
        if fact.path not in self.files:
            self.files[fact.path] = self.add(
                "software_File",
                f"file-{len(self.files)}",
                name=fact.path,
                verifiedUsing=[{"type": "Hash", "algorithm": "sha256", "hashValue": fact.sha256}],
            )
        return self.files[fact.path]

    def relate(self, source: str, kind: str, targets: Sequence[str]) -> None:
        digest = hashlib.sha256(f"{source} {kind} {targets}".encode()).hexdigest()[:16]
        fields = {"from": source, "relationshipType": kind, "to": list(targets)}
        self.add("Relationship", f"relationship-{digest}", **fields)


def spdx_document(
    verdict: Verdict,
    producer: str = "",
    created: datetime | None = None,
    files: Sequence[FileFact] = (),
    hyperparameters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An SPDX 3.0.1 bill of materials with the AI and Dataset profiles, as JSON-LD.

    Args:
        producer: who made the model; ``NOASSERTION`` where it is not known.
        created: the time of creation; now, if not given.
        files: files with their hashes, by component.
        hyperparameters: of the training run.
    """
    subject = [verdict.as_json(), sorted((fact.path, fact.sha256) for fact in files)]
    digest = hashlib.sha256(json.dumps(subject, sort_keys=True).encode()).hexdigest()
    graph = _Graph(f"https://spdx.org/spdxdocs/{digest[:32]}#", created or datetime.now(UTC))
    graph.add("Organization", "producer", name=producer or "NOASSERTION")
    model = graph.add("ai_AIPackage", "model", **_model_fields(verdict, hyperparameters or {}))
    parts = [model]
    for component in COMPONENTS:
        if component.number in verdict.judgements:
            parts += _add_component(graph, model, component, verdict, files)
    _add_licenses(graph, model, verdict)
    sbom = graph.add("software_Sbom", "sbom", rootElement=[model], element=parts)
    graph.add(
        "SpdxDocument",
        "document",
        rootElement=[sbom],
        element=[e["spdxId"] for e in graph.elements if "spdxId" in e],
        profileConformance=["core", "software", "simpleLicensing", "ai", "dataset"],
    )
    return {"@context": SPDX_CONTEXT, "@graph": graph.elements}


def _model_fields(verdict: Verdict, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": verdict.name,
        "software_primaryPurpose": "model",
        "comment": f"Model Openness Framework: {verdict.label} (profile {verdict.profile})",
    }
    if hyperparameters:
        fields["ai_hyperparameter"] = [
            {"type": "DictionaryEntry", "key": str(k), "value": json.dumps(v)}
            for k, v in hyperparameters.items()
        ]
    return fields


def _add_component(
    graph: _Graph, model: str, component: Component, verdict: Verdict, files: Sequence[FileFact]
) -> list[str]:
    """One component and its files; its licence is added with all the others."""
    number = component.number
    kind = "software_Package"
    fields: dict[str, Any] = {"name": component.name, "comment": verdict.judgements[number].reason}
    if number in (15, 19):
        kind = "dataset_DatasetPackage"
        fields["dataset_datasetType"] = ["noAssertion"]
    purpose = {"code": "source", "data": "data", "document": "documentation"}
    fields["software_primaryPurpose"] = purpose[component.content_type]
    package = graph.add(kind, component.slug, **fields)
    relation = "hasDocumentation" if number in _DOCUMENTATION else _RELATION.get(number, "contains")
    graph.relate(model, relation, [package])
    known = len(graph.files)
    identifiers = [graph.file(fact) for fact in files if fact.component == number]
    if identifiers:
        graph.relate(package, "contains", identifiers)
    return [package, *list(graph.files.values())[known:]]


def _add_licenses(graph: _Graph, model: str, verdict: Verdict) -> None:
    """One licence element per licence, and who is under it; the weights' is the model's."""
    elements: dict[str, str] = {}
    for number, judgement in sorted(verdict.judgements.items()):
        if judgement.license not in elements:
            elements[judgement.license] = graph.add(
                "simplelicensing_LicenseExpression",
                f"license-{len(elements)}",
                simplelicensing_licenseExpression=_expression(judgement.license),
            )
        package = f"{graph.namespace}{BY_NUMBER[number].slug}"
        for source in (package, model) if number == 10 else (package,):
            graph.relate(source, "hasDeclaredLicense", [elements[judgement.license]])


def _expression(license_name: str) -> str:
    """A valid SPDX expression: what is none becomes a LicenseRef, no licence is NONE."""
    if license_name == UNLICENSED:
        return "NONE"
    if all(c.isalnum() or c in "-.+ ()" for c in license_name) and not _is_prose(license_name):
        return license_name
    cleaned = "".join(c if c.isascii() and c.isalnum() else "-" for c in license_name)
    return f"LicenseRef-{cleaned.strip('-') or 'unknown'}"


def _is_prose(text: str) -> bool:
    words = text.replace("(", " ").replace(")", " ").split()
    return any(w not in ("AND", "OR", "WITH") for w in words[1::2])
