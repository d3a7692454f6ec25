"""``reproduce``: train again from a model folder alone, and compare the weights bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flambeau.openness import record_format as layout
from flambeau.openness.errors import OpennessError, display_name
from flambeau.openness.tensors import compare_files
from flambeau.openness.verification import check_digest, check_files, check_recipe

RESULT_FILES: Final = (layout.WEIGHTS, layout.STEPS, layout.MODEL_FILE, layout.RESULTS)
"""What a new run makes itself; it does not see the old ones."""


@dataclass(frozen=True)
class FirstDifference:
    """Where a new run first leaves the recorded one.

    Attributes:
        step: the step, or None after the last one.
        name: the tensor, or the number that was recorded at the step.
        part: what was compared where there is no step.
    """

    step: int | None
    name: str
    detail: str
    part: str = "the final weights"

    def __str__(self) -> str:
        where = self.part if self.step is None else f"step {self.step}"
        return f"{where}, {self.name}: {self.detail}"


@dataclass(frozen=True)
class Reproduction:
    """What came of training again.

    Attributes:
        is_identical: every compared number has the same bits.
        is_same_device: whether bits can be expected to be the same.
        largest: the largest relative difference of the final weights.
        first: where a difference first appears.
        compared: how many steps, checkpoints, tensors and results were compared.
        changes: what the new run had of other versions: libraries, Python, compiled plans.
    """

    folder: str
    is_identical: bool
    is_same_device: bool
    largest: float
    tolerance: float
    first: FirstDifference | None
    compared: dict[str, int]
    device: str
    changes: tuple[str, ...] = ()

    @property
    def is_reproduced(self) -> bool:
        """Bit for bit on the same kind of device; within the stated tolerance elsewhere."""
        if self.is_same_device:
            return self.is_identical
        return self.largest <= self.tolerance

    def as_json(self) -> dict[str, Any]:
        first = self.first
        return {
            "folder": self.folder,
            "is_reproduced": self.is_reproduced,
            "is_identical": self.is_identical,
            "is_same_device": self.is_same_device,
            "largest_relative_difference": str(self.largest),
            "tolerance": self.tolerance,
            "first_difference": first
            and {"step": first.step, "name": first.name, "detail": first.detail},
            "compared": self.compared,
            "device": self.device,
            "changes": list(self.changes),
        }

    def as_text(self) -> str:
        counts = ", ".join(f"{count} {what}" for what, count in self.compared.items())
        lines = [f"compared on {self.device}: {counts}"]
        if self.first is not None:
            lines.append(f"first difference: {self.first}")
            lines += [f"other than when it was recorded: {change}" for change in self.changes]
        if self.is_identical:
            lines.append(f"{self.folder}: reproduced, bit for bit")
        elif self.is_reproduced:
            lines.append(
                f"{self.folder}: reproduced on another kind of device, within the stated tolerance "
                f"({self.largest:.3g} ≤ {self.tolerance:.3g})"
            )
        else:
            lines.append(f"{self.folder}: not reproduced (weights differ by {self.largest:.3g})")
        return "\n".join(lines)


def reproduce(
    folder: Path | str, *, keep: Path | str | None = None, timeout: float = 3600
) -> Reproduction:
    """Run the recipe of a folder in a fresh copy and compare what it writes.

    This runs the code of the folder: only do it with folders that you would run.

    Args:
        keep: where to keep the new run; by default it is deleted.
        timeout: seconds after which the training is stopped.

    Raises:
        OpennessError: if the folder's hashes do not hold, or the training fails.
    """
    root = Path(folder)
    record = layout.read_record(root)
    for check in (check_digest, check_files, check_recipe):
        failed = [finding for finding in check(root, record) if finding.level == "failed"]
        if failed:
            raise OpennessError(f"cannot be trusted to be whole: {failed[0]}", str(root))
    with _workplace(keep) as place:
        output = place / "output"
        _copy_inputs(root, record, place / "folder")
        _train(record, place / "folder", output, timeout)
        return _compare(root, record, output)


@contextmanager
def _workplace(keep: Path | str | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="flambeau-reproduce-") as made:
            yield Path(made)
        return
    place = Path(keep)
    if place.exists() and any(place.iterdir()):
        raise OpennessError("is not an empty folder", str(place))
    place.mkdir(parents=True, exist_ok=True)
    yield place.resolve()


def _copy_inputs(root: Path, record: dict[str, Any], target: Path) -> None:
    """Copy what a training may see: everything but weights, checkpoints and results."""
    for name in record["files"]:
        if name in RESULT_FILES or name in record["tensors"]:
            continue
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(layout.inside(root, name), path)


def _train(record: dict[str, Any], folder: Path, output: Path, timeout: float) -> None:
    names = {"{python}": sys.executable, "{output}": str(output)}
    command = [_fill(str(part), names) for part in record["recipe"]["command"]]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise OpennessError(f"the training took more than {timeout:g} seconds") from error
    except OSError as error:
        raise OpennessError(f"the recipe could not be started: {error}") from error
    if done.returncode != 0:
        tail = display_name(" | ".join(done.stdout.decode("utf-8", "replace").splitlines()[-5:]))
        raise OpennessError(f"the training failed with status {done.returncode}: {tail}")


def _environment() -> dict[str, str]:
    """This process's environment, with Flambeau importable from the new working directory."""
    paths = [
        str(Path(p).resolve()) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p
    ]
    home = Path(__file__).parents[2]
    if home.name not in ("site-packages", "dist-packages"):
        paths.append(str(home))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _fill(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(name, value)
    return text


def _compare(root: Path, record: dict[str, Any], output: Path) -> Reproduction:
    new = layout.read_record(output)
    device, new_device = record["device"].get("kind"), new["device"].get("kind")
    first = _first_step_difference(root / layout.STEPS, output / layout.STEPS)
    checkpoint = _first_checkpoint_difference(root, record, output, new)
    if first is None or (checkpoint and checkpoint.step is not None and first.step is not None
                         and checkpoint.step < first.step):  # fmt: skip
        first = checkpoint
    final = compare_files(root / layout.WEIGHTS, output / layout.WEIGHTS)
    if first is None and final:
        first = FirstDifference(None, final[0].tensor, final[0].detail)
    first = first or _first_result_difference(record["evaluation"], new["evaluation"])
    return Reproduction(
        folder=display_name(str(root)),
        is_identical=first is None,
        is_same_device=device == new_device,
        largest=max((difference.relative for difference in final), default=0.0),
        tolerance=float(record["tolerance"].get("relative", 0.0)),
        first=first,
        compared={
            "steps": len(_steps(root / layout.STEPS)),
            "checkpoints": len(record["checkpoints"]),
            "tensors": sum(len(tensors) for tensors in record["tensors"].values()),
            "results": sum(len(result["metrics"]) for result in record["evaluation"]),
        },
        device=str(new_device),
        changes=tuple(_changes(record, new)),
    )


def _first_result_difference(old: list[Any], new: list[Any]) -> FirstDifference | None:
    theirs = {result["data"]: result["metrics"] for result in new}
    for result in old:
        found = theirs.get(result["data"], {})
        for name, value in result["metrics"].items():
            if found.get(name) != value:
                detail = _gap(value, found.get(name))
                return FirstDifference(None, name, detail, f"the results on {result['data']!r}")
    return None


def _changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """What may explain a difference: versions, the device's facts, and its plans."""
    before, after = old["environment"], new["environment"]
    for name in ("python", "implementation", "system", "machine"):
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name)} became {after.get(name)}"
    ours, theirs = before.get("packages", {}), after.get("packages", {})
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            yield f"{name}: {ours.get(name)} became {theirs.get(name)}"
    for name in sorted({*old["device"], *new["device"]} - {"plans"}):
        if old["device"].get(name) != new["device"].get(name):
            yield f"{name}: {old['device'].get(name)} became {new['device'].get(name)}"
    if old["device"].get("plans") != new["device"].get("plans"):
        yield "the compiled plans"


