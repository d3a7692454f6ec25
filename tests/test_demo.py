"""The demo, at reduced size: it learns, writes its files, and its weights predict again."""

from __future__ import annotations

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
    """But for the imports, the example names Flambeau nowhere in its code."""
    code = [line for line in SCRIPT.read_text(encoding="utf-8").split('"""')[2].splitlines()]
    named = [line for line in code if "flambeau" in line.lower()]
    assert [line.split()[0] for line in named if "import" in line] == ["import", "from", "from"]
    assert [line for line in named if "import" not in line] == [
        '    parser = argparse.ArgumentParser(prog="flambeau demo", description=__doc__.split("\\n")[0])',
        '    parser.add_argument("--device", default=os.environ.get("FLAMBEAU_DEVICE", "cpu"))',
    ]
