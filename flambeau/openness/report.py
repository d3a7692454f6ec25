"""The report: everything about one model in one place, as HTML, Markdown, JSON and badges."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flambeau.openness.components import BY_WEIGHT, CLASS_LABELS, CLASSES, ROMAN, Component
from flambeau.openness.errors import display_name, optional_library
from flambeau.openness.evaluator import Judgement, Verdict
from flambeau.openness.evidence import Evidence
from flambeau.openness.exports import badges, oci_annotations, spdx_document
from flambeau.openness.inspection import Inspection
from flambeau.openness.licenses import LicenseTable
from flambeau.openness.model import ModelFile
from flambeau.openness.profiles import Difference, Step, differences, evaluate, next_steps

TEMPLATES: Final = Path(__file__).parent / "templates"

STATE_WORDS: Final = {
    "included": "open",
    "optional": "open (optional)",
    "invalid": "licence not open",
    "unlicensed": "no licence",
    "missing": "missing",
}


@dataclass(frozen=True)
class Row:
    """One line of the component table."""

    component: Component
    state: str
    judgement: Judgement | None
    difference: Difference | None
    evidence: tuple[Evidence, ...]
    path: str

    @property
    def word(self) -> str:
        return STATE_WORDS[self.state]

    @property
    def link(self) -> str:
        """The component's address, if it is one that a page may link to."""
        return self.path if self.path.startswith(("https://", "http://")) else ""


@dataclass
class Report:
    """A verdict in both profiles, with evidence and what to do next.

    Attributes:
        verdict: by the profile that was asked for.
        official, strict: both verdicts.
    """

    model: ModelFile
    verdict: Verdict
    official: Verdict
    strict: Verdict
    inspection: Inspection | None

    @property
    def differences(self) -> list[Difference]:
        return differences(self.official, self.strict)

    @property
    def steps(self) -> list[Step]:
        return next_steps(self.verdict)

    @property
    def rows(self) -> list[Row]:
        by_component = {d.component.number: d for d in self.differences}
        paths = {e.number: e.component_path or "" for e in self.model.entries}
        rows: list[Row] = []
        for component in BY_WEIGHT:
            number = component.number
            evidence = self.inspection.evidence_for(number) if self.inspection else []
            rows.append(
                Row(
                    component,
                    self.verdict.state_of(component),
                    self.verdict.judgements.get(number),
                    by_component.get(number),
                    tuple(evidence),
                    display_name(paths.get(number, "")),
                )
            )
        return rows

    @property
    def producer(self) -> str:
        return str(self.model.release.get("producer") or "")

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.verdict.file,
            **self.verdict.as_json(),
            "differences": [d.as_json() for d in self.differences],
            "next_steps": [str(step) for step in self.steps],
            "inspection": self.inspection.as_json() if self.inspection else None,
        }

    def as_html(self) -> str:
        """One page that needs nothing beside itself."""
        return render("report.html", report=self, badges=badges(self.verdict))

    def oci_annotations(self) -> dict[str, str]:
        """Annotations for an OCI artefact that holds the folder."""
        has_model_file = self.inspection is None or bool(self.inspection.model_file)
        return oci_annotations(self.verdict, has_model_file=has_model_file)

    def as_markdown(self) -> str:
        """A section for a README."""
        verdict = self.verdict
        lines = [f"## Openness: {verdict.label}", ""]
        lines += [f"![{CLASS_LABELS[k]}](badge-class-{k}.svg)" for k in CLASSES]
        lines += ["", "| Component | Class | State | Licence | Evidence |", "|---|---|---|---|---|"]
        for row in self.rows:
            license_name = row.judgement.license if row.judgement else ""
            place = row.evidence[0].place if row.evidence else row.path
            cells = (
                row.component.name,
                ROMAN[row.component.first_class],
                row.word,
                license_name,
                place,
            )
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        if self.steps:
            lines += ["", "What would raise the class:", ""]
            lines += [f"1. {step}" for step in self.steps]
        if self.differences:
            lines += ["", "Where the official and the strict profile differ:", ""]
            lines += [
                f"- {d.component.name}: {d.official_reason}; strictly: {d.strict_reason}"
                for d in self.differences
            ]
        lines += [
            "",
            f"By the Model Openness Framework, profile `{verdict.profile}`, licence list "
            f"{verdict.table_version}. Not legal advice.",
        ]
        return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def make_report(
    model: ModelFile,
    profile: str = "mot",
    table: LicenseTable | None = None,
    inspection: Inspection | None = None,
) -> Report:
    """Evaluate a model by both profiles; ``profile`` is the one that the report is about."""
    official = evaluate(model, "mot", table)
    strict = evaluate(model, "strict", table)
    chosen = official if profile == "mot" else strict
    return Report(model, chosen, official, strict, inspection)


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write the page, Markdown, JSON, badges, OCI annotations and the bill of materials."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "openness.html": report.as_html(),
        "openness.md": report.as_markdown(),
        "openness-report.json": to_json(report.as_json()),
        "oci-annotations.json": to_json(report.oci_annotations()),
        "sbom.spdx.json": to_json(spdx_document(report.verdict, report.producer)),
    }
    texts |= {f"badge-class-{k}.svg": svg for k, svg in badges(report.verdict).items()}
    paths: list[Path] = []
    for name, text in texts.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def to_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def render(template: str, **values: Any) -> str:
    """A packaged template, filled in; everything is escaped."""
    jinja2 = optional_library("jinja2", "Jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(roman=ROMAN, labels=CLASS_LABELS, classes=CLASSES)
    return str(environment.get_template(template).render(**values))
