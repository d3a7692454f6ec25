"""Profiles, the difference between them, and what would raise the class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flambeau.openness.components import (
    BY_NUMBER,
    BY_WEIGHT,
    RESEARCH_PAPER,
    ROMAN,
    TECHNICAL_REPORT,
    Component,
    ContentType,
)
from flambeau.openness.evaluator import Judge, OfficialJudge, State, Verdict, judge_model
from flambeau.openness.licenses import LicenseTable, current_table
from flambeau.openness.model import ModelFile, load_model, parse_model
from flambeau.openness.strict import StrictJudge

PROFILES: Final[dict[str, Callable[[LicenseTable], Judge]]] = {
    "mot": OfficialJudge,
    "strict": StrictJudge,
}
"""``mot`` is the official verdict; ``strict`` asks for licences of the right type."""

RECOMMENDED: Final[dict[ContentType, str]] = {
    "code": "Apache-2.0",
    "data": "CDLA-Permissive-2.0",
    "document": "CC-BY-4.0",
}
"""A licence that both profiles count for each content type."""


def evaluate(
    model: ModelFile | str | Path, profile: str = "mot", table: LicenseTable | None = None
) -> Verdict:
    """The verdict about a model file.

    Args:
        model: a parsed model, the path of a YAML file, or YAML text (a string with a newline).
        profile: ``mot`` (the official verdict) or ``strict``.
        table: the licences; by default the packaged ones, or those of ``update-licenses``.

    Raises:
        OpennessError: where no verdict is possible, with file and line.
        ValueError: for an unknown profile.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, not {profile!r}")
    if isinstance(model, str) and "\n" in model:
        model = parse_model(model)
    elif not isinstance(model, ModelFile):
        model = load_model(Path(model))
    table = table or current_table()
    return judge_model(model, PROFILES[profile](table), profile, table.version)


@dataclass(frozen=True)
class Difference:
    """One component on which the profiles disagree."""

    component: Component
    official_state: State
    strict_state: State
    official_reason: str
    strict_reason: str
    line: int | None

    def as_json(self) -> dict[str, Any]:
        return {
            "component": self.component.name,
            "mot": {"state": self.official_state, "reason": self.official_reason},
            "strict": {"state": self.strict_state, "reason": self.strict_reason},
            "line": self.line,
        }


def differences(official: Verdict, strict: Verdict) -> list[Difference]:
    """Every component that the two verdicts treat differently, in display order."""
    found: list[Difference] = []
    for component in BY_WEIGHT:
        states = official.state_of(component), strict.state_of(component)
        if states[0] == states[1]:
            continue
        ours = official.judgements.get(component.number)
        theirs = strict.judgements.get(component.number)
        line = theirs.line if theirs else ours.line if ours else None
        found.append(
            Difference(
                component,
                *states,
                ours.reason if ours else "not listed",
                theirs.reason if theirs else "not listed under one of the 17 names",
                line,
            )
        )
    return found


@dataclass(frozen=True)
class Step:
    """One thing to do, and the class that is reached when it and those before it are done."""

    component: Component
    action: str
    leads_to: int | None = None

    def __str__(self) -> str:
        return f"{self.action} → Class {ROMAN[self.leads_to]}" if self.leads_to else self.action


def next_steps(verdict: Verdict) -> list[Step]:
    """What would raise the class, class by class up to class I.

    The last step of each class says which class is reached with it.
    """
    steps: list[Step] = []
    done: set[int] = set()
    for number in (3, 2, 1):
        if verdict.number and number >= verdict.number:
            continue
        actions: list[Step] = []
        for blocking in _blocking(verdict, number):
            if blocking not in done:
                done.add(blocking)
                actions.append(Step(BY_NUMBER[blocking], _action(verdict, blocking)))
        steps += actions
        if steps:  # with no action of its own, a class comes with the steps of the one before
            steps[-1] = Step(steps[-1].component, steps[-1].action, number)
    return steps


def _blocking(verdict: Verdict, number: int) -> list[int]:
    """The components that keep a class from being complete, in display order.

    Below class I an open technical report or an open research paper is enough.
    """
    states = verdict.states[number]
    required = {c.number for c in BY_WEIGHT if c.required and c.first_class >= number}
    blocking = {*states.missing, *states.invalid, *states.unlicensed} & required
    blocking.discard(TECHNICAL_REPORT)
    open_ones = {TECHNICAL_REPORT, RESEARCH_PAPER} & set(states.included)
    if not open_ones and number > 1:
        paper_is_listed = RESEARCH_PAPER in verdict.judgements
        report_is_listed = TECHNICAL_REPORT in verdict.judgements
        only_paper = paper_is_listed and not report_is_listed
        blocking.add(RESEARCH_PAPER if only_paper else TECHNICAL_REPORT)
    return [c.number for c in BY_WEIGHT if c.number in blocking]


def _action(verdict: Verdict, number: int) -> str:
    component = BY_NUMBER[number]
    wanted = RECOMMENDED[component.content_type]
    judgement = verdict.judgements.get(number)
    name = component.name[0].lower() + component.name[1:]
    if judgement is None:
        return f"add {_article(name)} under {wanted}"
    if verdict.state_of(component) == "unlicensed":
        return f"put a licence on the {name}, for example {wanted}"
    return f"relicense the {name}, for example under {wanted} (now: {judgement.license})"


def _article(name: str) -> str:
    if name.endswith(("s", "code", "data")) or "parameters" in name:
        return f"the {name}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
