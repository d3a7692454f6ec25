"""record, verify, reproduce: around a tiny training that needs numpy alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from flambeau.openness import record_format as layout
from flambeau.openness.cli import main
from flambeau.openness.errors import OpennessError
from flambeau.openness.inspection import inspect
from flambeau.openness.profiles import evaluate
from flambeau.openness.recording import DataSource, commit_of, record, save_safetensors
from flambeau.openness.reproduction import reproduce
from flambeau.openness.tensors import compare_files, tensor_hashes
from flambeau.openness.verification import verify

TRAINING = Path(__file__).parent / "training"
WORDS = "Words about the matter, enough of them to be more than an empty page. " * 12


def make_inputs(root: Path) -> Path:
    generator = numpy.random.default_rng(0)
    for name, count in (("train", 40), ("test", 10)):
        inputs = generator.normal(size=(count, 2))
        rows = numpy.column_stack([inputs, inputs.sum(1) > 0])
        numpy.savetxt(root / f"{name}.csv", rows, delimiter=",")
    for name in ("model_card", "data_card", "technical_report", "paper"):
        (root / f"{name}.md").write_text(f"# {name}\n\n{WORDS}\n")
    return root


def train(inputs: Path, output: Path, *extra: str) -> None:
    command = [
        sys.executable, str(TRAINING / "train.py"), "--output", str(output), "--data", str(inputs),
        "--documents", str(inputs), "--seed", "7", *extra,
    ]  # fmt: skip
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("proof")
    train(make_inputs(root), root / "model")
    return root / "model"


@pytest.fixture
def model(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "model"))


def reseal(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a record and give it a fitting digest, as someone who cheats would."""
    path = folder / layout.RECORD
    document = json.loads(path.read_text())
    change(document)
    for name in document["files"]:
        if (folder / name).is_file():
            digest, size = layout.hash_file(folder / name)
            document["files"][name] = {"sha256": digest, "bytes": size}
    document["digest"] = layout.digest_of(document)
    path.write_text(json.dumps(document))


def test_the_folder_is_class_one_and_proved(original: Path) -> None:
    assert evaluate(original / "mof.yml").number == 1
    assert evaluate(original / "mof.yml", "strict").number == 1
    result = verify(original)
    assert result.is_proved, result.as_text()
    assert {f.file for f in result.findings if f.level == "open"} <= {""}
    document = layout.read_record(original)
    assert document["claim"] == {"mot": 1, "strict": 1, "license_list": "d8abdb0"}
    assert [c["step"] for c in document["checkpoints"]] == [5, 10, 15, 20]
    assert document["device"] == {"kind": "numpy cpu", "plans": ["0" * 64]}
    assert document["environment"]["packages"]["numpy"] == numpy.__version__
    assert str(original) not in (original / layout.RECORD).read_text()
    sbom = json.loads((original / "sbom.spdx.json").read_text())
    hashed = [e for e in sbom["@graph"] if e["type"] == "software_File"]
    assert "model.safetensors" in {e["name"] for e in hashed}


def test_inspect_agrees_with_the_record(original: Path) -> None:
    inspection = inspect(original)
    assert evaluate(inspection.model).number == 1
    assert evaluate(inspection.model, "strict").number == 1
    assert inspection.model_file == "mof.yml"


