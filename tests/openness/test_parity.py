"""The official verdict: every reference result, the licence table, and invariants."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambeau.openness import licenses
from flambeau.openness.cli import main
from flambeau.openness.components import BY_NAME, COMPONENTS
from flambeau.openness.licenses import load_table, merge_lists, packaged_table, update_table
from flambeau.openness.model import load_model, parse_model
from flambeau.openness.profiles import evaluate
from flambeau.openness.source import load_yaml
from tests.openness.support import (
    REQUIRED_1,
    REQUIRED_2,
    REQUIRED_3,
    UPSTREAM,
    model_yaml,
    reference,
)

VERDICTS = reference("expected_verdicts.json")
SYNTHETIC = reference("synthetic_cases.json")["cases"]
TABLE = packaged_table()


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for key, value in expected.items():
        if key == "schema_message":
            continue  # the reference validator's own wording
        if key == "error":
            assert found["error"]
            assert "class" not in found
        elif key == "progress" or key == "total_progress":
            assert found[key] == pytest.approx(value, abs=1e-9)
        else:
            assert found[key] == value, key
    assert "error" in expected or "error" not in found


@pytest.mark.parametrize(
    ("kind", "name"), [(k, n) for k in ("models", "fixtures") for n in VERDICTS[k]]
)
def test_reference_verdict(kind: str, name: str) -> None:
    verdict = evaluate(load_model(UPSTREAM / kind / name), table=TABLE)
    assert_same(verdict.as_json(), VERDICTS[kind][name])


def test_all_reference_files_are_covered() -> None:
    assert len(VERDICTS["models"]) == 112
    assert len(VERDICTS["fixtures"]) == 27
    assert {p.name for p in (UPSTREAM / "models").glob("*.yml")} == set(VERDICTS["models"])


@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_case(name: str) -> None:
    verdict = evaluate(parse_model(SYNTHETIC[name]["yaml"], name), table=TABLE)
    assert_same(verdict.as_json(), SYNTHETIC[name]["expected"])


def test_upstream_fixture_results() -> None:
    text = (UPSTREAM / "fixtures" / "expected_results.json").read_text("utf-8")
    results = json.loads(text.replace('"version": "1.0",', '"version": "1.0"'))["models"]
    assert len(results) == 27
    verdicts = [evaluate(p, table=TABLE) for p in (UPSTREAM / "fixtures").glob("*.yml")]
    by_name = {verdict.name: verdict for verdict in verdicts}
    for result in results:
        verdict = by_name[result["release"]["name"]]
        assert verdict.number == result["classification"]["class"]
        found = {str(k): v for k, v in verdict.progress.items()}
        assert found == pytest.approx(result["classification"]["progress"], abs=1e-9)


def test_license_table_answers() -> None:
    table = reference("license_table.json")
    for record in table["licenses"]:
        identifier = record["id"]
        assert TABLE.is_open(identifier) is record["open"], identifier
        known = TABLE.licenses.get(identifier)
        assert list(known.types if known else ()) == record["types"], identifier
    assert len(TABLE.open_identifiers()) == table["open_count"] == 226


def test_packaged_table_is_the_merge_of_the_upstream_lists() -> None:
    folder = UPSTREAM / "licenses"
    lists = [json.loads((folder / f).read_text()) for f in ("licenses.json", "mof-licenses.json")]
    assert merge_lists(lists[0], lists[1], "x") == TABLE
    assert TABLE.version == "d8abdb0"


def test_components_are_the_upstream_ones() -> None:
    settings_file = load_yaml(UPSTREAM / "components" / "mof.settings.yml").data
    assert [
        (c["id"], c["name"], c["content_type"], c["class"], c["required"], c["weight"])
        for c in settings_file["components"]
    ] == [
        (c.number, c.name, c.content_type, c.first_class, c.required, c.weight) for c in COMPONENTS
    ]
    assert [c["description"] for c in settings_file["components"]] == [
        c.description for c in COMPONENTS
    ]


def test_update_table_takes_a_newer_spdx_list(tmp_path: Any) -> None:
    spdx = json.loads((UPSTREAM / "licenses" / "licenses.json").read_text())
    spdx["licenseListVersion"] = "99"
    spdx["licenses"].append({"licenseId": "New-1.0", "name": "New", "isOsiApproved": True})
    source = tmp_path / "licenses.json"
    source.write_text(json.dumps(spdx))
    table = load_table(update_table(source, target=tmp_path / "table.json"))
    assert table.version == "99"
    assert table.is_open("New-1.0")
    assert not TABLE.is_open("New-1.0")
    assert table.fits("Apache-2.0", "document")  # the packaged content types stay


def test_update_licenses_command(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(licenses, "UPDATED_TABLE", tmp_path / "kept" / "licenses.json")
    spdx = json.loads((UPSTREAM / "licenses" / "licenses.json").read_text())
    spdx["licenses"].append({"licenseId": "New-1.0", "name": "New", "isOsiApproved": True})
    source = tmp_path / "licenses.json"
    source.write_text(json.dumps(spdx))
    model = tmp_path / "model.yml"
    model.write_text(model_yaml([{"name": "Model card", "license": "New-1.0"}]))

    def progress(*options: str) -> float:
        assert main(["evaluate", "--json", str(model), *options]) == 0
        return float(json.loads(capsys.readouterr().out)[0]["progress"]["3"])

    assert progress() == 0
    assert progress("--licenses", str(source)) == pytest.approx(100 / 6)
    assert main(["update-licenses", str(source)]) == 0
    assert "227 open" in capsys.readouterr().out
    assert progress() == pytest.approx(100 / 6)
    assert main(["update-licenses", "--reset"]) == 0
    capsys.readouterr()
    assert progress() == 0


def test_first_layout_is_converted() -> None:
    text = """
