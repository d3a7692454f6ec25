"""What a weight file says about itself, from its header alone; nothing is unpickled."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass, field
from typing import Any, Final, cast

from flambeau.openness.tree import File, Tree

MAXIMUM_HEADER: Final = 32 << 20
HEAD: Final = 1 << 16

WEIGHT_SUFFIXES: Final = frozenset(
    """.safetensors .bin .pt .pth .ckpt .gguf .onnx .h5 .keras .msgpack .tflite .npz
    .params .pdparams .mlmodel""".split()  # noqa: SIM905  # a list of words reads best as words
)

_MALFORMED: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)

_LFS: Final = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d+)"
)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a safetensors header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass
class WeightHeader:
    """What the header of a weight file says.

    Attributes:
        kind: the format, or ``Git LFS pointer``.
        is_valid: whether the file is what its name says.
        detail: one phrase for people.
        metadata: texts that the header carries (name, licence, architecture).
    """

    kind: str
    is_valid: bool
    detail: str
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    metadata: dict[str, str] = field(default_factory=dict[str, str])


def read_header(tree: Tree, file: File) -> WeightHeader | None:
    """The header of a weight file; None where the file is not weights."""
    head = tree.read(file.path, HEAD)
    pointer = _LFS.match(head)
    if pointer:
        detail = f"Git LFS pointer to {int(pointer[2])} bytes; the weights are not in this folder"
        return WeightHeader("Git LFS pointer", False, detail)
    if file.suffix == ".safetensors":
        return read_safetensors(tree, file)
    if file.suffix == ".gguf":
        return _read_gguf(head, file.size)
    if head[:4] == b"PK\x03\x04" and file.suffix in (".bin", ".pt", ".pth", ".ckpt"):
        pickled = b"data.pkl" in head
        return WeightHeader("PyTorch", pickled, "a PyTorch archive (not opened)")
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04") and file.suffix != ".safetensors":
        return WeightHeader("pickle", True, "a pickle (not opened)")
    return _by_signature(file, head)


def _by_signature(file: File, head: bytes) -> WeightHeader | None:
    signatures = {
        ".h5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
        ".keras": (b"PK\x03\x04", "Keras archive"),
        ".npz": (b"PK\x03\x04", "NumPy archive"),
    }
    if file.suffix in signatures:
        magic, kind = signatures[file.suffix]
        if head.startswith(magic):
            return WeightHeader(kind, True, f"{kind}, {file.size} bytes")
        return WeightHeader(kind, False, f"named {file.suffix}, but has no {kind} header")
    if file.suffix == ".onnx":
        is_onnx = head[:1] == b"\x08" and len(head) > 8
        detail = f"ONNX, {file.size} bytes" if is_onnx else "named .onnx, but has no ONNX header"
        return WeightHeader("ONNX", is_onnx, detail)
    if file.suffix == ".tflite":
        return WeightHeader("TFLite", head[4:8] == b"TFL3", f"TFLite, {file.size} bytes")
    return None


def read_safetensors(tree: Tree, file: File) -> WeightHeader:
    """The header of a safetensors file: eight bytes of length, then JSON."""
    kind = "safetensors"
    try:
        (length,) = struct.unpack("<Q", tree.read(file.path, 8))
        if length > MAXIMUM_HEADER or length + 8 > file.size:
            return WeightHeader(kind, False, f"header of {length} bytes in {file.size}: damaged")
        header = json.loads(tree.read(file.path, 8 + length)[8:].decode("utf-8"))
        return _safetensors_header(cast("dict[str, Any]", header), length, file)
    except (struct.error, ArithmeticError, *_MALFORMED) as error:
        return WeightHeader(kind, False, f"not a safetensors file: {error}")


def _safetensors_header(header: dict[str, Any], length: int, file: File) -> WeightHeader:
    metadata = {str(k): str(v) for k, v in dict(header.pop("__metadata__", {})).items()}
    tensors: dict[str, Tensor] = {}
    elements = 0
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        shape = tuple(int(size) for size in entry["shape"])
        tensors[name] = Tensor(str(entry["dtype"]), shape, int(begin), int(end))
        count = 1
        for size in shape:
            count *= size
        elements += count
        problem = _tensor_problem(tensors[name], count)
        if problem:
            return WeightHeader("safetensors", False, f"tensor {name!r:.60}: {problem}")
    reach = 8 + length + max((tensor.end for tensor in tensors.values()), default=0)
    if reach > file.size:
        detail = f"holds {file.size} bytes of {reach}: cut off"
        return WeightHeader("safetensors", False, detail, tensors, metadata)
    detail = f"{len(tensors)} tensors, {elements:,} parameters"
    return WeightHeader("safetensors", bool(tensors), detail, tensors, metadata)


_ELEMENT_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16,
    "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def _tensor_problem(tensor: Tensor, count: int) -> str:
    """Why a tensor's place in the file cannot be right; empty if it can."""
    if not 0 <= tensor.begin <= tensor.end or count < 0:
        return f"bytes {tensor.begin} to {tensor.end} with shape {tensor.shape}"
    bits = _ELEMENT_BITS.get(tensor.dtype)
    if bits is None:
        return f"unknown type {tensor.dtype!r:.20}"
    if (count * bits + 7) // 8 != tensor.end - tensor.begin:
        return f"{tensor.end - tensor.begin} bytes for shape {tensor.shape} of {tensor.dtype}"
    return ""


_GGUF_SMALLEST_TENSOR: Final = 24
_GGUF_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_GGUF_STRING: Final = 8
_GGUF_ARRAY: Final = 9


def _read_gguf(head: bytes, size: int) -> WeightHeader:
    """Counts and the ``general.*`` texts of a GGUF header, as far as the first bytes reach."""
    if head[:4] != b"GGUF" or len(head) < 24:
        return WeightHeader("GGUF", False, "named .gguf, but has no GGUF header")
    version, tensors, pairs = struct.unpack_from("<IQQ", head, 4)
    metadata: dict[str, str] = {}
    position = 24
    try:
        for _ in range(min(pairs, 1000)):
            key, position = _gguf_text(head, position)
            (kind,) = struct.unpack_from("<I", head, position)
            position += 4
            if kind == _GGUF_STRING:
                value, position = _gguf_text(head, position)
                if key.startswith("general."):
                    metadata[key] = value
            elif kind == _GGUF_ARRAY:
                break
            else:
                position += _GGUF_SIZES[kind]
    except (struct.error, IndexError, KeyError):
        metadata = dict(metadata)  # what was read before the end of the head stays
    detail = f"GGUF version {version}, {tensors} tensors"
    is_possible = 0 < tensors * _GGUF_SMALLEST_TENSOR <= size
    return WeightHeader("GGUF", is_possible, detail, {}, metadata)


def _gguf_text(head: bytes, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", head, position)
    end = position + 8 + length
    if end > len(head):
        raise IndexError(end)
    return head[position + 8 : end].decode("utf-8", "replace"), end