def test_reproduced_bit_for_bit(original: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", str(original), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["is_identical"]
    assert result["compared"] == {"steps": 20, "checkpoints": 4, "tensors": 10, "results": 1}
    assert main(["verify", str(original)]) == 0
    assert "every hash and claim holds" in capsys.readouterr().out


def test_a_different_training_is_located(model: Path) -> None:
    """From step 8 on the folder's own training adds noise: step 9 sees it first."""
    recipe = json.loads((model / layout.RECIPE).read_text())
    recipe["command"] += ["--noise", "1e-6", "--noise-from", "8"]
    (model / layout.RECIPE).write_text(json.dumps(recipe))
    reseal(model, lambda document: document.update(recipe=recipe))
    result = reproduce(model)
    assert not result.is_identical
    assert not result.is_reproduced
    assert result.first is not None
    assert (result.first.step, result.first.name) == (9, "loss")
    (model / layout.STEPS).unlink()
    reseal(model, lambda document: document["files"].pop(layout.STEPS))
    result = reproduce(model)
    assert result.first is not None
    assert (result.first.step, result.first.name) == (10, "bias")


def test_the_first_tensor_is_named(model: Path, tmp_path: Path) -> None:
    recipe = json.loads((model / layout.RECIPE).read_text())
    recipe["command"] += ["--noise", "1e-6", "--noise-from", "20"]
    (model / layout.RECIPE).write_text(json.dumps(recipe))
    reseal(model, lambda document: document.update(recipe=recipe))
    result = reproduce(model, keep=tmp_path / "kept")
    assert result.first is not None
    assert (result.first.step, result.first.name) == (20, "weight")
    assert "2 of 2 values differ" in result.first.detail
    assert 0 < result.largest < 1e-4
    assert (tmp_path / "kept" / "output" / "model.safetensors").exists()
    other = json.loads((model / layout.RECORD).read_text())["device"] | {"kind": "another"}
    reseal(model, lambda document: document.update(device=other))
    elsewhere = reproduce(model)
    assert elsewhere.is_reproduced
    assert not elsewhere.is_identical
    assert "within the stated tolerance" in elsewhere.as_text()


def test_a_training_that_fails(model: Path) -> None:
    (model / "code" / "train.py").write_text("raise SystemExit('no')\n")
    with pytest.raises(OpennessError, match=r"code/train\.py: file: 23 bytes"):
        reproduce(model)
    reseal(model, lambda _: None)
    with pytest.raises(OpennessError, match="failed with status 1: no"):
        reproduce(model)
    (model / "code" / "train.py").write_text("import time; time.sleep(60)\n")
    reseal(model, lambda _: None)
    with pytest.raises(OpennessError, match=r"more than 0\.5 seconds"):
        reproduce(model, timeout=0.5)


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of the weights": (lambda m: flip(m / "model.safetensors"), "content was changed"),
    "a missing checkpoint": (
        lambda m: (m / "checkpoints" / "step-00000010.safetensors").unlink(),
        "missing",
    ),
    "the code": (lambda m: (m / "code" / "network.py").write_text("x = 1\n"), "bytes"),
    "the data": (lambda m: flip(m / "data" / "train.csv"), "content was changed"),
    "a licence text": (
        lambda m: (m / "LICENSES" / "Apache-2.0.txt").write_text("MIT"),
        "is not the text of Apache-2.0",
    ),
    "the model file": (
        lambda m: (m / "mof.yml").write_text((m / "mof.yml").read_text().replace("CC-BY", "CC-NC")),
        "class 1 is claimed",
    ),
    "the record": (
        lambda m: (m / "openness.json").write_text(
            (m / "openness.json").read_text().replace("the tests", "somebody")
        ),
        "the record was changed",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed(model: Path, change: str) -> None:
    action, message = CHANGES[change]
    action(model)
    result = verify(model)
    assert not result.is_proved
    assert message in result.as_text()
    assert main(["verify", str(model)]) == 1


def test_false_claims_are_noticed_even_when_resealed(model: Path) -> None:
    def claim(document: dict[str, Any]) -> None:
        document["claim"]["strict"] = 2
        document["evaluation"][0]["metrics"]["loss"] = 0.0
        document["components"]["Model card"]["files"] = ["nothing.md"]
        document["code"]["commit"] = "main"
        document["tensors"]["model.safetensors"]["weight"]["shape"] = [3]

    reseal(model, claim)
    said = verify(model).as_text()
    for message in ("class 2 is claimed", "evaluation results: they differ", "nothing.md",
                    "not a hash", "weight differ"):  # fmt: skip
        assert message in said


def test_files_that_are_not_in_the_record(model: Path) -> None:
    (model / "extra.bin").write_bytes(b"x")
    result = verify(model)
    assert result.is_proved
    assert "extra.bin: not in the record" in result.as_text()


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "", "link/x"])
def test_records_that_lead_out_of_the_folder(model: Path, name: str) -> None:
    (model / "link").symlink_to(model.parent)
    (model.parent / "x").write_text("x")

    def add(document: dict[str, Any]) -> None:
        document["files"][name] = {"sha256": "0" * 64, "bytes": 1}
        document["digest"] = layout.digest_of(document)

    path = model / layout.RECORD
    document = json.loads(path.read_text())
    add(document)
    path.write_text(json.dumps(document))
    assert "out of the folder" in verify(model).as_text()
    with pytest.raises(OpennessError):
        reproduce(model)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a flambeau openness record"),
        ('{"format": "flambeau openness record", "version": 2}', "version 2"),
        ('{"format": "flambeau openness record", "version": 1}', "'model' must be dict"),
    ],
)
def test_what_is_no_record(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(OpennessError, match=r"has no openness\.json"):
        verify(tmp_path)
    (tmp_path / layout.RECORD).write_text(content)
    with pytest.raises(OpennessError, match=message):
        verify(tmp_path)


def test_damaged_records_fail_without_a_traceback(model: Path) -> None:
    document = json.loads((model / layout.RECORD).read_text())
    for key, value in {
        "checkpoints": [1], "data": [{}], "recipe": {}, "code": {"commit": 1},
        "tensors": {"model.safetensors": None}, "claim": {},
    }.items():  # fmt: skip
        (model / layout.RECORD).write_text(json.dumps(document | {key: value}))
        assert not verify(model).is_proved


def test_record_refuses_wrong_use(tmp_path: Path) -> None:
    common: dict[str, Any] = {
        "name": "a", "producer": "b", "root": TRAINING, "command": ["{python}"], "seed": 0,
    }  # fmt: skip
    used = tmp_path / "used"
    used.mkdir()
    (used / "x").touch()
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (used, {"code": {}}, "not an empty folder"),
        (tmp_path / "1", {"code": {"Model card": ["train.py"]}}, "expected one of"),
        (tmp_path / "2", {"code": {"Training code": ["none.py"]}}, "no such file"),
        (tmp_path / "3", {"code": {"Training code": ["../support.py"]}}, "leads out"),
        (tmp_path / "4", {"code": {}, "data": [DataSource("d", ["none"])]}, "no such data"),
        (tmp_path / "5", {"code": {}}, "without weights"),
    ]
    for folder, arguments, message in cases:
        with pytest.raises(OpennessError, match=message), record(folder, **common, **arguments):
            pass


