"""The verdict: component states, progress and class, exactly as the official tool computes them.

The rules are those of the Model Openness Tool's ``ModelEvaluator``. What a licence is worth is
asked of a :class:`Judge`, so that the stricter profile changes only the answers, not the counting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from flambeau.openness.components import (
    BY_NUMBER,
    CLASS_LABELS,
    CLASSES,
    RESEARCH_PAPER,
    TECHNICAL_REPORT,
    Component,
    components_of_class,
)
from flambeau.openness.errors import display_name
from flambeau.openness.licenses import LicenseTable
from flambeau.openness.model import UNLICENSED, Entry, ModelFile, Note, is_empty

State = Literal["included", "invalid", "unlicensed", "missing", "optional"]


@dataclass(frozen=True)
class Judgement:
    """What one component's licence is worth, and why.

    Attributes:
        license: the licence after inheritance, or ``unlicensed``.
        counts: whether the component counts as open.
        fits: whether the licence suits the component's type; where it does not, the official
            tool warns and the strict profile does not count it.
        reason: one sentence for people.
        source: ``component``, the key of the shared licence, or None.
        line: where the licence (or the component) stands in the file.
    """

    license: str
    counts: bool
    fits: bool
    reason: str
    source: str | None = None
    line: int | None = None

    @property
    def state(self) -> State:
        if self.counts:
            return "included"
        return "unlicensed" if self.license == UNLICENSED else "invalid"


class Judge(Protocol):
    """Gives one judgement per included component."""

    def judge(self, model: ModelFile) -> dict[int, Judgement]: ...


@dataclass
class ClassStates:
    """Component numbers of one class, by state, in the official order."""

    missing: list[int] = field(default_factory=list[int])
    included: list[int] = field(default_factory=list[int])
    invalid: list[int] = field(default_factory=list[int])
    unlicensed: list[int] = field(default_factory=list[int])
    optional: list[int] = field(default_factory=list[int])

    def as_json(self) -> dict[str, list[int]]:
        return {
            "missing": self.missing,
            "included": self.included,
            "invalid": self.invalid,
            "unlicensed": self.unlicensed,
            "optional": self.optional,
        }

    def of(self, state: State) -> list[int]:
        return self.as_json()[state]


@dataclass
class Verdict:
    """The verdict about one model.

    Attributes:
        number: the class, 3, 2 or 1; 0 for unclassified.
        progress: percent of each class, 0 to 100, not rounded.
        states: per class, the components by state.
        judgements: per included component, the licence and what it is worth.
        not_type_appropriate: components with an open licence of another type (a warning).
        refusal: why the official tool gives no verdict at all, if it does not.
    """

    name: str
    file: str
    profile: str
    number: int
    progress: dict[int, float]
    states: dict[int, ClassStates]
    judgements: dict[int, Judgement]
    not_type_appropriate: list[int]
    schema_errors: list[Note]
    notes: list[Note]
    refusal: Note | None
    table_version: str

    @property
    def label(self) -> str:
        return CLASS_LABELS[self.number]

    @property
    def total_progress(self) -> float:
        """The mean of the three; the official site sorts by it."""
        return sum(self.progress.values()) / len(self.progress)

    def state_of(self, component: Component) -> State:
        """The state of a component in the class that first asks for it."""
        states = self.states[component.first_class]
        for state in ("included", "optional", "invalid", "unlicensed"):
            if component.number in states.of(state):
                return state
        return "missing"

    def as_json(self) -> dict[str, Any]:
        """The keys of the official reference verdicts, then Flambeau's own."""
        head: dict[str, Any] = {"name": self.name, "schema_valid": not self.schema_errors}
        if self.refusal is not None:
            head["error"] = self.refusal.message
        else:
            head |= {
                "class": self.number,
                "label": self.label,
                "progress": {str(k): self.progress[k] for k in sorted(self.progress)},
                "total_progress": self.total_progress,
                "not_type_appropriate": self.not_type_appropriate,
                "components": {str(k): self.states[k].as_json() for k in CLASSES},
                "licenses": {str(n): self.judgements[n].license for n in sorted(self.judgements)},
            }
        notes = [*self.schema_errors, *self.notes]
        return head | {
            "profile": self.profile,
            "license_list": self.table_version,
            "warnings": [*(_as_text(note) for note in notes), *self.type_warnings()],
        }

    def type_warnings(self) -> list[str]:
        """The official warning: open, but should have a licence that suits the type."""
        return [
            f"{BY_NUMBER[n].name} of type {BY_NUMBER[n].content_type} has the open licence "
            f"{self.judgements[n].license}, which is not appropriate for that type"
            for n in self.not_type_appropriate
        ]


def _as_text(note: Note) -> str:
    return f"line {note.line}: {note.message}" if note.line else note.message


