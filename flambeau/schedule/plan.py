"""From a graph to a program: simplify, group, lower, place in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flambeau.graph import op
from flambeau.graph.graph import Graph
from flambeau.graph.node import Location, Node
from flambeau.graph.rewrite import Rules
from flambeau.graph.simplify import simplify
from flambeau.graph.verify import verify
from flambeau.kernel import movement, reduce
from flambeau.kernel.attention import lower_attention
from flambeau.kernel.limits import FEWEST, Limits
from flambeau.kernel.lower import Lowered, canonical
from flambeau.kernel.map import lower_frame
from flambeau.kernel.printer import kernel_text
from flambeau.kernel.program import HostCall, Launch, Program
from flambeau.kernel.scatter import lower_assign, lower_cat, lower_copy, lower_scatter
from flambeau.kernel.sort import lower_sort
from flambeau.schedule.attention import storing_scores
from flambeau.schedule.group import Grouper
from flambeau.schedule.independent import mark_independent
from flambeau.schedule.inline import Group, bits
from flambeau.schedule.memory import Call, Memory, Step
from flambeau.schedule.phases import together
from flambeau.schedule.split import splitting
from flambeau.schedule.subsample import subsample

MOST_PARTS = 8
"""Parts of a CAT that are written by one kernel."""

_REGISTERED = (movement, reduce)  # importing them registers their rules


@dataclass(slots=True)
class _Plan:
    """A graph on its way to a program."""

    graph: Graph
    grouper: Grouper
    memory: Memory
    steps: list[tuple[Group | None, Step]]


def build(graph: Graph, limits: Limits | None = None) -> Program:
    """The program that computes a graph's outputs.

    Raises ValueError where the graph is not well formed, NotImplementedError (naming the
    operation) where a primitive cannot be lowered.
    """
    return _program(_planned(graph, limits or Limits()))


def explain(graph: Graph, limits: Limits | None = None) -> str:
    """The groups of a graph, with the users' lines, and the kernels that they became."""
    plan = _planned(graph, limits or Limits())
    lines: list[str] = []
    before: Group | None = None
    for group, step in plan.steps:
        if group is not None and group is not before:
            lines.append(f"group {group.kind}: {_name(plan.grouper, group)}")
            lines.extend(_node_lines(group))
            before = group
        if isinstance(step, Call):
            lines.append(f"  host call {step.node.attrs[0]}")
        else:
            lines.extend("  " + line for line in kernel_text(step.kernel).split("\n"))
    return "\n".join(lines) + "\n"


def _node_lines(group: Group) -> Iterator[str]:
    for node in group.nodes:
        where = "" if node.location is None else f"  {node.location[0]}:{node.location[1]}"
        mark = "*" if node in group.roots else " "
        yield f"  {mark} {node.op.name} {node.type!r}{where}"


def _planned(graph: Graph, limits: Limits) -> _Plan:
    verify(graph)
    rules: Rules = {
        op.REDUCE: [splitting(limits)],
        op.PICK: [storing_scores(limits)],
        op.CONV: [subsample, together],
    }
    graph = simplify(graph, rules)
    grouper, groups = _grouped(graph, limits)
    plan = _Plan(graph, grouper, Memory(graph), [])
    last_use = _last_uses(grouper, groups)
    for position, group in enumerate(groups):
        last_reads = {
            grouper.order[number] for number in bits(group.reads) if last_use[number] == position
        }
        for step in _lowered(plan, group, last_reads, limits):
            plan.steps.append((group, step))
    for copy, source in plan.memory.copies:
        step = lower_copy(copy, source, "copy", grouper.stored_nodes | {copy}, graph.scalars)
        if copy.type.size:
            plan.steps.append((None, step))
    return plan


def _grouped(graph: Graph, limits: Limits) -> tuple[Grouper, list[Group]]:
    """The groups; where one came to need too many buffers, all again with more left free in it.

    While a group is made it is not known which of its Nodes others will need, and so are stored.
    In the end a Node is computed alone: this comes to an end, for four buffers always suffice.
    """
    if limits.buffers < FEWEST:
        raise ValueError(f"expected Limits of {FEWEST} or more buffers, got {limits.buffers}")
    spare: dict[int, int] = {}
    while True:
        grouper = Grouper(graph.outputs, limits, spare)
        groups = grouper.run()
        large = [each for each in groups if each.buffers > limits.buffers]
        if not large:
            return grouper, groups
        for group in large:
            numbers = [grouper.number[node] for node in group.nodes]
            if all(map(grouper.alone, numbers)):
                raise AssertionError(f"{group.nodes} need too many buffers: a bug in grouping")
            for number in numbers:
                spare[number] = spare.get(number, 0) + group.buffers - limits.buffers


def _last_uses(grouper: Grouper, groups: list[Group]) -> dict[int, int]:
    """For each stored Node's number: the position of the last group that reads it."""
    last: dict[int, int] = {}
    for position, group in enumerate(groups):
        for number in bits(group.reads):
            last[number] = position
    for node in grouper.outputs:  # outputs are read after the run
        last[grouper.number[canonical(node)]] = len(groups)
    return last


