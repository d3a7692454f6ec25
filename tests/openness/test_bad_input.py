"""Malformed and hostile input: a clear message with file and line, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambeau import openness
from flambeau.openness.cli import main
from flambeau.openness.errors import OpennessError
from flambeau.openness.model import parse_model
from flambeau.openness.profiles import evaluate
from flambeau.openness.source import PlainDate, parse_yaml
from tests.openness.support import model_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)
)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        (BOMB, "aliases expanded", 1),
        ("a: &a [*a]\n", "contains itself", 1),
        ("\n- " * 3 + "[" * 100, "nested deeper", 4),
        ("a: 1\nb: 2\na: 3\n", "duplicate key 'a'", 3),
        ("a: !!python/object/apply:os.system [ls]\n", "tag", 1),
        ("a: [1\nb: 2\n", "not valid YAML", 2),
        ("a: b: c\n", "not valid YAML", 1),
        ("{}: \t- x\n\x07", "not valid YAML", None),
        ("? [a]\n: b\n", "a key must be plain text", 1),
        ("a: *unknown\n", "not valid YAML", 1),
        ("x" * (1 << 21), "larger than the limit", None),
        ("--- a\n--- b\n", "not valid YAML", 2),
    ],
)
def test_yaml_is_bounded(text: str, message: str, line: int | None) -> None:
    with pytest.raises(OpennessError, match=message) as caught:
        parse_yaml(text, "bad.yml")
    assert caught.value.line == line
    assert str(caught.value).startswith("bad.yml")


def test_many_values_by_aliases_are_bounded() -> None:
    text = "a: &a [" + ",".join("x" * 900) + "]\nb: [" + ",".join(["*a"] * 90) + "]\n"
    with pytest.raises(OpennessError, match="aliases expanded"):
        parse_yaml(text)


def test_scalars_are_those_of_the_official_parser() -> None:
    text = "[yes, no, on, 1:30, 1.0, 7, true, null, ~, 2025-01-01, '2025-01-01', 7B, 0x1F, .5, '']"
    values = parse_yaml(text).data
    assert values[:4] == ["yes", "no", "on", "1:30"]
    assert values[4:9] == [1.0, 7, True, None, None]
    assert isinstance(values[9], PlainDate)
    assert values[10:] == ["2025-01-01", "7B", 31, 0.5, ""]


def test_merge_keys_and_lines() -> None:
    document = parse_yaml("base: &b {x: 1, y: 2}\nc:\n  <<: *b\n  y: 3\n")
    assert document.data["c"] == {"x": 1, "y": 3}
    assert document.line("c", "y") == 4
    assert document.line("c", "nothing") == 2


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_data_or_an_error(text: str) -> None:
    try:
        evaluate(parse_model(text))
    except OpennessError as error:
        assert error.message  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a model file"),
        ("[]", "is not a model file"),
        ("framework: {}\n", "'release' must be a mapping"),
        ("release: {name: a, components: {}}\n", "'components' must be a list"),
        ("release: {name: a, components: [x]}\n", "must be a mapping with a name"),
    ],
)
def test_what_is_no_model_file(text: str, message: str) -> None:
    with pytest.raises(OpennessError, match=message):
        parse_model(text, "a.yml")


def test_schema_errors_have_lines_and_say_what_to_do() -> None:
    text = "\n".join(
        [
            "framework: {name: Other, version: 1.0, date: 2024-12-15}",
            "release:",
            "  name: a",
            "  version: 1.0",
            "  components:",
            "    - {name: Model card, license: null}",
        ]
    )
    errors = {note.message: note.line for note in parse_model(text).schema_errors}
    said = " | ".join(errors)
    assert "the date 2024-12-15 must be in quotes" in said
    assert "/release/version: 1.0 must be text: put it in quotes" in said
    assert errors["/release/version: 1.0 must be text: put it in quotes"] == 4
    assert "'producer' is a required property" in said


def test_files_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tmp_path / "good.yml"
    good.write_text(model_yaml(["Model card"]))
    junk = tmp_path / "junk.yml"
    junk.write_bytes(b"name: a\nb: \xff\xfe\n")
    missing = tmp_path / "missing.yml"
    paths = [str(p) for p in (good, junk, missing, tmp_path)]
    assert main(["evaluate", "--json", *paths]) == 1
    captured = capsys.readouterr()
    results = json.loads(captured.out)
    assert [r["file"] for r in results] == paths
    assert results[0]["class"] == 0
    assert "junk.yml:2: is not UTF-8 text" in results[1]["error"]
    assert "no such file" in results[2]["error"]
    assert "is a folder; inspect, report and check take folders" in results[3]["error"]
    assert "Traceback" not in captured.err


def test_links_and_pipes_are_named(tmp_path: Path) -> None:
    (tmp_path / "loop.yml").symlink_to(tmp_path / "loop.yml")
    with pytest.raises(OpennessError, match="is a link that leads nowhere"):
        evaluate(tmp_path / "loop.yml")
    os.mkfifo(tmp_path / "pipe.yml")
    with pytest.raises(OpennessError, match="is not a regular file"):
        evaluate(tmp_path / "pipe.yml")


def test_wrong_use_is_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["evaluate"]) == 2
    assert main(["check", "x.yml"]) == 2
    assert main(["--help"]) == 0
    assert "usage:" in capsys.readouterr().out


def test_broken_licence_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content, message in (
        ("{", "is not valid JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "expected a list of licences"),
        ('{"licenses": [1]}', "must be an object"),
        ('{"licenses": [{}]}', "without 'licenseId'"),
        ('{"licenses": [{"licenseId": "A"}]}', "not a complete SPDX list"),
    ):
        path = tmp_path / "l.json"
        path.write_text(content)
        assert main(["update-licenses", str(path)]) == 1
        assert message in capsys.readouterr().err


ALONE = """
import sys, types, pathlib
package = types.ModuleType("flambeau")
package.__path__ = [sys.argv[1]]
sys.modules["flambeau"] = package
import flambeau.openness as openness
import flambeau.openness.cli, flambeau.openness.site
for name in openness.__all__:
    getattr(openness, name)
optional = {"yaml", "jinja2", "jsonschema", "license_expression", "safetensors"}
assert not ({"numpy", "llvmlite", "wgpu"} | optional) & set(sys.modules), sorted(sys.modules)
ours = {m for m in sys.modules if m.startswith("flambeau.")}
others = {m for m in ours if not m.startswith(("flambeau.openness", "flambeau.config"))}
assert not others, others
"""


def test_openness_needs_no_other_layer() -> None:
    """All of it, imported under an empty parent package, with the standard library alone."""
    folder = str(Path(openness.__file__).parents[1])
    command = [sys.executable, "-c", ALONE, folder]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_importing_openness_loads_no_compiler() -> None:
    code = "import sys, flambeau.openness.cli; assert not {'llvmlite', 'wgpu'} & set(sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'flambeau\[openness\]'"):
        parse_yaml("a: 1")
