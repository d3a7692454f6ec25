"""flambeau.explain: what will be done for a tensor, stage by stage, down to the device's code."""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flambeau.device import base
from flambeau.graph import op
from flambeau.graph.graph import Graph
from flambeau.graph.node import Location, Node, walk
from flambeau.kernel.program import Launch
from flambeau.schedule import plan
from flambeau.schedule.expand import expand
from flambeau.tensor.tensor import Tensor

_NOTHING = "nothing is pending: the value is computed already"


@dataclass(frozen=True)
class Explanation:
    """The stages as text. str() of it is the whole."""

    recorded: str
    """One line for each operation that was recorded, with the user's file and line."""
    kernels: str
    """Groups of primitives, and the kernels that they became."""
    launches: str
    """What the device will run, in order."""
    code: str
    """Each kernel as the device's code, where `launches` does not have it already."""

    def __str__(self) -> str:
        parts = (
            ("1. Recorded: operations as your program called them", self.recorded),
            ("2. Scheduled: groups of primitives (* is stored) and their kernels", self.kernels),
            ("3. Launched: what the device runs, in order", self.launches),
            ("4. Compiled: the device's code", self.code),
        )
        return "\n\n".join(f"{title}\n{'-' * len(title)}\n{text}" for title, text in parts if text)

    def __repr__(self) -> str:
        return f"<Explanation: {len(str(self).splitlines())} lines; print() shows them>"


def explain(*tensors: Tensor, show: bool = True) -> Explanation:
    """Print what Flambeau will do to compute these pending tensors; nothing is computed.

    With show=False it is only returned. Tensors that were computed before appear as inputs. What
    is on other devices, or computed already, is named where it enters. Results have memory of
    their own here; a real flush writes in place where nobody needs the old value. Raises TypeError
    for anything but tensors, ValueError where they are on several devices.
    """
    for each in tensors:
        if not isinstance(each, Tensor):
            raise TypeError(f"explain() expects tensors, got {type(each).__name__}")
    roots = list(dict.fromkeys([_value(each) for each in tensors]))
    found = _explained([each for each in roots if each.buffer is None])
    if show:
        print(found)
    return found


def _explained(roots: Sequence[Node]) -> Explanation:
    order = [each for each in walk(roots, _is_pending) if _is_pending(each)]
    if not order:
        return Explanation(_NOTHING, "", "", "")
    devices = {each.device for each in roots} - {None}
    if len(devices) > 1:
        raise ValueError(f"explain() expects tensors on one device, got {sorted(devices)}")
    device = base.get(devices.pop() if devices else "cpu")
    leaves = dict.fromkeys(
        source for each in order for source in each.inputs if not _is_pending(source)
    )
    recorded = "\n".join(_recorded(order, list(leaves)))
    graph = expand(order, leaves, roots)
    if hasattr(device, "interpret"):
        return Explanation(recorded, "", _interpreted(graph), "")
    program = plan.build(graph, device.limits)
    kernels = {
        each.kernel.digest: each.kernel for each in program.launches if isinstance(each, Launch)
    }
    return Explanation(
        recorded,
        plan.explain(graph, device.limits),
        device.compile(program).describe(),
        "\n".join(filter(None, [device.code(each) for each in kernels.values()])),
    )


def _value(tensor: Tensor) -> Node:
    node = tensor._read()
    while node.op is op.DETACH and node.buffer is None:
        node = node.inputs[0]
    return node


def _is_pending(node: Node) -> bool:
    """Whether the node is computed by the flush that is explained, on its device."""
    return node.buffer is None and node.op is not op.COPY


def _interpreted(graph: Graph) -> str:
    return "\n".join(f"numpy  {each.signature!r}" for each in walk(graph.outputs))


def _recorded(order: Sequence[Node], leaves: Sequence[Node]) -> Iterator[str]:
    """One line for each Node; what is beneath a composite is in the next stage."""
    names: dict[Node, str] = {}
    for number, leaf in enumerate(leaves):
        names[leaf] = f"input{number}"
        origin = f" (copied from {leaf.inputs[0].device})" if leaf.op is op.COPY else ""
        yield f"input{number}: {leaf.type!r}{origin}"
    before: Location | None = None
    for number, node in enumerate(order):
        names[node] = f"%{number}"
        if node.location is not None and node.location != before:
            before = node.location
            yield f"{_line(node.location)}"
        arguments = [names[each] for each in node.inputs] + [repr(each) for each in node.scalars]
        called = f"{node.op.name}({', '.join(arguments)}){_attrs(node)}"
        yield f"    %{number} = {called} -> {node.type!r}"


def _attrs(node: Node) -> str:
    shown = [each for each in node.attrs if each is not None]
    return f" {shown}" if shown else ""


def _line(location: Location) -> str:
    file, number = location
    source = linecache.getline(file, number).strip()
    return f"{Path(file).name}:{number}  {source}".rstrip()
