"""The layers: imports go down the ladder, and the public module hides no layer by accident."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "flambeau"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# torch.device, torch.tensor and torch.random are not the layers of these names.
SHADOWED = {"device", "tensor"}


def _imported_from_package(source: Path) -> set[str]:
    """What the file imports by `from flambeau import …` and `import flambeau.x as y`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "flambeau" and node.level == 0:
            names.update(each.name for each in node.names)
        elif isinstance(node, ast.Import):
            names.update(
                each.name.split(".")[1]
                for each in node.names
                if each.asname and each.name.startswith("flambeau.")
            )
    return names


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_asks_the_package_for_a_shadowed_layer(source: Path) -> None:
    assert not _imported_from_package(source) & SHADOWED, (
        "`from flambeau import device` gives torch.device once the package is imported: "
        "write `from flambeau.device import base`"
    )


def test_import_is_light() -> None:
    """Compilers and file formats come at first use: the budget of the import depends on it."""
    program = (
        "import sys, flambeau\n"
        "heavy = ['llvmlite', 'wgpu', 'safetensors', 'ml_dtypes', 'scipy', 'sklearn', 'yaml',"
        " 'asyncio', 'multiprocessing', 'concurrent.futures']\n"
        "print(','.join(each for each in heavy if each in sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == ""


def test_the_ladder_holds() -> None:
    """import-linter's contracts of pyproject.toml, as `make lint` runs them."""
    pytest.importorskip("importlinter", reason="import-linter is in the extra 'dev'")
    found = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-2000:]
