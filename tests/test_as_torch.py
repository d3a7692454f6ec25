"""Flambeau in torch's place, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def code(text: str) -> subprocess.CompletedProcess[str]:
    return run("-c", f"import flambeau.as_torch\n{text}")


def test_every_way_of_importing_gives_the_same_modules() -> None:
    done = code(
        "import flambeau, torch, torch.nn as nn, torch.nn.functional as F, sys\n"
        "from torch import nn as again, optim\n"
        "from torch.utils.data import DataLoader\n"
        "import torch.optim.lr_scheduler\n"
        "assert torch is flambeau and nn is again is flambeau.nn and F is flambeau.nn.functional\n"
        "assert DataLoader is flambeau.utils.data.DataLoader\n"
        "assert sys.modules['torch.nn.functional'] is F\n"
        "assert nn.__name__ == 'flambeau.nn' and nn.__spec__.name == 'flambeau.nn'\n"
        "assert torch.__version__.startswith('2.13.0+flambeau')\n"
        "print(nn.Linear(2, 1)(torch.ones(1, 2)).shape)"
    )
    assert done.stdout == "torch.Size([1, 1])\n", done.stderr


@pytest.mark.parametrize(
    ("statement", "error", "expected"),
    [
        ("from torch.nn import Linea", "ImportError", ["torch.nn.Linea ", "Near: Linear"]),
        ("import torch.nn.modul", "ModuleNotFoundError", ["torch.nn.modul ", "Near: modules"]),
        ("torch.softma", "AttributeError", ["torch.softma ", "Near: softmax"]),
        ("torch.optim.Adm", "AttributeError", ["torch.optim.Adm ", "Near: Adam"]),
        ("torch.cuda.zzz", "AttributeError", ["torch.cuda.zzz ", "there is no CUDA"]),
        ("import torch.no_such.thing", "ModuleNotFoundError", ["torch.no_such "]),
    ],
)
def test_what_is_missing_is_named_with_the_place_that_asked(
    tmp_path: Path, statement: str, error: str, expected: list[str]
) -> None:
    script = tmp_path / "program.py"
    script.write_text(f"import torch\n{statement}\n")
    done = run("-m", "flambeau", "run", str(script))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(error)
    for each in [*expected, f"{script}:2", "python -m flambeau.api"]:
        assert each in last


def test_a_name_that_is_missing_is_not_there_for_hasattr() -> None:
    done = code("import torch; print(hasattr(torch, 'zzz'), hasattr(torch.nn, 'zzz'))")
    assert done.stdout == "False False\n", done.stderr


def test_a_module_that_needs_what_is_not_installed_says_that(tmp_path: Path) -> None:
    done = code(
        "import flambeau.utils, sys\n"
        f"flambeau.utils.__path__.append({str(tmp_path)!r})\n"
        f"open({str(tmp_path / 'needy.py')!r}, 'w').write('import not_installed_at_all')\n"
        "import torch.utils.needy"
    )
    assert "No module named 'not_installed_at_all'" in done.stderr


def test_pytorch_that_was_imported_first_is_not_replaced() -> None:
    done = run(
        "-c",
        "import sys, types; sys.modules['torch'] = types.ModuleType('torch')\n"
        "sys.modules['torch'].__file__ = 'elsewhere.py'; import flambeau.as_torch",
    )
    assert "PyTorch is imported already (from elsewhere.py)" in done.stderr


def test_run_gives_the_program_its_arguments_device_and_folder(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("VALUE = 3\n")
    script = tmp_path / "program.py"
    script.write_text(
        "import sys, torch, beside\n"
        "print(sys.argv[1:], __name__, beside.VALUE, torch.zeros(1).device)\n"
    )
    done = run("-m", "flambeau", "run", "--device", "reference", str(script), "a", "--b", "3")
    assert done.stdout == "['a', '--b', '3'] __main__ 3 reference\n", done.stderr


def test_run_without_such_a_file(tmp_path: Path) -> None:
    done = run("-m", "flambeau", "run", str(tmp_path / "none.py"))
    assert done.returncode == 2
    assert "there is no file" in done.stderr


MODULES_OF_LIBRARIES = [
    "torch._C",
    "torch._custom_ops",
    "torch._dynamo.eval_frame",
    "torch._dynamo.utils",
    "torch.ao.quantization",
    "torch.backends.cudnn",
    "torch.backends.mps",
    "torch.distributed.constants",
    "torch.jit.annotations",
    "torch.library",
    "torch.nn.modules.instancenorm",
    "torch.nn.quantized",
    "torch.onnx.symbolic_helper",
    "torch.onnx.symbolic_opset11",
    "torch.types",
    "torch.utils.model_zoo",
]


def test_modules_that_libraries_import_are_there() -> None:
    done = code("\n".join(f"import {each}" for each in MODULES_OF_LIBRARIES))
    assert done.returncode == 0, done.stderr


def test_the_version_that_libraries_look_up() -> None:
    done = code(
        "from importlib import metadata\n"
        "import torch\n"
        "assert metadata.version('torch') == torch.__version__\n"
        "assert [each for each in metadata.distributions() if each.name == 'torch']\n"
        "print(metadata.metadata('torch')['Name'])"
    )
    assert done.stdout == "torch\n", done.stderr
