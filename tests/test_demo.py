"""The demo, at reduced size: it learns, writes its files, and its weights predict again."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'demo'")
pytest.importorskip("matplotlib", reason="matplotlib is in the extra 'demo'")
pytest.importorskip("tqdm", reason="tqdm is in the extra 'demo'")

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "digits.py"


def test_three_epochs(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, SCRIPT, "--epochs", "3", "--output", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    (line,) = [each for each in found.stdout.splitlines() if each.startswith("accuracy")]
    assert float(line.split()[-1].rstrip("%")) >= 93
    assert "images/s" in found.stderr
    for name in ("loss.png", "confusion.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    table = [each for each in found.stdout.splitlines() if each.startswith(("cpu ", "webgpu"))]
    assert len(table) == 2, found.stdout

    from safetensors.numpy import load_file

    weights = load_file(tmp_path / "digits.safetensors")
    assert weights["classifier.2.weight"].shape == (10, 256)


def test_it_is_plain_pytorch() -> None:
    """Flambeau is named in three imports and nowhere else, so `torch` can take its place."""
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    imports = [
        ast.unparse(each)
        for each in ast.walk(tree)
        if isinstance(each, ast.Import | ast.ImportFrom) and "flambeau" in ast.unparse(each)
    ]
    assert imports == [
        "import flambeau as torch",
        "from flambeau import nn",
        "from flambeau.utils.data import DataLoader, TensorDataset",
    ]
    assert "flambeau" not in {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