def test_record_with_little_evidence_claims_little(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with record(
        folder, name="a", producer="b", root=TRAINING, code={"Training code": ["train.py"]},
        command=["{python}", "code/train.py", "{output}"], seed=0,
    ) as run:  # fmt: skip
        run.weights({"w": numpy.zeros(2, "f4")})
        run.checkpoint(2, {"w": numpy.zeros(2, "f4")})
        with pytest.raises(ValueError, match="in order"):
            run.checkpoint(1, {"w": numpy.zeros(2, "f4")})
    result = verify(folder)
    assert result.is_proved, result.as_text()
    claim = layout.read_record(folder)["claim"]
    assert (claim["mot"], claim["strict"]) == (0, 0)


def test_the_commit_is_that_of_the_code(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("needs git")

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True)

    (tmp_path / "train.py").write_text("a = 1\n")
    (tmp_path / ".gitignore").write_text("venv/\n")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "train.py").write_text("a = 1\n")
    git("init", "-q")
    git("add", "train.py", ".gitignore")
    git("commit", "-qm", "code")
    found = commit_of(tmp_path, ["train.py"])
    assert re.fullmatch("[0-9a-f]{40}", found["commit"])
    assert not found["is_changed"]
    assert commit_of(tmp_path / "venv", ["train.py"])["commit"] is None
    assert commit_of(tmp_path, ["train.py", "venv/train.py"])["is_changed"]
    (tmp_path / "train.py").write_text("a = 2\n")
    assert commit_of(tmp_path, ["train.py"])["is_changed"]


def test_comparing_tensors(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    base = {
        "same": numpy.arange(4, dtype="f4"),
        "near": numpy.array([1, 2], "f8"),
        "shape": numpy.zeros(2, "f4"),
        "int": numpy.array([1], "i8"),
        "nan": numpy.array([numpy.nan, 1], "f4"),
        "gone": numpy.zeros(1, "f4"),
        "empty": numpy.zeros((0, 3), "f4"),
    }
    save_safetensors(first, base)
    changed = dict(base, near=base["near"] + [0, 1e-9], shape=numpy.zeros(3, "f4"),
                   int=numpy.array([2]), nan=numpy.array([0, 1], "f4"))  # fmt: skip
    del changed["gone"]
    save_safetensors(second, changed)
    found = {d.tensor: d for d in compare_files(first, second)}
    assert set(found) == {"near", "shape", "int", "nan", "gone"}
    assert found["near"].relative == pytest.approx(5e-10)
    assert "shape [2] became [3]" in found["shape"].detail
    assert tensor_hashes(first)["same"]["dtype"] == "F32"
    assert compare_files(first, first) == []
    with pytest.raises(OpennessError, match="no such file"):
        tensor_hashes(tmp_path / "none")
