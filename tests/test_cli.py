"""The `flambeau` command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flambeau import cli, config
from flambeau.version import __version__


def test_info_prints_devices_versions_and_caches(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    printed = capsys.readouterr().out
    for expected in ("numpy", "llvmlite", "wgpu", "cpu ", "webgpu", "reference", "disk cache"):
        assert expected in printed
    assert str(config.CACHE) in printed
    assert "plans built" in printed


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert __version__ in capsys.readouterr().out


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_an_unknown_command_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["bake"])
    assert stopped.value.code == 2
    assert "bake" in capsys.readouterr().err


def test_demo_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["demo"]) == 1
    assert "pip install 'flambeau[demo]'" in capsys.readouterr().err


def test_demo_has_help() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'demo'")
    pytest.importorskip("matplotlib", reason="matplotlib is in the extra 'demo'")
    pytest.importorskip("tqdm", reason="tqdm is in the extra 'demo'")
    found = subprocess.run(
        [sys.executable, "-m", "flambeau", "demo", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--epochs" in found.stdout
    assert "--device" in found.stdout


def test_openness_is_handed_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["openness", "--help"]) == 0
    assert "flambeau openness" in capsys.readouterr().out


def test_demo_on_an_unknown_device_is_one_message() -> None:
    command = [sys.executable, "-m", "flambeau", "demo", "--device", "cuda"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "the devices are cpu, webgpu, reference" in run.stderr
    assert "Traceback" not in run.stderr
