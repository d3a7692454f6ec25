"""The strict profile, its difference from the official verdict, and what would raise the class."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambeau.openness.components import BY_NUMBER, COMPONENTS
from flambeau.openness.licenses import packaged_table
from flambeau.openness.model import load_model, parse_model
from flambeau.openness.profiles import RECOMMENDED, differences, evaluate, next_steps
from flambeau.openness.spelling import normalise
from flambeau.openness.strict import NEW_LICENSES, Rank, StrictJudge
from tests.openness.support import REQUIRED_1, REQUIRED_2, REQUIRED_3, UPSTREAM, model_yaml

TABLE = packaged_table()
JUDGE = StrictJudge(TABLE)
CODE, DATA, DOCUMENT = BY_NUMBER[9], BY_NUMBER[10], BY_NUMBER[13]


@pytest.mark.parametrize(
    ("written", "identifier"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("Apache License 2.0", "Apache-2.0"),
        ("Apache 2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("MIT License", "MIT"),
        ("The MIT license", "MIT"),
        ("BSD-3", "BSD-3-Clause"),
        ("BSD 3-Clause", "BSD-3-Clause"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("Creative Commons Attribution 4.0 International", "CC-BY-4.0"),
        ("cc0-1.0", "CC0-1.0"),
        ("gpl-3.0-only", "GPL-3.0-only"),
        ("openmdw-1.1", "OpenMDW-1.1"),
        ("GNU General Public License v3.0 only", "GPL-3.0-only"),
    ],
)
def test_spellings(written: str, identifier: str) -> None:
    assert normalise(written, TABLE, NEW_LICENSES).identifier == identifier


@pytest.mark.parametrize(
    "written",
    ["BSD", "GPL", "CC-BY", "other", "Llama 3.1 Community License", "Gemma Terms of Use", "",
     "Apache", "CC-BY-NC", "Proprietary", "arXiv non-exclusive"],
)  # fmt: skip
def test_spellings_that_name_no_one_open_licence(written: str) -> None:
    identifier = normalise(written, TABLE, NEW_LICENSES).identifier
    assert identifier is None or not TABLE.is_open(identifier) or written == "Apache"


def test_every_identifier_and_name_reads_as_itself() -> None:
    for known in TABLE.licenses.values():
        assert normalise(known.identifier, TABLE).identifier == known.identifier
        lowered = normalise(known.identifier.lower(), TABLE).identifier
        assert lowered is None or lowered.lower() == known.identifier.lower() or known.deprecated


@pytest.mark.parametrize(
    ("written", "component", "rank"),
    [
        ("MIT", CODE, Rank.PERMISSIVE),
        ("MIT", DATA, Rank.WRONG_TYPE),
        ("Apache-2.0", DOCUMENT, Rank.PERMISSIVE),
        ("CC-BY-4.0", CODE, Rank.WRONG_TYPE),
        ("CC-BY-4.0", DATA, Rank.PERMISSIVE),
        ("GPL-3.0-only", CODE, Rank.COPYLEFT),
        ("OpenMDW-1.1", DATA, Rank.PERMISSIVE),
        ("PDDL-1.0", DATA, Rank.PERMISSIVE),
        ("C-UDA-1.0", DATA, Rank.NOT_OPEN),
        ("MIT OR Foo", CODE, Rank.PERMISSIVE),
        ("MIT AND Foo", CODE, Rank.NOT_OPEN),
        ("(MIT OR CC-BY-4.0) AND GPL-2.0-only", CODE, Rank.COPYLEFT),
        ("MIT, CC-BY-4.0", CODE, Rank.WRONG_TYPE),
        ("GPL-2.0-only WITH Classpath-exception-2.0", CODE, Rank.COPYLEFT),
        ("MIT WITH Commons-Clause", CODE, Rank.NOT_OPEN),
        ("mit or apache-2.0", CODE, Rank.PERMISSIVE),
        ("MIT OR", CODE, Rank.NOT_OPEN),
        ("((((", CODE, Rank.NOT_OPEN),
        ("(" * 5000, CODE, Rank.NOT_OPEN),
        ("LicenseRef-mine", CODE, Rank.NOT_OPEN),
    ],
)
def test_what_a_licence_is_worth(written: str, component: Any, rank: Rank) -> None:
    assert JUDGE.read(written, component).rank is rank


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_an_answer(text: str) -> None:
    answer = JUDGE.read(text, CODE)
    assert answer.reason


def test_several_licences_take_the_most_restrictive() -> None:
    twice = [{"name": "Datasets", "license": "CC-BY-4.0"}, {"name": "Datasets", "license": "Foo"}]
    for components in (twice, twice[::-1]):
        strict = evaluate(model_yaml(components), "strict", TABLE)
        assert strict.judgements[15].license in ("CC-BY-4.0 AND Foo", "Foo AND CC-BY-4.0")
        assert not strict.judgements[15].counts
    listed = [{"name": "Datasets", "license": ["CC-BY-4.0", "CDLA-Permissive-2.0"]}]
    assert evaluate(model_yaml(listed), "strict", TABLE).judgements[15].counts
    assert evaluate(model_yaml(listed), "mot", TABLE).refusal is not None


def test_unknown_components_are_ignored_and_explained() -> None:
    text = model_yaml([{"name": "Training dataset", "license": "CDLA-Permissive-2.0"}])
    official, strict = (evaluate(text, p, TABLE) for p in ("mot", "strict"))
    assert official.state_of(BY_NUMBER[15]) == "included"
    assert strict.state_of(BY_NUMBER[15]) == "missing"
    (difference,) = differences(official, strict)
    assert "17 names" in difference.strict_reason
    assert "unknown component 'Training dataset'" in official.as_json()["warnings"][0]


def test_differences_name_line_and_reason() -> None:
    text = """framework: {name: Model Openness Framework, version: '1.0', date: '2024-12-15'}
