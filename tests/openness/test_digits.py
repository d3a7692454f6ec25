"""The demo's model folder: Class I, verified, and trained again bit for bit from itself alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'demo'")
pytest.importorskip("matplotlib", reason="matplotlib is in the extra 'demo'")
pytest.importorskip("tqdm", reason="tqdm is in the extra 'demo'")

from flambeau.openness import inspect, load_model, reproduce, verify
from flambeau.openness import record_format as layout
from flambeau.openness.cli import main
from flambeau.openness.profiles import evaluate

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six epochs."""
    place = tmp_path_factory.mktemp("digits") / "model"
    arguments = ["--epochs", "6", "--seed", "3", "--device", "cpu", "--folder", str(place)]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "digits_record.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return place


def test_it_is_class_one_in_both_profiles(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_model(folder / layout.MODEL_FILE)
    assert not model.schema_errors
    for profile in ("mot", "strict"):
        assert evaluate(model, profile).number == 1
    assert main(["evaluate", str(folder / layout.MODEL_FILE), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["class"] == 1
    assert main(["check", "--at-least", "I", str(folder)]) == 0
    assert "Class I" in capsys.readouterr().out


def test_every_hash_and_claim_holds(folder: Path) -> None:
    result = verify(folder)
    assert result.is_proved, result.as_text()
    record = layout.read_record(folder)
    assert record["seed"] == 3
    assert [each["step"] for each in record["checkpoints"]] == [33, 66, 99]
    assert record["device"]["kind"].startswith("cpu: ")
    assert record["device"]["plans"]
    assert all(len(each) == 64 for each in record["device"]["plans"])
    assert {each["license"] for each in record["data"]} == {"CC-BY-4.0"}
    assert {"numpy", "scikit-learn"} <= set(record["environment"]["packages"])
    assert record["evaluation"][0]["metrics"]["accuracy"] > 0.95


def test_it_is_trained_again_bit_for_bit(folder: Path) -> None:
    result = reproduce(folder)
    assert result.is_identical, result.as_text()
    assert result.is_same_device
    assert result.compared == {"steps": 6 * 22, "checkpoints": 3, "tensors": 92, "results": 2}


def test_the_documents_say_what_was_measured(folder: Path) -> None:
    metrics = layout.read_record(folder)["evaluation"][0]["metrics"]
    for name in ("README.md", "data_card.md", "technical_report.md", "paper.md"):
        assert "$" not in (folder / name).read_text("utf-8")
    for name in ("README.md", "technical_report.md", "paper.md"):
        assert f"{metrics['accuracy']:.2%}" in (folder / name).read_text("utf-8")


def test_its_bill_of_materials_is_valid_spdx(folder: Path) -> None:
    bindings = pytest.importorskip("spdx_python_model", reason="the SPDX bindings check the SBOM")
    objects = bindings.v3_0_1.SHACLObjectSet()
    with (folder / "sbom.spdx.json").open("rb") as stream:
        bindings.v3_0_1.JSONLDDeserializer().read(stream, objects)
    assert not objects.missing_ids
    names = [getattr(each, "name", None) for each in objects.foreach()]
    for name in ("model.safetensors", "code/digits.py", "data/digits.csv.gz"):
        assert names.count(name) == 1


def test_inspect_agrees_with_it(folder: Path) -> None:
    inspection = inspect(folder)
    assert inspection.model.release["name"] == "digits"
    assert inspection.model.release["producer"] == "The developers of Flambeau"
    assert evaluate(inspection.model).number == 1
    assert not inspection.doubtful


def test_another_kind_of_device_is_named(folder: Path, tmp_path: Path) -> None:
    """The folder's own training, on the device that compiles nothing."""
    done = subprocess.run(
        [
            sys.executable, "code/digits_record.py", "--device", "reference", "--epochs", "1",
            "--data", "data/digits.csv.gz", "--folder", str(tmp_path / "again"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FLAMBEAU_DEVICE": "reference"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    device = layout.read_record(tmp_path / "again")["device"]
    assert device["kind"].startswith("reference")
    assert device["plans"] == []
