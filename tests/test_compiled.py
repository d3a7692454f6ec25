"""What is compiled ahead of time for wheels: see hatch_build.py and `make test-compiled`."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy
import pytest

import flambeau as torch
from flambeau.graph.compiled import COMPILED
from flambeau.graph.dtype import float32
from flambeau.graph.node import tensor_type

pytest.importorskip("hatchling", reason="the extra 'dev' brings hatchling")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
hatch_build = importlib.import_module("hatch_build")


def test_types_belong_to_modules_that_are_compiled() -> None:
    typed = {str(each.relative_to(ROOT)) for each in (ROOT / "flambeau").rglob("*.pxd")}
    listed = hatch_build.modules()
    from_c = {"flambeau/device/cpu/native.pxd", "flambeau/graph/references.pxd"}
    assert from_c < typed and typed - from_c <= {f"{each[:-3]}.pxd" for each in listed}
    assert all((ROOT / each).is_file() for each in listed) and listed == sorted(listed)


@pytest.mark.skipif(not COMPILED, reason="`make test-compiled` runs this")
def test_all_listed_modules_are_compiled() -> None:
    for each in hatch_build.modules():
        module = importlib.import_module(each[:-3].replace("/", "."))
        assert not str(module.__file__).endswith(".py")


def test_a_wheel_has_what_it_was_asked_for(tmp_path: Path) -> None:
    """The compiled modules, or none; either way all the source."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    variables = {} if COMPILED else {"FLAMBEAU_COMPILE": "0"}
    subprocess.run(command, cwd=ROOT, env=os.environ | variables, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    binary = [each for each in names if each.endswith((".so", ".pyd"))]
    assert len(binary) == (len(hatch_build.modules()) if COMPILED else 0)
    assert wheel.name.endswith("py3-none-any.whl") is not COMPILED
    assert set(hatch_build.modules()) < set(names)


def test_what_cannot_be_compiled_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hatch_build, "modules", lambda: ["flambeau/nowhere.py"])
    with pytest.raises(hatch_build.BuildError, match="nowhere"):
        hatch_build.compiled_modules(tmp_path)


def test_a_type_holds_a_plain_tuple() -> None:
    x = torch.ones(2, 3)
    y = torch.empty(x.shape)
    assert type(tensor_type(torch.Size((2, 3, 417)), float32).shape) is tuple
    assert type(y._type.shape) is tuple


@pytest.mark.parametrize("kind", [">i4", "<i4", ">f8", "complex64", "?"])
def test_arrays_of_any_byte_order(kind: str) -> None:
    array = numpy.arange(6).reshape(2, 3).astype(kind)
    for each in (array, array.T, array[:, ::2], array[:0]):
        native = numpy.ascontiguousarray(each.astype(array.dtype.newbyteorder("=")))
        assert numpy.array_equal(torch.from_numpy(native).numpy(), each)
        found = torch.tensor(each)
        assert numpy.array_equal(found.numpy(), each)
