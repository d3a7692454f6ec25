"""The openness record: the file that says what a model folder is, and how its parts are hashed.

``openness.json`` names every file with its hash, every component with its files and licence, and
how the model was made. Its own ``digest`` is over all of that, so one number stands for the folder.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast

from flambeau.openness.errors import OpennessError, display_name

RECORD: Final = "openness.json"
FORMAT: Final = "flambeau openness record"
VERSION: Final = 1

WEIGHTS: Final = "model.safetensors"
CHECKPOINTS: Final = "checkpoints"
CODE: Final = "code"
DATA_FOLDER: Final = "data"
STEPS: Final = "steps.jsonl"
RESULTS: Final = "results/evaluation.json"
CONFIGURATION: Final = "config.json"
RECIPE: Final = "recipe.json"
MODEL_FILE: Final = "mof.yml"
LICENSES: Final = "LICENSES"
MAXIMUM_RECORD: Final = 64 << 20

SECTIONS: Final[Mapping[str, type]] = {
    "model": dict,
    "components": dict,
    "files": dict,
    "tensors": dict,
    "checkpoints": list,
    "configuration": dict,
    "seed": int,
    "code": dict,
    "data": list,
    "environment": dict,
    "device": dict,
    "evaluation": list,
    "claim": dict,
    "recipe": dict,
    "tolerance": dict,
}
"""The parts of a record and their JSON types."""


def canonical(value: Any) -> bytes:
    """JSON with one spelling: sorted keys, no blanks, ASCII; NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest_of(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record without its own digest."""
    return hashlib.sha256(canonical({k: v for k, v in record.items() if k != "digest"})).hexdigest()


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file, read in pieces."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def files_of(folder: Path) -> Iterator[str]:
    """The regular files of a folder by their path with ``/``, sorted; links are not followed."""
    for path in sorted(folder.rglob("*")):
        if stat.S_ISREG(path.lstat().st_mode):
            yield path.relative_to(folder).as_posix()


def inside(folder: Path, name: str) -> Path:
    """The place of a file that a record names.

    Raises:
        OpennessError: if the name leads out of the folder.
    """
    pure = PurePosixPath(name)
    parts = pure.parts
    if not parts or pure.is_absolute() or ".." in parts or "\\" in name or "\0" in name:
        raise OpennessError(f"{display_name(name)!r} leads out of the folder", RECORD)
    path = folder.joinpath(*parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise OpennessError(f"{display_name(name)!r} is a link out of the folder", RECORD)
    return path


def read_record(folder: Path) -> dict[str, Any]:
    """Read and check the form of a folder's record.

    Raises:
        OpennessError: if there is none, or it is not a record of this version.
    """
    path = folder / RECORD
    file = str(path)
    if not folder.is_dir():
        raise OpennessError("no such folder", str(folder))
    if not path.is_file():
        raise OpennessError(f"has no {RECORD}: it was not written by record()", str(folder))
    if path.stat().st_size > MAXIMUM_RECORD:
        raise OpennessError(f"larger than {MAXIMUM_RECORD >> 20} MiB", file)
    try:
        record = json.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, RecursionError) as error:
        raise OpennessError(f"is not valid JSON: {error}", file) from error
    except json.JSONDecodeError as error:
        raise OpennessError(f"is not valid JSON: {error.msg}", file, error.lineno) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise OpennessError(f"is not a {FORMAT}", file)
    checked = cast("dict[str, Any]", record)
    _check_form(checked, file)
    return checked


def _check_form(record: dict[str, Any], file: str) -> None:
    if record.get("version") != VERSION:
        raise OpennessError(
            f"is a record of version {record.get('version')!r}; this one reads {VERSION}", file
        )
    for key, kind in SECTIONS.items():
        if not isinstance(record.get(key), kind):
            found = type(record.get(key)).__name__
            raise OpennessError(f"{key!r} must be {kind.__name__}, not {found}", file)
    for name, fact in record["files"].items():
        if not isinstance(fact, dict) or not {"sha256", "bytes"} <= set(cast("Any", fact)):
            raise OpennessError(f"{display_name(name)!r} has no hash and size", file)
    for name, fact in record["components"].items():
        parts = cast("dict[str, Any]", fact) if isinstance(fact, dict) else {}
        if not isinstance(parts.get("files"), list) or not isinstance(parts.get("license"), str):
            raise OpennessError(f"the component {name!r} has no list of files or no licence", file)
