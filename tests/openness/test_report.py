"""What people and machines get: page, Markdown, badges, annotations, SBOM, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flambeau.openness.cli import main
from flambeau.openness.components import CLASS_LABELS
from flambeau.openness.exports import badge, badge_text, oci_annotations, spdx_document
from flambeau.openness.inspection import inspect
from flambeau.openness.licenses import packaged_table
from flambeau.openness.model import load_model, parse_model
from flambeau.openness.profiles import evaluate
from flambeau.openness.report import make_report, write_report
from tests.openness.support import REQUIRED_3, UPSTREAM, model_yaml
from tests.openness.test_inspection import FULL, write

TABLE = packaged_table()
GRANITE = UPSTREAM / "models" / "Granite-4-1.yml"


def test_badges_are_the_official_ones() -> None:
    assert badge_text(100) == ("Qualified", "#4c1")
    assert badge_text(0) == ("Not met", "#9ba0a2")
    assert badge_text(200 / 3) == ("In progress (67%)", "#76b1c9")
    svg = badge(CLASS_LABELS[3], 60)
    assert 'height="20"' in svg
    assert "Class III - Open Model: In progress (60%)" in svg


def test_report_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny-net", FULL)
    inspection = inspect(folder, TABLE)
    report = make_report(inspection.model, "mot", TABLE, inspection)
    names = {path.name for path in write_report(report, tmp_path / "out")}
    assert names == {
        "openness.html", "openness.md", "openness-report.json", "oci-annotations.json",
        "sbom.spdx.json", "badge-class-1.svg", "badge-class-2.svg", "badge-class-3.svg",
    }  # fmt: skip
    page = (tmp_path / "out" / "openness.html").read_text()
    assert "Class II - Open Tooling Model" in page
    assert "src/model.py:3" in page
    assert "http" not in page.split("</style>")[0].replace("http-equiv", "")
    assert "<script" not in page
    markdown = (tmp_path / "out" / "openness.md").read_text()
    assert "| Model architecture | III | open | MIT | src/model.py:3 |" in markdown
    data = json.loads((tmp_path / "out" / "openness-report.json").read_text())
    assert data["class"] == 2
    assert data["next_steps"]
    annotations = json.loads((tmp_path / "out" / "oci-annotations.json").read_text())
    assert annotations["org.cncf.ai.model.mof.class"] == "2"
    assert "model-openness-config-file" not in annotations["org.cncf.ai.model.mof.components"]


def test_the_page_escapes_what_it_shows() -> None:
    text = model_yaml([{"name": "Model card", "license": "<script>x</script>"}])
    text = text.replace('"example"', '"<img src=x onerror=y>"')
    page = make_report(parse_model(text), "mot", TABLE).as_html()
    assert "<script>x" not in page
    assert "<img src=x" not in page
    hostile = [{"name": "Model card", "component_path": "javascript:alert(1)"}]
    assert "javascript:" not in make_report(parse_model(model_yaml(hostile))).as_html()


def test_oci_annotations() -> None:
    annotations = oci_annotations(evaluate(load_model(GRANITE), table=TABLE))
    assert annotations["org.cncf.ai.model.mof.class"] == "3"
    assert annotations["org.cncf.ai.model.mof.version"] == "1.0"
    assert annotations["org.cncf.ai.model.mof.components"].split(",")[0] == "model-architecture"


@pytest.mark.parametrize("name", ["Granite-4-1.yml", "BLOOM.yml", "Amber.yml", "StarCoder.yml"])
def test_sbom_is_valid_spdx(name: str, tmp_path: Path) -> None:
    path = UPSTREAM / "models" / name
    if not path.exists():
        path = GRANITE
    verdict = evaluate(load_model(path), table=TABLE)
    document = spdx_document(verdict, "someone", hyperparameters={"seed": 1})
    expressions = [
        e["simplelicensing_licenseExpression"]
        for e in document["@graph"]
        if e["type"] == "simplelicensing_LicenseExpression"
    ]
    assert all(" " not in e or " AND " in e or " OR " in e for e in expressions)
    bindings = pytest.importorskip("spdx_python_model", reason="the SPDX bindings check the SBOM")
    model = bindings.v3_0_1
    target = tmp_path / "sbom.json"
    target.write_text(json.dumps(document))
    objects = model.SHACLObjectSet()
    with target.open("rb") as stream:
        model.JSONLDDeserializer().read(stream, objects)
    assert not objects.missing_ids
    kinds = {type(found).__name__ for found in objects.foreach()}
    assert {"ai_AIPackage", "SpdxDocument", "software_Sbom", "Relationship"} <= kinds


def test_check_for_ci(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--at-least", "III", str(GRANITE)]) == 0
    assert main(["check", "--at-least", "II", str(GRANITE)]) == 1
    assert main(["check", "--at-least", "III", "--profile", "strict", str(GRANITE)]) == 1
    capsys.readouterr()
    path = tmp_path / "a,b.yml"
    path.write_text(model_yaml([{"name": n, "license": "x%y\nz"} for n in REQUIRED_3]))
    assert main(["check", "--at-least", "3", "--format", "github", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("::error file=")
    assert "a%2Cb.yml,title=Model openness::Unclassified" in lines[0]
    assert any(",line=" in line and "x%25y%0Az" in line for line in lines)
    assert all(line.startswith("::") for line in lines)


def test_check_names_the_lines_of_warnings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "twice.yml"
    path.write_text(model_yaml([*REQUIRED_3, "Model card"], {"distribution": {"name": "MIT"}}))
    assert main(["check", "--at-least", "III", "--format", "github", str(path)]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert ",line=" in first
    assert "'Model card' is listed again" in first
    assert all(",line=" in line for line in others if line.startswith("::warning"))
    assert main(["check", "--at-least", "III", str(path)]) == 0
    assert "'Model card' is listed again" in capsys.readouterr().out


def test_inspect_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "tiny-net", FULL)
    target = tmp_path / "mof.yml"
    assert main(["inspect", str(folder), "-o", str(target)]) == 0
    assert evaluate(target, table=TABLE).number == 2
    assert "to decide: Research paper" in capsys.readouterr().err
    assert main(["report", str(folder), "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "openness.html").exists()
    assert main(["inspect", str(tmp_path / "nothing")]) == 1


def test_evaluate_prints_people_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(GRANITE)]) == 0
    out = capsys.readouterr().out
    assert "Class III - Open Model" in out
    assert "next: add the evaluation data under CDLA-Permissive-2.0 → Class II" in out
    assert "official and strict differ on Model parameters (Final)" in out