class OfficialJudge:
    """Licences as the official tool sees them: exact identifiers, any open licence counts."""

    def __init__(self, table: LicenseTable) -> None:
        self.table = table

    def judge(self, model: ModelFile) -> dict[int, Judgement]:
        return {n: self.judge_entry(model, e) for n, e in model.official_entries().items()}

    def judge_entry(self, model: ModelFile, entry: Entry) -> Judgement:
        component = BY_NUMBER[entry.number]
        license_name, source = resolve_license(model, entry)
        counts = self.table.is_open(license_name)
        fits = self.table.fits(license_name, component.content_type)
        return Judgement(
            license_name, counts, fits, self.reason(license_name, component), source, entry.line
        )

    def reason(self, license_name: str, component: Component) -> str:
        if license_name == UNLICENSED:
            return "included without a licence"
        if self.table.is_open(license_name):
            if self.table.fits(license_name, component.content_type):
                return f"{license_name} is open and suits {component.content_type}"
            return (
                f"{license_name} is open, but not on the official list for "
                f"{component.content_type}: counted, with a warning"
            )
        if self.table.fits(license_name, component.content_type):
            return (
                f"{license_name} is offered for {component.content_type}, but is on no list of "
                "open licences (neither OSI, nor FSF, nor open data): not counted"
            )
        if license_name in self.table.licenses:
            return f"{license_name} is an SPDX licence, but not an open one"
        return f"{license_name!r} is not the identifier of an open licence, written exactly"


def resolve_license(model: ModelFile, entry: Entry) -> tuple[str, str | None]:
    """The licence of a component after inheritance, and where it comes from.

    An explicit empty or ``unlicensed`` licence never inherits; an absent one does: first the
    shared licence of the component's type, then the distribution's.
    """
    value = entry.license
    if value is not None:
        return (UNLICENSED if is_empty(value) else str(value)), "component"
    name, key = model.shared_license(BY_NUMBER[entry.number].content_type)
    return (UNLICENSED if name is None else str(name)), key


def judge_model(model: ModelFile, judge: Judge, profile: str, table_version: str) -> Verdict:
    """Count: states per class, then progress, then the class."""
    judgements = judge.judge(model)
    states, not_appropriate = component_states(judgements)
    _let_paper_stand_in(states)
    progress = {k: class_progress(states, k) for k in (1, 2, 3)}
    reached = [k for k in CLASSES if progress[k] == 100]
    return Verdict(
        name=model.name,
        file=display_name(model.document.file),
        profile=profile,
        number=min(reached, default=0),
        progress=progress,
        states=states,
        judgements=judgements,
        not_type_appropriate=not_appropriate,
        schema_errors=model.schema_errors,
        notes=model.notes
        if profile == "mot" or not model.refusal
        else [*model.notes, model.refusal],
        refusal=model.refusal if profile == "mot" else None,
        table_version=table_version,
    )


def component_states(
    judgements: Mapping[int, Judgement],
) -> tuple[dict[int, ClassStates], list[int]]:
    """Components by state for each class, and those whose open licence is of another type."""
    states = {k: ClassStates() for k in CLASSES}
    not_appropriate: list[int] = []
    required: list[int] = []
    optional: list[int] = []
    for k in CLASSES:
        required += [c.number for c in components_of_class(k, required=True)]
        optional += [c.number for c in components_of_class(k, required=False)]
        for number in [*required, *optional]:
            judgement = judgements.get(number)
            is_optional = number in optional
            if judgement is None:
                if not is_optional:
                    states[k].missing.append(number)
                continue
            state = judgement.state
            if state == "included":
                if not judgement.fits and number not in not_appropriate:
                    not_appropriate.append(number)
                state = "optional" if is_optional else "included"
            states[k].of(state).append(number)
    return states, not_appropriate


def _let_paper_stand_in(states: dict[int, ClassStates]) -> None:
    """A research paper takes the place of a missing technical report in classes III and II."""
    if TECHNICAL_REPORT in states[3].included:
        return
    ours: State | None = None
    for state in ("included", "invalid", "unlicensed"):
        if RESEARCH_PAPER in states[1].of(state):
            ours = state
    if ours is None:
        return
    for k in CLASSES:
        if TECHNICAL_REPORT in states[k].missing:
            states[k].missing.remove(TECHNICAL_REPORT)
    for k in (3, 2):
        states[k].of(ours).append(RESEARCH_PAPER)


def class_progress(states: Mapping[int, ClassStates], number: int) -> float:
    """Percent of a class; 0 while a lower class is not complete."""
    total = included = 0
    for k in range(3, number - 1, -1):
        total += len(components_of_class(k, required=True))
        included = len(states[k].included)
        if included < total:
            if k > number:
                return 0.0
            break
    if (
        number == 1
        and TECHNICAL_REPORT not in states[1].included
        and RESEARCH_PAPER in states[1].included
    ):
        total -= 1
    return min(100.0, included / total * 100)
