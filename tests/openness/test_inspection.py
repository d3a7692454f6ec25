"""From artefacts: components and licences with their evidence, and nothing invented."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambeau.openness.components import BY_NAME
from flambeau.openness.errors import OpennessError
from flambeau.openness.inspection import Inspection, inspect
from flambeau.openness.profiles import evaluate
from flambeau.openness.report import make_report
from flambeau.openness.tree import Folder, Upload
from tests.openness.support import UPSTREAM

MIT = (UPSTREAM / "LICENSE").read_text("utf-8")
LONG = "These words say enough about the matter to be more than an empty heading here. " * 3


def safetensors(shape: tuple[int, ...] = (2, 3)) -> bytes:
    size = 4
    for extent in shape:
        size *= extent
    header = {"weight": {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


CARD = f"""---
license: mit
pipeline_tag: image-classification
datasets: [someone/digits]
model-index:
- name: tiny
  results:
  - metrics:
    - {{type: accuracy, value: 0.97}}
---
# tiny-net
## Intended use
{LONG}
## Limitations
{LONG}
## Training data
{LONG}
## Evaluation
| data | accuracy |
|---|---|
| digits | 0.97 |
## Citation
```bibtex
@misc{{a,
  title={{tiny-net: a small network}},
  eprint={{2401.01234}},
}}
```
See also arXiv:1706.03762.
"""

FULL: dict[str, str | bytes] = {
    "LICENSE": MIT,
    "README.md": CARD,
    "DATA_CARD.md": "# Data\n" + LONG * 2,
    "model.safetensors": safetensors(),
    "checkpoints/step-10.safetensors": safetensors(),
    "src/model.py": "import torch\n\nclass Net(torch.nn.Module):\n    pass\n",
    "src/train.py": "# SPDX-License-Identifier: Apache-2.0\nloss.backward()\n",
    "src/evaluate.py": "def evaluate(): return accuracy\n",
    "src/predict.py": "with no_grad():\n    def predict(): ...\n",
    "src/preprocess.py": "x = open('a').read()\n",
    "data/train.csv": "1,2\n",
    "data/test.csv": "1,2\n",
    "requirements.txt": "numpy\n",
    "config.json": '{"a": 1}',
    "technical_report.pdf": b"%PDF-1.4",
}


def proposed(inspection: Inspection) -> dict[str, str | None]:
    return {p.component.name: p.license for p in inspection.proposals}


def test_a_full_folder(tmp_path: Path) -> None:
    inspection = inspect(write(tmp_path / "tiny-net", FULL))
    found = proposed(inspection)
    assert set(found) == set(BY_NAME) - {"Sample model outputs"}
    assert inspection.distribution is not None
    assert inspection.distribution.name == "MIT"
    assert found["Training code"] == "Apache-2.0"  # its own header wins
    assert found["Model architecture"] is None  # inherits
    assert found["Research paper"] == "unlicensed"  # it is elsewhere
    verdict = evaluate(inspection.model)
    assert verdict.schema_errors == []
    assert verdict.number == 2
    evidence = inspection.evidence_for(9)[0]
    assert (evidence.place, evidence.confidence) == ("src/model.py:3", "certain")
    assert 'type: "vision"  # README.md:3' in inspection.yaml
    assert json.dumps(inspection.as_json())


def test_every_component_needs_its_artefact(tmp_path: Path) -> None:
    inspection = inspect(write(tmp_path / "empty", {"notes.txt": "hello"}))
    assert inspection.proposals == []
    assert inspection.distribution is None
    assert evaluate(inspection.model).number == 0


def test_what_points_elsewhere_is_for_a_person(tmp_path: Path) -> None:
    card = "---\nlicense: mit\ndatasets: [a/b]\n---\n# X\nBuilt on arXiv:1706.03762.\n"
    config = '{"architectures": ["LlamaForCausalLM"]}'
    inspection = inspect(write(tmp_path / "x", {"README.md": card, "config.json": config}))
    assert "Datasets" not in proposed(inspection)
    assert "Research paper" not in proposed(inspection)
    assert "Model architecture" not in proposed(inspection)
    names = {found.number for found in inspection.doubtful}
    assert names == {9, 13, 15, 21}
    assert '#?     - name: "Datasets"' in inspection.yaml
    confirmed = inspection.yaml.replace("#? ", "")
    assert evaluate(confirmed).judgements.keys() >= names


def test_a_changed_licence_is_not_counted(tmp_path: Path) -> None:
    changed = MIT + "\nThe Software must not be used for commercial purposes.\n"
    files: dict[str, str | bytes] = {"LICENSE": changed, "model.safetensors": safetensors()}
    inspection = inspect(write(tmp_path / "a", files))
    assert inspection.distribution is None
    assert any("commercial" in doubt and "LICENSE:1" in doubt for doubt in inspection.doubts)
    inspection = inspect(write(tmp_path / "b", {**files, "README.md": "---\nlicense: mit\n---\n"}))
    assert inspection.distribution is None  # the tag does not outweigh the text


def test_conflicting_licences_are_for_a_person(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"LICENSE": MIT, "README.md": "---\nlicense: apache-2.0\n---\n"}
    inspection = inspect(write(tmp_path / "a", files))
    assert inspection.distribution is None
    assert any("several licences" in doubt for doubt in inspection.doubts)


def test_licences_by_folder_and_by_name(tmp_path: Path) -> None:
    isc = "SPDX-License-Identifier: ISC\n"
    files: dict[str, str | bytes] = {
        "LICENSE-CODE": MIT,
        "train.py": "loss.backward()\n",
        "weights/LICENSE": MIT,
        "weights/model.safetensors": safetensors(),
        "evaluate.py": f"# {isc}accuracy = 1\n",
    }
    found = proposed(inspect(write(tmp_path / "a", files)))
    assert found["Training code"] == "MIT"
    assert found["Model parameters (Final)"] == "MIT"
    assert found["Evaluation code"] == "ISC"


def test_damaged_weights_are_doubtful(tmp_path: Path) -> None:
    whole = safetensors()
    for name, content in {
        "cut": whole[:-4],
        "junk": os.urandom(64),
        "empty": b"",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64
        + b"\nsize 12345\n",
    }.items():  # fmt: skip
        inspection = inspect(write(tmp_path / name, {"model.safetensors": content}))
        assert proposed(inspection) == {}
        assert [found.number for found in inspection.doubtful] == [10]


def test_gguf_header(tmp_path: Path) -> None:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    content = b"GGUF" + struct.pack("<IQQ", 3, 5, 2)
    content += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    content += text("general.license") + struct.pack("<I", 8) + text("apache-2.0")
    inspection = inspect(write(tmp_path / "a", {"model.gguf": content + bytes(200)}))
    assert proposed(inspection) == {"Model parameters (Final)": "Apache-2.0"}


def test_links_are_not_followed_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret.safetensors"
    secret.write_bytes(safetensors())
    root = write(tmp_path / "a", {"x.txt": "x"})
    (root / "model.safetensors").symlink_to(secret)
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "self").symlink_to("self")
    inspection = inspect(root)
    assert inspection.proposals == []
    assert len(inspection.notes) == 3


def test_hub_cache_links_are_followed(tmp_path: Path) -> None:
    blobs = write(tmp_path / "blobs", {"abc": safetensors()})
    snapshot = tmp_path / "snapshots" / "rev"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blobs / "abc")
    assert proposed(inspect(snapshot)) == {"Model parameters (Final)": None}


def test_huge_and_deep_folders_are_bounded(tmp_path: Path) -> None:
    root = write(tmp_path / "a", {f"{i}.txt": "x" for i in range(60)})
    (root / "/".join(["d"] * 40)).mkdir(parents=True)
    seen: list[int] = []
    tree = Folder(root, maximum_files=50, progress=lambda count, _: seen.append(count))
    assert len(tree.files) == 50
    assert any("more than 50 files" in note for note in tree.notes)
    assert any("deeper" in note for note in Folder(root).notes)


def test_names_that_are_not_utf8_and_junk(tmp_path: Path) -> None:
    root = write(tmp_path / "a", {"LICENSE": os.urandom(2000)})
    with open(os.fsencode(root) + b"/train_\xff\xfe.py", "wb") as stream:
        stream.write(b"loss.backward()\n")
    inspection = inspect(root)
    assert "\\xff" in inspection.yaml
    assert inspection.yaml.encode("utf-8")
    assert evaluate(inspection.model).schema_errors == []
    assert any("LICENSE: is not text" in note for note in inspection.notes)


def test_broken_front_matter_is_a_note(tmp_path: Path) -> None:
    card = "---\nlicense: [mit\n---\n# X\n"
    inspection = inspect(write(tmp_path / "a", {"README.md": card}))
    assert any("README.md:" in note and "YAML" in note for note in inspection.notes)


def test_missing_folder() -> None:
    with pytest.raises(OpennessError, match="no such folder"):
        inspect("/nonexistent/folder")


def test_uploaded_files() -> None:
    tree = Upload("dropped", {"model.safetensors": (80 + 24, safetensors()), "LICENSE": (9, b"x")})
    assert "Model parameters (Final)" in proposed(inspect(tree))


def test_foreign_code_and_comments_do_not_count(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "third_party/other/train.py": "loss.backward()\n",
        "config/train_small.py": "# torchrun train.py\n# loss.backward()\nbatch = 3\n",
        "deep/er/model.py": "class Net(nn.Module): ...\n",
        "model.py": "import x\n\n# a comment\n\nclass Net(nn.Module): ...\n",
    }
    inspection = inspect(write(tmp_path / "a", files))
    assert set(proposed(inspection)) == {"Model architecture"}
    assert inspection.evidence_for(9)[0].place == "model.py:5"
    assert any("1 files in folders of other projects" in note for note in inspection.notes)


def test_citations_keep_to_their_entry(tmp_path: Path) -> None:
    card = """# tiny
