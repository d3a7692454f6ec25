"""Compare safetensors files tensor by tensor, bit for bit, without loading them whole."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flambeau.openness.errors import OpennessError, optional_library
from flambeau.openness.tree import File
from flambeau.openness.weights import Tensor, WeightHeader, read_safetensors

_FLOATS: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_PIECE: Final = 1 << 20


class _OneFile:
    """A tree of one file, for the header reader."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.files = [File(path.name, path.stat().st_size)]
        self.notes: list[str] = []

    def read(self, path: str, limit: int) -> bytes:
        with self.path.open("rb") as stream:
            return stream.read(limit)


def open_header(path: Path) -> tuple[WeightHeader, int]:
    """The header of a safetensors file and where its data begins.

    Raises:
        OpennessError: if it is not a whole safetensors file.
    """
    if not path.is_file():
        raise OpennessError("no such file", str(path))
    tree = _OneFile(path)
    header = read_safetensors(tree, tree.files[0])
    if not header.is_valid:
        raise OpennessError(header.detail, str(path))
    return header, 8 + int.from_bytes(tree.read(path.name, 8), "little")


def tensor_hashes(path: Path) -> dict[str, dict[str, Any]]:
    """Type, shape and SHA-256 of every tensor of a file."""
    header, start = open_header(path)
    facts: dict[str, dict[str, Any]] = {}
    with path.open("rb") as stream:
        for name in sorted(header.tensors):
            tensor = header.tensors[name]
            stream.seek(start + tensor.begin)
            digest = hashlib.sha256()
            left = tensor.end - tensor.begin
            while left > 0 and (piece := stream.read(min(left, _PIECE))):
                digest.update(piece)
                left -= len(piece)
            facts[name] = {
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "sha256": digest.hexdigest(),
            }
    return facts


@dataclass(frozen=True)
class TensorDifference:
    """How one tensor of two files differs.

    Attributes:
        relative: the largest difference over the largest magnitude; infinite where the tensors
            cannot be compared (missing, other shape or type, NaN on one side).
    """

    tensor: str
    detail: str
    relative: float


def compare_files(first: Path, second: Path) -> list[TensorDifference]:
    """Every tensor that is not the same bits in both files, in the order of their names."""
    ours, theirs = tensor_hashes(first), tensor_hashes(second)
    differences: list[TensorDifference] = []
    for name in sorted({*ours, *theirs}):
        if ours.get(name) == theirs.get(name):
            continue
        if name not in ours or name not in theirs:
            which = "only in the original" if name in ours else "only in the new run"
            differences.append(TensorDifference(name, which, math.inf))
        else:
            differences.append(_difference(name, ours[name], theirs[name], first, second))
    return differences


def _difference(
    name: str, ours: dict[str, Any], theirs: dict[str, Any], first: Path, second: Path
) -> TensorDifference:
    for key in ("dtype", "shape"):
        if ours[key] != theirs[key]:
            return TensorDifference(name, f"{key} {ours[key]} became {theirs[key]}", math.inf)
    if ours["dtype"] not in _FLOATS:
        return TensorDifference(name, f"other values ({ours['dtype']})", math.inf)
    numpy = optional_library("numpy", "numpy")
    a, b = (_values(numpy, path, name) for path in (first, second))
    if not bool((numpy.isnan(a) == numpy.isnan(b)).all()):
        return TensorDifference(name, "NaN in one of the two", math.inf)
    with numpy.errstate(invalid="ignore"):
        gap = numpy.nan_to_num(numpy.abs(a - b), nan=0.0)
    largest = float(gap.max(initial=0.0))
    scale = float(numpy.nan_to_num(numpy.abs(a), nan=0.0).max(initial=0.0))
    relative = largest / scale if scale > 0 else (math.inf if largest > 0 else 0.0)
    count = int((gap > 0).sum())
    detail = (
        f"{count} of {a.size} values differ, at most by {largest:.3g} (relative {relative:.3g})"
    )
    return TensorDifference(name, detail, relative)


def _values(numpy: Any, path: Path, name: str) -> Any:
    header, start = open_header(path)
    tensor: Tensor = header.tensors[name]
    with path.open("rb") as stream:
        stream.seek(start + tensor.begin)
        raw = stream.read(tensor.end - tensor.begin)
    values = numpy.frombuffer(raw, dtype=_FLOATS[tensor.dtype])
    if tensor.dtype == "BF16":
        values = (values.astype("<u4") << 16).view("<f4")
    return values.astype("f8")
