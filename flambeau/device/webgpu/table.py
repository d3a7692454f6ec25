"""Program → table: WGSL, bindings and buffers by number, all that a run needs and JSON can hold."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from flambeau.device.webgpu.carrier import nbytes
from flambeau.device.webgpu.choose import render
from flambeau.device.webgpu.memory import size_class
from flambeau.device.webgpu.render import Rendered
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.graph.node import TensorType, tensor_type
from flambeau.kernel.ir import Kernel
from flambeau.kernel.program import HostCall, Launch, Program

FORMAT = 1
BLOCK = 256  # bytes: alignment of a uniform's or a record's place


@dataclass(slots=True)
class Step:
    """One dispatch.

    `slots`: physical slots of bindings 1…; `sizes`: their bytes; `uniform` and `record`: byte
    places of its parameters and of its error record (-1: none); `errors`: one (exception, message,
    file, line) for each code.
    """

    name: str
    wgsl: str
    access: str
    groups: tuple[int, int]
    slots: list[int]
    sizes: list[int]
    uniform: int
    record: int
    errors: list[tuple[str, str, str, int]]


@dataclass(slots=True)
class Host:
    """One call of a host function."""

    function: str
    attrs: tuple[Any, ...]
    inputs: list[int]
    outputs: list[int]


@dataclass(slots=True)
class Table:
    """A whole program. `temporaries` maps slot → number of a shared buffer in `shared` (bytes)."""

    types: list[TensorType]
    roots: list[int]
    inputs: list[int]
    outputs: list[int]
    scalars: list[DType]
    steps: list[Step | Host] = field(default_factory=list)
    temporaries: dict[int, int] = field(default_factory=dict)
    shared: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)  # scalar of each uniform word, -1: zero
    records: int = 0  # bytes of all error records


def _roots(program: Program) -> list[int]:
    """The physical slot of each slot: an aliasing output is its input."""
    found = []
    for number in range(len(program.slots)):
        root = number
        while (alias := program.slots[root].alias) is not None:
            root = alias
        found.append(root)
    return found


_RENDERED: dict[tuple[str, tuple[int, ...], int], Rendered] = {}


def _render(kernel: Kernel, bindings: tuple[int, ...], most_points: int) -> Rendered:
    key = (kernel.digest, bindings, most_points)
    found = _RENDERED.get(key)
    if found is None:
        found = _RENDERED[key] = render(kernel, bindings, most_points)
    return found


class _Uniforms:
    """Places of the launches' scalars in the program's one uniform buffer."""

    def __init__(self) -> None:
        self.places: dict[tuple[int, ...], int] = {}
        self.words: list[int] = []

    def place(self, scalars: tuple[int, ...]) -> int:
        found = self.places.get(scalars)
        if found is None:
            found = self.places[scalars] = 4 * len(self.words)
            block = [-1, *scalars]
            block += [-1] * (-len(block) % (BLOCK // 4))
            self.words += block
        return found


def lower(program: Program, most_points: int) -> Table:
    """Render every launch of a program (see choose.render for `most_points`).

    Raises NotImplementedError naming what cannot run.
    """
    roots = _roots(program)
    table = Table(
        [each.type for each in program.slots],
        roots,
        list(program.inputs),
        list(program.outputs),
        list(program.scalars),
    )
    uniforms = _Uniforms()
    for each in program.launches:
        if isinstance(each, HostCall):
            inputs, outputs = ([roots[n] for n in part] for part in (each.inputs, each.outputs))
            table.steps.append(Host(each.function, each.attrs, inputs, outputs))
        elif math.prod(axis.extent for axis in each.kernel.domain):
            table.steps.append(_step(table, each, uniforms, most_points))
    table.words = uniforms.words
    _share(table, program)
    return table


def _step(table: Table, launch: Launch, uniforms: _Uniforms, most_points: int) -> Step:
    physical = [table.roots[each] for each in launch.slots]
    order = list(dict.fromkeys(physical))
    rendered = _render(launch.kernel, tuple(order.index(each) for each in physical), most_points)
    record = -1
    if rendered.codes:
        record = table.records
        table.records += -(-8 * len(rendered.codes) // BLOCK) * BLOCK
    errors = []
    for code in rendered.codes:
        exception, message, location = launch.errors[code]
        file, line = location or ("", 0)
        errors.append((exception, message, file, line))
    return Step(
        launch.kernel.name,
        rendered.wgsl,
        rendered.access,
        rendered.groups,
        order,
        [nbytes(table.types[each]) for each in order],
        uniforms.place(launch.scalars),
        record,
        errors,
    )


def _share(table: Table, program: Program) -> None:
    """Give temporaries whose lifetimes do not meet one buffer, by size class."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, step in enumerate(table.steps):
        used = step.slots if isinstance(step, Step) else [*step.inputs, *step.outputs]
        for slot in used:
            if program.slots[slot].role == "temporary":
                first.setdefault(slot, number)
                last[slot] = number
    free: dict[int, list[int]] = {}
    ending: dict[int, list[int]] = {}
    for slot in sorted(first, key=lambda each: (first[each], each)):
        for number in [each for each in ending if each < first[slot]]:
            for each in ending.pop(number):
                free.setdefault(table.shared[each], []).append(each)
        size = size_class(nbytes(table.types[slot]))
        if free.get(size):
            shared = free[size].pop()
        else:
            shared = len(table.shared)
            table.shared.append(size)
        table.temporaries[slot] = shared
        ending.setdefault(last[slot], []).append(shared)


# on disk -----------------------------------------------------------------------------------------


def _plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_plain(each) for each in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(each) for each in value) if isinstance(value, list) else value


def to_bytes(table: Table, fingerprint: str) -> bytes | None:
    """JSON with a checksum; None where a host call's attributes are not plain data."""
    steps: list[dict[str, Any]] = []
    for each in table.steps:
        if isinstance(each, Host) and not _plain(each.attrs):
            return None
        steps.append({"kind": type(each).__name__, **asdict(each)})
    document = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "types": [[each.dtype.name, each.shape] for each in table.types],
        "scalars": [each.name for each in table.scalars],
        "temporaries": list(table.temporaries.items()),
        "steps": steps,
        **{
            name: getattr(table, name)
            for name in ("roots", "inputs", "outputs", "shared", "words", "records")
        },
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def from_bytes(data: bytes, fingerprint: str) -> Table | None:
    """The table of `to_bytes`; None where the data are damaged or belong to another machine."""
    digest, _, text = data.partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    document = json.loads(text)
    if document.get("format") != FORMAT or document.get("fingerprint") != fingerprint:
        return None
    types = [tensor_type(tuple(shape), dtypes.DTYPES[name]) for name, shape in document["types"]]
    scalars = [dtypes.DTYPES[name] for name in document["scalars"]]
    table = Table(types, document["roots"], document["inputs"], document["outputs"], scalars)
    for row in document["steps"]:
        if row.pop("kind") == "Host":
            table.steps.append(Host(**{**row, "attrs": _as_tuples(row["attrs"])}))
        else:
            errors = [tuple(each) for each in row["errors"]]
            table.steps.append(Step(**{**row, "groups": tuple(row["groups"]), "errors": errors}))
    table.temporaries = dict(document["temporaries"])
    table.shared, table.words = document["shared"], document["words"]
    table.records = document["records"]
    return table
