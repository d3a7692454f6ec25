"""The safetensors format: what torch.save writes to a path that ends so.

A file is a safetensors file: the tensors, and in its metadata a JSON text that says how they are
put together (dicts, lists, tuples, numbers, strings). Tensors that share their whole storage (tied
weights) are stored once; a view of a part is stored as a tensor of its own. Reading a file runs no
code of it. Tensors are stored under the names of their places, a state_dict's under its own, so
that other programs can read them; a file of another program is read as a dict of tensors.
"""

from __future__ import annotations

import json
import math
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy

from flambeau.graph.dtype import DTYPES, DType
from flambeau.serialization.files import Array, CorruptError, Placement, placement
from flambeau.tensor.device import device
from flambeau.tensor.parameter import Parameter
from flambeau.tensor.size import Size
from flambeau.tensor.tensor import Tensor

_FORMAT = "flambeau.structure"
_VERSION = 1
_HEADER_LIMIT = 100 << 20
_CODES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "uint32": "U32",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}
_NAMES = {code: name for name, code in _CODES.items()}

# writing ----------------------------------------------------------------------------------------


class _Writer:
    """Turns an object into JSON and a dict of arrays."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self._names: dict[Any, str] = {}
        self._kept: list[Any] = []  # so that no id is used twice
        self._busy: set[int] = set()

    def encode(self, value: Any, path: str) -> Any:
        """The JSON of a value. Raises TypeError, naming the path, for what cannot be stored."""
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (int, numpy.integer)):
            return int(value)
        if isinstance(value, (float, numpy.floating)):
            return _encode_float(float(value))
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, numpy.ndarray):
            return {"array": self._array(value, path)}
        if isinstance(value, DType):
            return {"dtype": value.name}
        if isinstance(value, device):
            return {"device": str(value)}
        return self._container(value, path)

    def _container(self, value: Any, path: str) -> Any:
        if id(value) in self._busy:
            raise ValueError(f"cannot save {path}: it contains itself")
        self._busy.add(id(value))
        try:
            if isinstance(value, dict):
                return self._dict(value, path)
            if isinstance(value, (list, tuple, set, frozenset)):
                items = [self.encode(each, f"{path}[{i}]") for i, each in enumerate(value)]
                return items if type(value) is list else {_sequence_kind(value, path): items}
        finally:
            self._busy.discard(id(value))
        raise TypeError(
            f"cannot save {path}: a {type(value).__module__}.{type(value).__qualname__} is neither "
            "a tensor nor a number, a string, None, a dict, a list, a tuple or a set. Save a "
            "module's state_dict() instead of the module, and plain values instead of objects."
        )

    def _dict(self, value: dict[Any, Any], path: str) -> Any:
        kind = "ordered" if isinstance(value, OrderedDict) else "dict"
        items = [
            [self.encode(key, f"a key of {path}"), self.encode(each, f"{path}[{key!r}]")]
            for key, each in value.items()
        ]
        result: dict[str, Any] = {kind: items}
        metadata = getattr(value, "_metadata", None)
        if metadata is not None:
            result["metadata"] = self.encode(metadata, f"{path}._metadata")
        return result

    def _tensor(self, value: Tensor, path: str) -> Any:
        """A tensor; those that see the same whole storage are stored once."""
        storage = value._storage
        whole = value._view is None or _covers(value)
        name = self._names.get(id(storage)) if whole else None
        if name is None:
            name = self._array(value.detach()._to_numpy(), path)
            if whole:
                self._names[id(storage)] = name
                self._kept.append(storage)
        result: dict[str, Any] = {"tensor": name, "shape": list(value.shape)}
        if value.requires_grad:
            result["requires_grad"] = True
        if isinstance(value, Parameter):
            result["parameter"] = True
        return result

    def _array(self, array: Array, path: str) -> str:
        if array.dtype.name not in _CODES:
            raise TypeError(f"cannot save {path}: an array of {array.dtype} has no place in a file")
        name = _readable(path)
        while name in self.arrays:
            name += "_"
        self.arrays[name] = array
        return name


def _readable(path: str) -> str:
    """The name of an array in the file: "state['fc.weight']" becomes "state.fc.weight"."""
    name = path.replace("['", ".").replace("']", "").replace("[", ".").replace("]", "")
    return name.removeprefix("the object").removeprefix(".") or "tensor"


def _covers(value: Tensor) -> bool:
    """Whether a view sees its whole storage in order, if in another shape."""
    base = value._base
    return base is not None and value.is_contiguous() and value.numel() == base.numel()


def _sequence_kind(value: Any, path: str) -> str:
    if type(value) is tuple:
        return "tuple"
    if isinstance(value, Size):
        return "size"
    if isinstance(value, list):
        return "list"
    if isinstance(value, (set, frozenset)):
        return "set"
    raise TypeError(f"cannot save {path}: save the named tuple {type(value).__name__} as a dict")


def _encode_float(value: float) -> Any:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else {"float": repr(value)}


def _serialized(value: Any) -> tuple[bytes, list[Array]]:
    """The head of the file and the arrays that follow it."""
    writer = _Writer()
    structure = writer.encode(value, "the object")
    table: dict[str, Any] = {
        "__metadata__": {
            "format": "pt",
            _FORMAT: json.dumps({"version": _VERSION, "object": structure}, allow_nan=False),
        }
    }
    # Wide types first, as safetensors wants it: every array is aligned to its own elements.
    arrays = sorted(writer.arrays.items(), key=lambda each: -each[1].dtype.itemsize)
    start = 0
    for name, array in arrays:
        table[name] = {
            "dtype": _CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, start + array.nbytes],
        }
        start += array.nbytes
    text = json.dumps(table, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, [array for _, array in arrays]


def write(file: Any, obj: Any) -> None:
    """Write tensors and plain values, nested in dicts, lists and tuples, as a safetensors file.

    Raises TypeError, naming the place, for objects of other kinds.
    """
    head, arrays = _serialized(obj)
    file.write(head)
    for array in arrays:
        file.write(numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8).data)


# reading ----------------------------------------------------------------------------------------


def read(data: bytes, map_location: Any) -> Any:
    """What write wrote, or a dict of the tensors of any safetensors file."""
    if len(data) < 8:
        raise CorruptError(
            f"it has {len(data)} bytes, a safetensors file has 8 at least: truncated?"
        )
    if data[8:9] != b"{":
        raise CorruptError("it is neither a zip file of PyTorch's nor a safetensors file")
    table, body = _table(data)
    metadata = table.pop("__metadata__", {})
    place = placement(map_location)
    arrays = _arrays(table, body)
    if not isinstance(metadata, dict) or _FORMAT not in metadata:
        return {name: place(array, "cpu") for name, array in arrays.items()}
    description = _json(metadata[_FORMAT], "its description")
    if not isinstance(description, dict) or "object" not in description:
        raise CorruptError("its description lacks the object")
    if description.get("version") != _VERSION:
        raise CorruptError(
            f"it has version {description.get('version')} of the format, this program reads "
            f"version {_VERSION}: it was written by a newer one"
        )
    try:
        return _Reader(arrays, place).decode(description["object"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise CorruptError(f"its description does not fit its tensors ({error!r})") from None


def _json(text: Any, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptError(f"{what} is not valid JSON ({error})") from None


def _table(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """The table of tensors and the bytes that follow it."""
    (length,) = struct.unpack_from("<Q", data)
    if length > _HEADER_LIMIT:
        raise CorruptError(f"its header should have {length} bytes: it is not a safetensors file")
    if 8 + length > len(data):
        raise CorruptError(
            f"its header should have {length} bytes, but only {len(data) - 8} follow: truncated"
        )
    table = _json(data[8 : 8 + length], "its header")
    if not isinstance(table, dict):
        raise CorruptError("its header is not a JSON object")
    return table, memoryview(data)[8 + length :]


def _arrays(table: dict[str, Any], body: memoryview) -> dict[str, Array]:
    """All arrays, each checked against the file: no gap, no overlap, nothing missing."""
    spans: list[tuple[int, int, str]] = []
    found: dict[str, Array] = {}
    for name, entry in table.items():
        dtype, shape, start, end = _entry(name, entry)
        size = math.prod(shape) * dtype.itemsize
        if end - start != size:
            raise CorruptError(
                f"tensor '{name}' of shape {shape} and dtype {dtype.name} needs {size} bytes, but "
                f"its place has {end - start}"
            )
        if end > len(body):
            raise CorruptError(
                f"tensor '{name}' ends at byte {end} of the data, but only {len(body)} are there: "
                "truncated"
            )
        spans.append((start, end, name))
        found[name] = _array_of(body[start:end], dtype).reshape(shape)
    position = 0
    for start, end, name in sorted(spans):
        if start != position:
            raise CorruptError(f"tensor '{name}' begins at byte {start}, expected {position}")
        position = end
    if position != len(body):
        raise CorruptError(f"{len(body) - position} bytes follow the last tensor")
    return found


def _array_of(data: memoryview, dtype: DType) -> Array:
    if dtype.kind == "bool":  # a byte of a corrupt file may be anything
        return numpy.frombuffer(data, numpy.uint8) != 0
    return numpy.frombuffer(data, dtype.numpy)


def _entry(name: str, entry: Any) -> tuple[DType, tuple[int, ...], int, int]:
    try:
        code, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise CorruptError(f"the entry of tensor '{name}' lacks dtype, shape or offsets") from None
    if code not in _NAMES:
        raise CorruptError(f"tensor '{name}' has dtype {code}, which is not available")
    numbers = (*shape, start, end)
    if not all(isinstance(each, int) and each >= 0 for each in numbers):
        raise CorruptError(f"the shape or the offsets of tensor '{name}' are not natural numbers")
    return DTYPES[_NAMES[code]], shape, start, end


class _Reader:
    """Puts together what _Writer took apart."""

    def __init__(self, arrays: dict[str, Array], place: Placement) -> None:
        self._arrays = arrays
        self._place = place
        self._tensors: dict[str, Tensor] = {}

    def decode(self, value: Any) -> Any:
        """The value of its JSON."""
        if isinstance(value, list):
            return [self.decode(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "tensor" in value:
            return self._tensor(value)
        for kind in ("dict", "ordered"):
            if kind in value:
                return self._dict(kind, value)
        ((kind, content),) = value.items()
        if kind in _SEQUENCES:
            return _SEQUENCES[kind]([self.decode(each) for each in content])
        if kind == "array":
            return self._arrays[content].copy()
        return _PLAIN[kind](content)

    def _dict(self, kind: str, value: dict[str, Any]) -> Any:
        pairs = [(self.decode(key), self.decode(each)) for key, each in value[kind]]
        if kind == "dict":
            return dict(pairs)
        made = OrderedDict(pairs)
        if "metadata" in value:
            made._metadata = self.decode(value["metadata"])  # type: ignore[attr-defined]  # as state_dict
        return made

    def _tensor(self, value: dict[str, Any]) -> Tensor:
        name, shape = value["tensor"], tuple(value["shape"])
        whole = self._tensors.get(name)
        if whole is None:
            whole = self._tensors[name] = self._place(self._arrays[name], "cpu")
        made: Any = whole.detach()
        if tuple(whole.shape) != shape:
            made = made.reshape(shape)
        if value.get("parameter"):
            return Parameter(made, value.get("requires_grad", False))
        return made.requires_grad_(bool(value.get("requires_grad", False)))


_SEQUENCES: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "list": list,
    "set": set,
    "size": Size,
}
_PLAIN: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "dtype": DTYPES.__getitem__,
    "device": device,
}