def _lowered(plan: _Plan, group: Group, last_reads: set[Node], limits: Limits) -> Iterator[Step]:
    """The steps of one group, in order."""
    stored, scalars = plan.grouper.stored_nodes, plan.graph.scalars
    name = _name(plan.grouper, group)
    node = group.anchor
    if group.kind == "frame":
        assert group.frame is not None
        if any(root.type.size for root in group.roots):
            steps = lower_frame(group.frame, node, group.roots, name, stored, scalars)
            if len(steps) == 1:
                plan.memory.donate(steps[0], last_reads)
            yield from steps
        return
    assert node is not None
    if group.kind == "call":
        picks = {root.attrs[0]: root for root in group.roots}
        count = len(node.type.items)
        outputs = [picks.get(number) for number in range(count)]
        yield Call(node, [canonical(each) for each in node.inputs], outputs)
    elif group.kind == "sort":
        picks = {root.attrs[0]: root for root in group.roots}
        if next(iter(group.roots)).type.size:
            yield lower_sort(node, picks, name, stored, scalars)
    elif group.kind in ("attention", "attention_backward"):
        picks = {root.attrs[0]: root for root in group.roots}
        yield lower_attention(node, picks, name, stored, scalars)
    elif group.kind == "scan":
        if node.type.size:
            yield reduce.lower_scan(node, name, stored, scalars)
    elif group.kind == "cat":
        yield from _cat(node, name, plan, limits)
    else:
        yield from _updated(plan, group, node, name, last_reads)


def _cat(node: Node, name: str, plan: _Plan, limits: Limits) -> Iterator[Lowered]:
    """Parts of equal shape that lie behind each other share a launch."""
    along, start = node.attrs[0], 0
    batch: list[tuple[int, Node]] = []
    reads = 0
    for part in node.inputs:
        more = reads | plan.grouper.loads(part)
        full = more.bit_count() >= limits.buffers or len(batch) >= MOST_PARTS
        if batch and (batch[0][1].shape != part.shape or full):
            yield lower_cat(node, batch, name, plan.grouper.stored_nodes, plan.graph.scalars)
            batch, more = [], plan.grouper.loads(part)
        if part.type.size:
            batch.append((start, part))
            reads = more
        start += part.shape[along]
    if batch:
        yield lower_cat(node, batch, name, plan.grouper.stored_nodes, plan.graph.scalars)


def _updated(
    plan: _Plan, group: Group, node: Node, name: str, last_reads: set[Node]
) -> Iterator[Lowered]:
    """ASSIGN and SCATTER: a copy of the base, unless it can be updated in place."""
    stored, scalars = plan.grouper.stored_nodes, plan.graph.scalars
    if node.type.size == 0:
        return
    base = canonical(node.inputs[0])
    lower = lower_scatter if node.op is op.SCATTER else lower_assign
    update = lower(node, name, stored, scalars)
    alone = base in last_reads and base not in update.buffers
    if alone and base in stored and plan.memory.may_overwrite(base, node):
        plan.memory.overwrite(base, node)
    else:
        yield lower_copy(node, node.inputs[0], "copy", stored, scalars)
    changes = node.inputs[2 if node.op is op.SCATTER else 1].type.size
    if changes:
        yield update


# names and launches ------------------------------------------------------------------------------


def _name(grouper: Grouper, group: Group) -> str:
    """What a group computes, in a few words."""
    words: list[str] = []
    if group.kind != "frame":
        words.append(group.kind)
    elif group.anchor is not None:
        words.append(group.anchor.op.name.lower())
    for node in group.nodes:
        if node.op is op.REDUCE:
            word = "sum" if node.attrs[0] == "add" else node.attrs[0]
            words.insert(0, word) if word not in words else None
    for node in group.nodes:
        word = node.op.name.lower()
        if node.op in op.ELEMENTWISE and word not in words and len(words) < 5:
            words.append(word)
        if node.op in (op.GATHER, op.PAD, op.WINDOW) and word not in words:
            words.append(word)
    return "_".join(words[:6]) or "move"


def _program(plan: _Plan) -> Program:
    memory = plan.memory
    launches: list[Launch | HostCall] = []
    uses: list[tuple[int, ...]] = []
    for group, step in plan.steps:
        if isinstance(step, Call):
            call = _host_call(memory, step)
            uses.append((*call.inputs, *call.outputs))
            launches.append(call)
        else:
            launch = _launch(memory, group, step)
            uses.append(launch.slots)
            launches.append(launch)
    arena = memory.lay_out(uses)
    owners = [
        group if group and group.kind in ("frame", "cat") else None for group, _ in plan.steps
    ]
    mark_independent(launches, memory.slots, owners)
    inputs = tuple(range(len(plan.graph.inputs)))
    scalars, outputs = tuple(plan.graph.scalars), tuple(memory.outputs)
    return Program(memory.slots, launches, scalars, inputs, outputs, arena)


def _launch(memory: Memory, group: Group | None, step: Lowered) -> Launch:
    slots = tuple(
        [
            memory.scratch(parameter) if node is None else memory.slot(node)
            for node, parameter in zip(step.buffers, step.kernel.buffers, strict=True)
        ]
    )
    locations: dict[Location, None] = {}
    if group is not None:
        for node in group.nodes:
            if node.location is not None:
                locations[node.location] = None
    return Launch(step.kernel, slots, step.scalars, tuple(locations), step.errors)


def _host_call(memory: Memory, call: Call) -> HostCall:
    types = call.node.type.items
    outputs = [
        memory.slot(each) if each is not None else memory.temporary(types[number])
        for number, each in enumerate(call.outputs)
    ]
    attrs = call.node.attrs[1:-1]
    inputs = [memory.slot(each) for each in call.inputs]
    return HostCall(call.node.attrs[0], attrs, tuple(inputs), tuple(outputs))