## Citation
```bibtex
@article{a,
  title={Tiny: one},
  year={2024}
}
@article{b,
  title={Other: two},
  eprint={2402.00002}
}
```
"""
    inspection = inspect(write(tmp_path / "tiny", {"README.md": card}))
    paper = next(f for f in inspection.doubtful if f.number == 21)
    assert [e.artefact for e in paper.evidence] == ["", "https://arxiv.org/abs/2402.00002"]
    assert paper.evidence[0].line == 5


def header(document: object) -> bytes:
    text = json.dumps(document).encode()
    return struct.pack("<Q", len(text)) + text


DEEP = "[" * 50_000
HOSTILE: dict[str, str | bytes] = {
    "infinite.safetensors": header({"w": {"dtype": "F", "shape": [1e999], "data_offsets": [0, 1]}}),
    "list.safetensors": header([1]),
    "strange.safetensors": header({"w": 3, "__metadata__": 4}),
    "negative.safetensors": header({"w": {"dtype": "F", "shape": [], "data_offsets": [-9, -1]}}),
    "deep.safetensors": struct.pack("<Q", 50_000) + DEEP.encode(),
    "huge.safetensors": struct.pack("<Q", 1 << 63) + b"{}",
    "short.gguf": b"GGUF" + bytes(3),
    "long.gguf": b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60) + b"\xff" * 100,
    "model.onnx": b"",
    "model.bin": b"PK\x03\x04",
    "notebook.ipynb": DEEP,
    "train.ipynb": '{"cells": [{"cell_type": "code"}, 3]}',
    "results.json": DEEP,
    "config.json": '{"architectures": [',
    "pyproject.toml": "project = 3",
    "sub/pyproject.toml": "a = " + DEEP,
    "README.md": "---\nlicense: {a: 1}\ndatasets: {b: 2}\nmodel_name: [1]\nmodel-index: 7\n"
    "pipeline_tag: [x]\n---\n# \n" + "#" * 1000 + "\n```\n@\ntitle={",
    "LICENSE": "\0" * 100,
    "LICENSE-CODE": "(" * 10_000,
    "LICENSES/x.txt": "a b " * 60_000,
    "src/a.py": "# SPDX-License-Identifier: ((((\nclass A(Module): pass\n",
    "mof.yml": "release: {components: [{name: Datasets, component_path: ../../etc, license: []}]}",
    "data/README.md": "",
    "data/train.csv": "",
    "-rf.py": "\ud800".encode("utf-8", "surrogatepass"),
    "a\nb.py": "loss.backward()\n",
}


def test_hostile_files_give_a_valid_proposal(tmp_path: Path) -> None:
    inspection = inspect(write(tmp_path / "hostile", HOSTILE))
    assert evaluate(inspection.model, "strict").schema_errors == []
    assert "Model parameters (Final)" not in proposed(inspection)
    assert json.dumps(inspection.as_json())
    report = make_report(inspection.model, "mot", None, inspection)
    assert report.as_html()
    assert "\na\nb" not in report.as_markdown()


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FULL)), st.binary(max_size=300)))
def test_any_content_gives_a_valid_proposal(contents: dict[str, bytes]) -> None:
    tree = Upload("fuzz", {name: (len(raw), raw) for name, raw in contents.items()})
    errors = [note.message for note in evaluate(inspect(tree).model).schema_errors]
    assert all("refuses an empty list" in message for message in errors)