def _steps(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]


def _first_step_difference(old: Path, new: Path) -> FirstDifference | None:
    """The first step whose recorded numbers are not the same bits."""
    ours, theirs = _steps(old), _steps(new)
    if not ours:
        return None  # nothing was recorded to compare with
    for a, b in zip(ours, theirs, strict=False):
        if a == b:
            continue
        for name in sorted({*a, *b}):
            if a.get(name) != b.get(name):
                return FirstDifference(int(a["step"]), name, _gap(a.get(name), b.get(name)))
    if len(ours) != len(theirs):
        last = ours[max(min(len(ours), len(theirs)) - 1, 0)]["step"]
        return FirstDifference(int(last), "steps", f"{len(ours)} became {len(theirs)}")
    return None


def _gap(old: Any, new: Any) -> str:
    if isinstance(old, str) and isinstance(new, str):
        return f"{float.fromhex(old)!r} became {float.fromhex(new)!r}"
    return f"{old!r} became {new!r}"


def _first_checkpoint_difference(
    root: Path, record: dict[str, Any], output: Path, new: dict[str, Any]
) -> FirstDifference | None:
    theirs = {checkpoint["step"]: checkpoint["file"] for checkpoint in new["checkpoints"]}
    for checkpoint in record["checkpoints"]:
        step = checkpoint["step"]
        if step not in theirs:
            return FirstDifference(step, "checkpoint", "the new run has none")
        differences = compare_files(
            layout.inside(root, checkpoint["file"]), layout.inside(output, theirs[step])
        )
        if differences:
            return FirstDifference(step, differences[0].tensor, differences[0].detail)
    return None