release:
  name: a
  producer: b
  license: {}
  components:
    - name: Model architecture
      license: apache-2.0
"""
    model = parse_model(text)
    found = differences(evaluate(model, "mot", TABLE), evaluate(model, "strict", TABLE))
    assert [(d.component.number, d.line) for d in found] == [(9, 7)]
    assert (found[0].official_state, found[0].strict_state) == ("invalid", "included")
    assert "read as Apache-2.0" in found[0].strict_reason


def follow(text: str, steps: list[Any], until: int) -> str:
    """A model file with the steps done, up to the one that leads to a class."""
    import json

    document = json.loads(text)
    components = document["release"]["components"]
    for step in steps:
        name = step.component.name
        components[:] = [c for c in components if c["name"] != name]
        components.append({"name": name, "license": RECOMMENDED[step.component.content_type]})
        if step.leads_to == until:
            break
    return json.dumps(document, indent=1)


LICENSES = st.sampled_from(["Apache-2.0", "CC-BY-4.0", "unlicensed", "Foo", "mit", "GPL-3.0-only"])


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from([c.name for c in COMPONENTS]), LICENSES),
    st.sampled_from(["mot", "strict"]),
)
def test_doing_the_steps_reaches_the_class(selection: dict[str, str], profile: str) -> None:
    text = model_yaml([{"name": n, "license": v} for n, v in selection.items()])
    verdict = evaluate(text, profile, TABLE)
    steps = next_steps(verdict)
    assert bool(steps) == (verdict.number != 1)
    for number in {step.leads_to for step in steps if step.leads_to}:
        assert evaluate(follow(text, steps, number), profile, TABLE).number == number


def test_one_missing_data_card() -> None:
    names = [n for n in REQUIRED_3 if n != "Data card"]
    shared = {"distribution": {"name": "Apache-2.0"}, "data": {"name": "CDLA-Permissive-2.0"}}
    steps = next_steps(evaluate(model_yaml(names, shared), table=TABLE))
    assert str(steps[0]) == "add a data card under CC-BY-4.0 → Class III"


def test_class_one_is_possible_strictly() -> None:
    shared = {
        "code": {"name": "Apache-2.0"},
        "data": {"name": "CDLA-Permissive-2.0"},
        "document": {"name": "CC-BY-4.0"},
    }
    text = model_yaml(REQUIRED_3 + REQUIRED_2 + REQUIRED_1, shared)
    verdicts = [evaluate(text, p, TABLE) for p in ("mot", "strict")]
    assert [v.number for v in verdicts] == [1, 1]
    assert differences(*verdicts) == []
    assert next_steps(verdicts[0]) == []


def test_all_reference_models_have_a_strict_verdict_and_explanations() -> None:
    for path in (UPSTREAM / "models").glob("*.yml"):
        model = load_model(path)
        official, strict = (evaluate(model, p, TABLE) for p in ("mot", "strict"))
        for difference in differences(official, strict):
            assert difference.official_reason
            assert difference.strict_reason
            assert difference.line


def test_steps_that_reach_two_classes_at_once_name_the_better_one() -> None:
    """All of class I but what class II lacks: one step, from class III to class I."""
    listed = [c for c in COMPONENTS if c.required and c.name != "Training code"]
    text = model_yaml([{"name": c.name, "license": RECOMMENDED[c.content_type]} for c in listed])
    verdict = evaluate(text, "mot", TABLE)
    steps = next_steps(verdict)
    assert [step.leads_to for step in steps] == [1]
    assert evaluate(follow(text, steps, 1), "mot", TABLE).number == 1