framework: {name: 'Model Openness Framework', version: '1.0', date: '2024-12-15'}
release:
  name: old
  version: '1'
  date: '2024-10-10'
  github: someone/old
  producer: someone
  components:
    - {name: Model architecture, location: 'https://a', license_name: MIT, license_path: ''}
    - {name: Model card, location: '', license_name: License not specified}
    - {name: Data card, location: '', license_name: Component not included}
    - {name: Datasets, location: '', license_name: Component Not Included}
    - {name: Research paper, license_name: Pending evaluation}
"""
    model = parse_model(text, "old.yml")
    verdict = evaluate(model, table=TABLE)
    assert not model.schema_errors and verdict.refusal is None
    assert {n: j.license for n, j in verdict.judgements.items()} == {
        9: "MIT",
        13: "unlicensed",
        21: "unlicensed",
    }
    assert model.entries[0].component_path == "https://a"
    assert model.entries[2].line == 14
    assert "layout of 2024" in model.notes[0].message


OPEN = ["Apache-2.0", "MIT", "CC-BY-4.0", "GPL-3.0-only", "CDLA-Permissive-2.0", "OpenMDW-1.0"]
LICENSES = st.sampled_from([*OPEN, "unlicensed", "Foo", "apache-2.0", None])
SELECTIONS = st.dictionaries(st.sampled_from([c.name for c in COMPONENTS]), LICENSES)


def as_items(selection: dict[str, str | None]) -> list[dict[str, Any]]:
    return [
        {"name": name} if license_name is None else {"name": name, "license": license_name}
        for name, license_name in selection.items()
    ]


@settings(max_examples=60, deadline=None)
@given(SELECTIONS, st.sampled_from([c.name for c in COMPONENTS]), st.sampled_from(OPEN))
def test_adding_an_open_component_never_lowers(
    selection: dict[str, str | None], name: str, license_name: str
) -> None:
    before = evaluate(model_yaml(as_items(selection)), table=TABLE)
    after = evaluate(model_yaml(as_items({**selection, name: license_name})), table=TABLE)
    order = {0: 0, 3: 1, 2: 2, 1: 3}
    assert order[after.number] >= order[before.number]
    assert after.progress[3] >= before.progress[3]
    if not BY_NAME[name].required:
        assert (after.number, after.progress) == (before.number, before.progress)
    assert after.progress[2] == 0 or after.progress[3] == 100
    assert after.progress[1] == 0 or after.progress[2] == 100


@settings(max_examples=30, deadline=None)
@given(SELECTIONS, st.sampled_from(OPEN), st.sampled_from(OPEN))
def test_another_open_licence_changes_only_warnings(
    selection: dict[str, str | None], first: str, second: str
) -> None:
    verdicts = [
        evaluate(
            model_yaml(as_items(selection), {"distribution": {"name": name, "path": ""}}),
            table=TABLE,
        )
        for name in (first, second)
    ]
    assert verdicts[0].number == verdicts[1].number
    assert verdicts[0].progress == verdicts[1].progress


def test_classes_by_required_components() -> None:
    shared = {"distribution": {"name": "Apache-2.0", "path": ""}}
    for names, number in (
        (REQUIRED_3, 3),
        (REQUIRED_3 + REQUIRED_2, 2),
        (REQUIRED_3 + REQUIRED_2 + REQUIRED_1, 1),
        (REQUIRED_2 + REQUIRED_1, 0),
    ):
        assert evaluate(model_yaml(names, shared), table=TABLE).number == number
