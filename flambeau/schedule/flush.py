"""From pending Nodes to buffers: roots, the plan's key, the plan caches, and the run.

A flush computes every live tensor that is pending. The key is taken of the recorded graph, before
any rewriting, so that a known plan costs one walk and one lookup.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import ref

from flambeau.config import PENDING
from flambeau.device import base as device
from flambeau.device.base import Failure
from flambeau.device.executable import Executable
from flambeau.graph import op
from flambeau.graph.graph import Graph
from flambeau.graph.history import keeps_inputs
from flambeau.graph.node import Node, TensorType
from flambeau.kernel.limits import Limits
from flambeau.kernel.program import Program
from flambeau.schedule import apart, failure, watch
from flambeau.schedule import walk as walking
from flambeau.schedule.expand import expand
from flambeau.schedule.walk import Walk, kept_for_backward


class Statistics:
    """Counts since the start; tests and `flambeau info` read them."""

    __slots__ = ("flushes", "graphs_apart", "plan_hits", "plans_built", "plans_loaded")

    def __init__(self) -> None:
        self.flushes = 0
        self.plan_hits = 0
        self.plans_loaded = 0
        self.plans_built = 0
        self.graphs_apart = 0

    def counts(self) -> dict[str, int]:
        """Each count by its name."""
        return {
            "flushes": self.flushes,
            "plan hits": self.plan_hits,
            "plans loaded": self.plans_loaded,
            "plans built": self.plans_built,
            "graphs apart": self.graphs_apart,
        }


STATISTICS = Statistics()

_PLANS: dict[tuple[Any, ...], Executable] = {}
_digests: dict[str, None] = {}
_pending: list[ref[Any]] = []


def plan_digests() -> tuple[str, ...]:
    """Digests of the compiled plans that this process has used, in the order of their first use.

    A digest is of the recorded graph, the device and Flambeau's source: the same in every process.
    The reference device interprets and has none.
    """
    return tuple(_digests)


def announce(storage: ref[Any]) -> None:
    """A storage holds a Node that is not computed. Too many of them make a flush."""
    _pending.append(storage)
    if (watcher := watch.active()) is not None:
        watcher.born(storage)
    if len(_pending) >= PENDING:
        flush()


def flush(extra: Iterable[Node] = ()) -> None:
    """Compute every live pending tensor, and the Nodes in `extra`."""
    global _pending
    waiting, _pending = _pending, []
    wanted: list[Node] = []
    written: set[Node] = set()  # new values of what existed before: parameters, caches
    for each in waiting:
        storage = each()
        if storage is not None and storage.node.buffer is None:
            wanted.append(storage.node)
            if storage.version:
                written.add(storage.node)
    for node in extra:
        if node.buffer is None and not (wanted and wanted[-1] is node):
            wanted.append(node)
    if len(wanted) > 1:
        wanted = list(dict.fromkeys(wanted))
    if wanted and failure.any_failed():
        wanted = _without_failed(wanted, extra)
    if not wanted:
        return
    storage = None
    counts = STATISTICS
    counts.flushes += 1
    try:
        _flush_by_device(wanted, written)
    except Exception:  # what could be computed was, what could not is marked
        raise
    except BaseException:  # interrupted: what was not computed stays pending
        _pending.extend(waiting)
        raise


def _without_failed(roots: list[Node], extra: Iterable[Node]) -> list[Node]:
    """Leave out what failed before; raise where that is what is asked for."""
    errors = {root: error for root in roots if (error := failure.error_of(root)) is not None}
    for root in extra:
        if root in errors:
            raise errors[root]
    return [root for root in roots if root not in errors]


def _flush_by_device(roots: list[Node], written: set[Node]) -> None:
    """One run per device; copies between devices are made before what needs them."""
    while _any_copy:
        copies, waiting = _first_copies(roots)
        if not copies:
            break
        _run_before(copies, waiting, roots, written)
        for copy in copies:
            _transfer(copy)
    if len(roots) == 1 and roots[0].buffer is None:
        error = _run_or_mark(roots[0].device, roots, written)
        if error is not None:
            raise error
        return
    groups: dict[str, list[Node]] = {}
    for root in roots:
        if root.buffer is None:
            groups.setdefault(root.device, []).append(root)
    roots.clear()
    errors = [_run_or_mark(name, group, written) for name, group in groups.items()]
    for error in errors:
        if error is not None:
            raise error


def _run_before(
    copies: Sequence[Node], waiting: set[Node], roots: Sequence[Node], written: set[Node]
) -> None:
    """Compute what copies take, together with all that waits for no copy, on the same devices."""
    groups: dict[str, dict[Node, None]] = {}
    for copy in copies:
        if copy.inputs[0].buffer is None:
            groups.setdefault(copy.inputs[0].device, {})[copy.inputs[0]] = None
    for root in roots:
        if root.device in groups and root.buffer is None and root not in waiting:
            groups[root.device][root] = None
    # Nothing is overwritten where what waits for a copy will be computed from other inputs, too.
    stored = {each for group in groups.values() for each in group}
    donate = all(
        each in waiting or each in stored or each.buffer is not None
        for node in waiting
        for each in node.inputs
    )
    for name, group in groups.items():
        error = _run_or_mark(name, list(group), written, donate)
        if error is not None:
            raise error


def _run_or_mark(
    name: str, roots: list[Node], written: set[Node], donate: bool = True
) -> Exception | None:
    """Compute what can be computed; what cannot is marked, and the first error returned."""
    if name not in _COMPUTING and not _computes(name):
        for each in roots:
            _settle(each, device.Buffer(each.type))
        return None
    try:
        _run(name, roots, written, donate)
    except Exception as error:  # noqa: BLE001  # whatever a device raises is handed to the user
        left = [each for each in roots if each.buffer is None and failure.error_of(each) is None]
        if len(roots) == 1:
            failure.mark(left, error)
        else:
            for each in left:
                _run_or_mark(name, [each], written, donate)
        return error
    return None


def _computes(name: str) -> bool:
    if device.get(name).computes:
        _COMPUTING.add(name)
        return True
    return False


_COMPUTING: set[str] = set()
"""Devices that were found to compute."""


def _first_copies(roots: Sequence[Node]) -> tuple[list[Node], set[Node]]:
    """Pending copies none of which waits for another copy, and all Nodes that wait for one."""
    waits: set[Node] = set()
    first: list[Node] = []
    done: set[Node] = set()
    stack = [(root, False) for root in roots]
    while stack:
        node, ready = stack.pop()
        if ready:
            behind = any(each in waits for each in node.inputs)
            if node.op is op.COPY and not behind:
                first.append(node)
            if behind or node.op is op.COPY:
                waits.add(node)
        elif node.buffer is None and node not in done:
            done.add(node)
            stack.append((node, True))
            stack.extend((each, False) for each in node.inputs)
    return first, waits


_any_copy = False


def expect_copies() -> None:
    """Called when the first COPY is recorded: from then on flushes look for copies."""
    global _any_copy
    _any_copy = True


def _transfer(copy: Node) -> None:
    watch.refuse("a copy from one device to another")
    source = copy.inputs[0]
    array = device.get(source.device).to_numpy(source.buffer)
    _settle(copy, device.get(copy.device).from_numpy(array, copy.type, True))


def _settle(node: Node, buffer: Any) -> None:
    of: TensorType = node.type
    if of.is_complex:
        buffer.become(of)  # the plan made pairs of real numbers
    node.buffer = buffer
    if not node.requires_grad or not keeps_inputs(node):
        node.inputs = ()
        node.scalars = ()


def _run(name: str, roots: list[Node], written: set[Node], donate: bool = True) -> None:
    """Compute `roots` on one device. donate: whether inputs that nobody needs are overwritten."""
    walk = Walk(name, roots)
    order = walk.order
    outputs = list(roots)
    if walk.marked:
        known = set(outputs)
        outputs += [each for each in kept_for_backward(order) if each not in known]
    donated = walking.donatable(walk) if donate else ()
    key = _key(walk, outputs, donated)
    plans = _PLANS
    executable = plans.get(key)
    if executable is None and _may_be_apart(name) and apart.is_loop(order, key):
        _run_apart(name, order, outputs, written, donate)
        return
    if executable is None:
        executable = _for_many_lengths(name, walk, outputs, donated, written)
        executable = executable or _obtain(name, walk, outputs, donated)
        plans[key] = executable
    elif executable.fits(walk.scalars):
        counts = STATISTICS
        counts.plan_hits += 1
    else:
        executable = plans[key] = _obtain(name, walk, outputs, donated)
    try:
        buffers = executable.run([leaf.buffer for leaf in walk.leaves], walk.scalars)
    except (IndexError, RuntimeError) as error:
        graph = expand(order, walk.leaves, outputs, frozenset(donated))
        met: Failure | None = getattr(error, "failure", None)
        if met is None:
            interpret = getattr(device.get(name), "interpret", None)
            if interpret is not None:  # raises again, and names the lines of this run's user
                interpret(graph).run([leaf.buffer for leaf in walk.leaves], walk.scalars)
            raise
        program = executable.program() or _build(graph, device.get(name).limits)
        met.location = failure.locate(met, program)
        exact = met.exception()
        _settle_unspoilt(order, outputs, written, met, exact)
        raise exact from None
    if (watcher := watch.active()) is not None:
        watcher.ran(executable, order, walk.leaves, outputs, donated)
    for number, node in enumerate(outputs):
        _settle(node, buffers[number])


def _key(walk: Walk, outputs: Sequence[Node], donated: Sequence[int]) -> tuple[Any, ...]:
    """What the plan depends on: what was walked, what is wanted, what may be overwritten."""
    key = walk.key
    key.append(_WANTED)
    for each in outputs:
        key.append(walk.position[each])
    key.append(_DONATED)
    key += donated
    return tuple(key)


_WANTED, _DONATED = -1 << 40, -1 << 41  # no position


def _may_be_apart(name: str) -> bool:
    """A recording wants one plan, and what interprets has none to spare."""
    return watch.active() is None and not hasattr(device.get(name), "interpret")


def _run_apart(
    name: str, order: Sequence[Node], outputs: Sequence[Node], written: set[Node], donate: bool
) -> None:
    """Compute the Nodes one by one; what only this needed is forgotten again."""
    STATISTICS.graphs_apart += 1
    for stage in apart.stages(order):
        _run(name, [each for each in stage if each.buffer is None], written, donate)
    left = [each for each in outputs if each.buffer is None]
    if left:
        _run(name, left, written, donate)
    wanted = set(outputs)
    for node in order:
        if node not in wanted and keeps_inputs(node):
            node.buffer = None


def _settle_unspoilt(
    order: Sequence[Node],
    outputs: Sequence[Node],
    written: set[Node],
    met: Failure,
    error: Exception,
) -> None:
    """A run met a bad value but went on to its end: keep what does not depend on that value.

    What was written in place is kept, too: the old value is gone, and a bad index was left out.
    """
    buffers, met.outputs = met.outputs, None  # frames keep the error, not the memory
    if buffers is None:
        return
    spoilt = failure.affected(order, met.location)
    lost = {node for node in outputs if node in spoilt and node not in written}
    failure.mark(lost, error)
    for node, buffer in zip(outputs, buffers, strict=True):
        if node not in lost:
            _settle(node, buffer)


def _for_many_lengths(
    name: str,
    walk: Walk,
    outputs: Sequence[Node],
    donated: Sequence[int],
    written: set[Node],
) -> Executable | None:
    """An executable from a plan that serves many lengths, where there is one; see lengths.py."""
    target = device.get(name)
    if walk.marked or not target.host_memory:
        return None
    from flambeau.schedule import lengths  # late: a known plan needs none

    recorded = lengths.Recorded(
        name, walk.position, walk.order, walk.leaves, outputs, donated, walk.scalars, written
    )
    return lengths.obtain(
        recorded,
        lambda graph, digest: _compiled(target, digest, lambda: graph),
        lambda graph: _build(graph, target.limits),
    )


def _obtain(name: str, walk: Walk, outputs: Sequence[Node], donated: Sequence[int]) -> Executable:
    """The executable from the disk cache, or built."""
    target = device.get(name)

    def graph() -> Graph:
        return expand(walk.order, walk.leaves, outputs, frozenset(donated))

    interpret = getattr(target, "interpret", None)
    if interpret is not None:
        STATISTICS.plans_built += 1
        return interpret(graph())
    return _compiled(target, _digest(walk, outputs, donated), graph)


def _compiled(target: Any, digest: str, graph: Callable[[], Graph]) -> Executable:
    """From the disk cache, or built."""
    from flambeau.device.cache import disk_cache
    from flambeau.schedule.fingerprint import source_fingerprint

    cache = disk_cache()
    whole = "\n".join([target.fingerprint(), source_fingerprint(), digest])
    digest = hashlib.sha256(whole.encode()).hexdigest()
    _digests[digest] = None
    data = cache.get(digest)
    if data is not None:
        loaded = target.deserialize(data)
        if loaded is not None:
            STATISTICS.plans_loaded += 1
            return loaded
    STATISTICS.plans_built += 1
    executable = target.compile(_build(graph(), target.limits))
    data = executable.serialize()
    if data is not None:
        cache.put(digest, data)
    return executable


def _build(graph: Graph, limits: Limits) -> Program:
    from flambeau.schedule.plan import build  # late: a known plan needs no planner

    return build(graph, limits)


def _digest(walk: Walk, outputs: Sequence[Node], donated: Sequence[int]) -> str:
    """The key as text that means the same in every process, hashed."""
    position = walk.position
    lines = []
    for node in position:
        if node.buffer is not None:
            lines.append(repr(node.type))
        else:
            signature = node.signature
            inputs = [position[each] for each in node.inputs]
            lines.append(f"{signature.op.name} {signature.attrs!r} {signature.inputs!r} {inputs}")
    lines.append(repr(([position[each] for each in outputs], list(donated))))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
