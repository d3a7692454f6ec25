"""Executables as bytes, a table as JSON and the machine code: a second process only loads."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from flambeau.device.cpu.executable import CpuExecutable, CpuLaunch
from flambeau.graph.dtype import DTYPES, DType
from flambeau.graph.node import TensorType, tensor_type
from flambeau.kernel.program import HostCall, Slot

if TYPE_CHECKING:
    from flambeau.device.cpu.device import CpuDevice

_HEAD = struct.Struct("<II")


def pack(executable: CpuExecutable) -> bytes | None:
    """The executable as bytes; None where a host call has attributes that cannot be written."""
    try:
        steps = [_step(each) for each in executable.steps]
    except TypeError:
        return None
    codes = {
        each.code.digest: each.code.stored
        for each in executable.steps
        if isinstance(each, CpuLaunch)
    }
    table = {
        "fingerprint": executable.device.fingerprint(),
        "slots": [
            [each.type.dtype.name, each.type.shape, each.role, each.alias, each.offset]
            for each in executable.slots
        ],
        "steps": steps,
        "scalars": [each.name for each in executable.scalars],
        "inputs": executable.inputs,
        "outputs": executable.outputs,
        "arena": executable.arena,
        "codes": [[digest, len(stored)] for digest, stored in codes.items()],
    }
    head = json.dumps(table).encode()
    return _HEAD.pack(len(head), len(codes)) + head + b"".join(codes.values())


def unpack(data: bytes, device: CpuDevice) -> CpuExecutable | None:
    """The executable again; None where it was made for another processor or version."""
    length, _ = _HEAD.unpack_from(data)
    at = _HEAD.size + length
    table = json.loads(data[_HEAD.size : at])
    if table["fingerprint"] != device.fingerprint():
        return None
    stored: dict[str, bytes] = {}
    for digest, size in table["codes"]:
        stored[digest] = data[at : at + size]
        at += size
    codes = device.compiler.adopt(stored)
    steps: list[CpuLaunch | HostCall] = []
    for each in table["steps"]:
        if each[0] == "host":
            _, function, attrs, inputs, outputs = each
            steps.append(HostCall(function, _decoded(attrs), tuple(inputs), tuple(outputs)))
            continue
        _, digest, name, slots, scalars, locations, errors, independent = each
        meanings = {
            code: (kind, text, None if place is None else (place[0], place[1]))
            for code, kind, text, place in errors
        }
        where = tuple((file, line) for file, line in locations)
        numbers = (tuple(slots), tuple(scalars))
        steps.append(CpuLaunch(codes[digest], name, *numbers, where, meanings, independent))
    slots = [
        Slot(tensor_type(tuple(shape), DTYPES[name]), role, alias, offset)
        for name, shape, role, alias, offset in table["slots"]
    ]
    return CpuExecutable(
        device,
        slots,
        steps,
        tuple(DTYPES[name] for name in table["scalars"]),
        tuple(table["inputs"]),
        tuple(table["outputs"]),
        table["arena"],
    )


def _step(step: CpuLaunch | HostCall) -> list[Any]:
    if isinstance(step, HostCall):
        return ["host", step.function, _encoded(step.attrs), step.inputs, step.outputs]
    errors = [[code, *meaning] for code, meaning in step.errors.items()]
    known = (step.code.digest, step.name, step.slots, step.scalars, step.locations)
    return ["run", *known, errors, step.independent]


def _encoded(value: Any) -> Any:
    """A host call's attribute for JSON. Raises TypeError where it has no form there."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return ["tuple", *[_encoded(each) for each in value]]
    if isinstance(value, DType):
        return ["dtype", value.name]
    if isinstance(value, TensorType):
        return ["type", value.dtype.name, list(value.shape)]
    raise TypeError(f"{type(value).__name__} cannot be stored")


def _decoded(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    kind, *parts = value
    if kind == "tuple":
        return tuple(_decoded(each) for each in parts)
    if kind == "dtype":
        return DTYPES[parts[0]]
    return tensor_type(tuple(parts[1]), DTYPES[parts[0]])
