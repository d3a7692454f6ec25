"""Which Nodes are computed together: groups, each of which becomes one kernel (or a few).

The Nodes are visited in order. Elementwise and movement operations are not computed until someone
asks: they are part of whatever kernel uses them. A contraction opens a group with a frame, its
iteration space; elementwise operations on its result join the group as long as they fit the frame
(an epilogue, or a row kernel that loops over what was reduced). What is used outside its group is
stored. At the end, what is stored and belongs to no group makes map kernels, and maps of one shape
that share inputs are merged.

Sets of Nodes are integers, one bit for each Node's number in the order.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flambeau.graph import op
from flambeau.graph.node import Node, walk
from flambeau.kernel.index import Index, Indices, Linear, axes_of
from flambeau.kernel.limits import DEAR, Limits
from flambeau.kernel.lower import canonical
from flambeau.kernel.map import Frame

_OWN_GROUP = frozenset({op.SCAN, op.SORT, op.SCATTER, op.ASSIGN, op.CAT, op.CALL})
_REARRANGING = frozenset({op.RESHAPE, op.PERMUTE, op.EXPAND})
_CONTRACTIONS = frozenset({op.REDUCE, op.MATMUL, op.CONV})
_TINY = 1024
"""Reductions of so few elements are not worth a launch each."""
_AGAIN = 6
"""How many operations are done again rather than storing their result."""


class Group:
    """Nodes that are computed together.

    `kind` is "frame" (map, row, reduce, matmul, conv) or the name of the operation that has a
    group of its own. `roots` are the Nodes that are stored, each with its index in the frame.
    """

    __slots__ = (
        "anchor",
        "buffers",
        "first",
        "frame",
        "kind",
        "last",
        "members",
        "nodes",
        "reads",
        "roots",
        "serial",
        "total",
    )

    def __init__(self, kind: str, frame: Frame | None, anchor: Node | None, number: int) -> None:
        self.kind = kind
        self.frame = frame
        self.anchor = anchor
        self.roots: dict[Node, Index] = {}
        self.nodes: list[Node] = []  # all that is computed, known at the end
        self.members = 0
        self.reads = 0  # what is loaded
        self.total = 0  # about how many values
        self.buffers = 0  # of its kernel, known at the end
        self.first = self.last = self.serial = number


def bits(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _one_to_one(index: Index, node: Node) -> bool:
    """Whether the axes in an index run through each of the Node's elements once."""
    axes = {axis for each in index for axis in axes_of(each)}
    return math.prod(axis.extent for axis in axes) == node.type.size


class Grouper:
    """Groups the Nodes under some outputs."""

    def __init__(self, outputs: Sequence[Node], limits: Limits, spare: int = 0) -> None:
        self.limits = limits
        self.most = limits.buffers - spare
        self.order = walk(outputs)
        self.number = {node: number for number, node in enumerate(self.order)}
        count = len(self.order)
        self.stored = 0
        self.stored_nodes: set[Node] = set()
        self.group: list[Group | None] = [None] * count
        self.at: list[Index] = [()] * count
        self.plain = [0] * count  # what is computed at the same index, itself included
        self.reads = [0] * count  # what is loaded at the same index
        self.far = [0] * count  # what is loaded at other indices
        self.below = [0] * count  # movement: how many values its input takes
        self.moves = 0
        self.dear = 0
        self.again = 0  # members of groups that others compute again
        self.indices = Indices()
        self.frames: dict[tuple[tuple[int, ...], tuple[int, ...]], Frame] = {}
        self.open: dict[Frame, list[Group]] = {}
        self.groups: list[Group] = []
        self.outputs = outputs

    def run(self) -> list[Group]:
        """The groups, in an order in which they can be computed."""
        for number, node in enumerate(self.order):
            self._visit(number, node)
        for node in self.outputs:
            self.store(node)
        self._keep_dear()
        self._measure()
        if self._drop_stores():
            self._measure()
        self._make_maps()
        self._finish()
        return self._sorted()

    # one Node -------------------------------------------------------------------------------

    def _visit(self, number: int, node: Node) -> None:
        primitive = node.op
        if primitive in op.ELEMENTWISE:
            if primitive in DEAR:
                self.dear |= 1 << number
            if not self._join(number, node):
                self._inline(number, node)
        elif primitive in _REARRANGING:
            if not self._join(number, node):
                self._move(number, node)
        elif primitive in op.MOVEMENT and primitive is not op.CAT or primitive is op.GATHER:
            self._move(number, node)
        elif primitive in _CONTRACTIONS:
            self._contract(number, node)
        elif primitive in _OWN_GROUP:
            self._own_group(number, node)
        elif primitive is op.BUFFER or primitive is op.PICK:
            self._mark(number)
            if primitive is op.PICK:
                owner = self.group[self.number[node.inputs[0]]]
                assert owner is not None
                self.group[number] = owner
                owner.roots[node] = ()
        elif primitive is op.MATERIALIZE:
            self.store(node.inputs[0])
            self._inline(number, node)
            self.store(node)
        # CONST and IOTA are computed wherever they are used

    def _mark(self, number: int) -> None:
        self.stored |= 1 << number
        self.stored_nodes.add(self.order[number])
        group = self.group[number]
        if group is not None and group.kind == "frame":
            group.roots[self.order[number]] = self.at[number]

    def is_stored(self, node: Node) -> bool:
        return canonical(node) in self.stored_nodes

    def store(self, node: Node) -> None:
        """From now on `node` lies in memory."""
        node = canonical(node)
        if node not in self.stored_nodes:
            self._mark(self.number[node])

    def outside(self, node: Node) -> None:
        """Make `node` available outside its group.

        What it rearranges, or itself, is stored; or else what it takes to compute it again.
        """
        while not self._available(node):
            if node.op not in _REARRANGING:
                if not self._recomputed(node):
                    self.store(node)
                return
            node = node.inputs[0]

    def _available(self, node: Node) -> bool:
        number = self.number[node]
        return bool(self.is_stored(node) or self.group[number] is None or self.again >> number & 1)

    def _recomputed(self, node: Node) -> bool:
        """Whether a row kernel's large result is computed again from its small ones, cheaply.

        The small ones are stored instead: the mean and the scale of a normalisation, say.
        """
        group = self.group[self.number[node]]
        if group is None or group.frame is None or not group.frame.loops:
            return False
        path: list[Node] = []
        small: list[Node] = []
        pending = [node]
        while pending:
            each = pending.pop()
            if self.group[self.number[each]] is not group or each in path or each in small:
                continue
            if self.is_stored(each) or each.type.size * 4 <= node.type.size:
                small.append(each)
                continue
            if each.op in DEAR or each.op in _CONTRACTIONS or len(path) >= _AGAIN:
                return False
            path.append(each)
            pending.extend(each.inputs)
        if not small:
            return False
        for each in small:
            self.outside(each)
        for each in sorted(path, key=self.number.__getitem__):
            number = self.number[each]
            self.again |= 1 << number
            if each.op in _REARRANGING:
                self._set_moved(number, each)
            else:
                self._inline(number, each)
        return True

    def _seen(self, node: Node) -> tuple[int, int, int]:
        """What a kernel that uses `node` computes and loads for it: plain, reads, far."""
        base = canonical(node)
        if base in self.stored_nodes:
            bit = 1 << self.number[base]
            return (0, bit, 0) if base is node else (0, 0, bit)
        number = self.number[node]
        return self.plain[number], self.reads[number], self.far[number]

    def values(self, node: Node) -> int:
        """About how many values `node` takes where it is computed inline."""
        if self.is_stored(node):
            return 1
        plain = self.plain[self.number[node]]
        return plain.bit_count() + sum(self.below[each] for each in bits(plain & self.moves))

    def cost(self, node: Node) -> int:
        """About what computing one element of `node` inline costs, in additions."""
        if self.is_stored(node):
            return 0
        dear = (self.plain[self.number[node]] & self.dear).bit_count()
        return self.values(node) + 8 * dear

    def _loads(self, node: Node) -> int:
        _, reads, far = self._seen(node)
        return reads | far

    # inline ---------------------------------------------------------------------------------

    def _inline(self, number: int, node: Node) -> None:
        """An elementwise operation that is computed wherever it is used."""
        for each in node.inputs:
            self.outside(each)
        while True:
            plain, reads, far = 1 << number, 0, 0
            for each in node.inputs:
                its_plain, its_reads, its_far = self._seen(each)
                plain, reads, far = plain | its_plain, reads | its_reads, far | its_far
            self.plain[number], self.reads[number], self.far[number] = plain, reads, far
            if self._fits(self.values(node), reads | far):
                return
            if not self._store_largest(node.inputs):
                return

    def _fits(self, values: int, reads: int, roots: int = 1) -> bool:
        limits = self.limits
        return values <= limits.values and reads.bit_count() + roots <= self.most

    def _store_largest(self, nodes: Iterable[Node]) -> bool:
        """Store the Node that loads and computes most; False where none is left to store."""
        candidates = [each for each in nodes if not self.is_stored(self._bottom(each))]
        candidates = [each for each in candidates if self.cost(each) > 1]
        if not candidates:
            return False
        largest = max(
            candidates, key=lambda each: (self._loads(each).bit_count(), self.values(each))
        )
        self._store_below(largest)
        return True

    def _bottom(self, node: Node) -> Node:
        """What a chain of movement operations starts from."""
        while node.op in op.MOVEMENT and node.op is not op.CAT and not self.is_stored(node):
            node = node.inputs[0]
        return node

    def _store_below(self, node: Node) -> None:
        self.store(self._bottom(node))

    def _move(self, number: int, node: Node) -> None:
        """A movement or GATHER that is not executed: it turns its users' indices."""
        for each in node.inputs:
            self.outside(each)
        source = node.inputs[0]
        factor = node.type.size / max(source.type.size, 1)
        if factor >= 2 and self._loads(source) and self.cost(source) > 8:
            self._store_below(source)
        if node.op is op.GATHER and self.cost(node.inputs[1]) > 8:
            self._store_below(node.inputs[1])
        self._set_moved(number, node)
        while not self._fits(self.below[number], self.far[number]):
            if not self._store_largest(node.inputs):
                break
            self._set_moved(number, node)

    def _set_moved(self, number: int, node: Node) -> None:
        self.moves |= 1 << number
        self.plain[number] = 1 << number
        self.far[number] = 0
        for each in node.inputs:
            self.far[number] |= self._loads(each)
        self.below[number] = sum(map(self.values, node.inputs))

    # groups ---------------------------------------------------------------------------------

    def _contract(self, number: int, node: Node) -> None:
        if node.op is op.REDUCE and self._join_reduce(number, node):
            return
        limit = {op.MATMUL: self.limits.matmul, op.CONV: self.limits.conv}.get(node.op)
        reads = values = 0
        for each in node.inputs:
            self.outside(each)
            if limit is not None and self.cost(each) > limit and self._loads(each):
                self._store_below(each)
        while True:
            reads = values = 0
            for each in node.inputs:
                reads |= self._loads(each)
                values += self.values(each)
            if self._fits(values, reads, 2) or not self._store_largest(node.inputs):
                break
        if node.op is op.REDUCE and self._join_sibling(number, node, reads, values):
            return
        frame = self._frame_of(node)
        anchor = None if node.op is op.REDUCE else node
        group = Group("frame", frame, anchor, number)
        self.groups.append(group)
        self.open.setdefault(frame, []).append(group)
        self._add(group, number, reads, values, self._result_index(frame))

    def _frame_of(self, node: Node) -> Frame:
        if node.op is not op.REDUCE:
            return Frame(node.shape)
        key = (node.inputs[0].shape, node.attrs[1])
        found = self.frames.get(key)
        if found is None:
            found = self.frames[key] = Frame(*key)
        return found

    def _result_index(self, frame: Frame) -> Index:
        zero = self.indices.zero
        return tuple(
            [
                zero if number in frame.loops else self.indices.axis(axis)
                for number, axis in enumerate(frame.axes)
            ]
        )

    def _add(self, group: Group, number: int, reads: int, values: int, at: Index) -> None:
        group.members |= 1 << number
        group.reads |= reads
        group.total += values + 1
        group.last = max(group.last, number)
        self.group[number] = group
        self.at[number] = at
        node = self.order[number]
        self.plain[number] = 1 << number
        if node.op in _REARRANGING:  # as seen from outside
            self.moves |= 1 << number
            base = node
            while base.op in _REARRANGING:
                base = base.inputs[0]
            self.far[number] = 1 << self.number[base]
            self.below[number] = 1

    def _join_reduce(self, number: int, node: Node) -> bool:
        """A REDUCE of a value that spans a row kernel's frame, over the same axes."""
        (source,) = node.inputs
        group = self.group[self.number[source]]
        if group is None or group.kind != "frame" or group.frame is None:
            return False
        frame = self._frame_of(node)
        if group.frame is not frame or not self._room(group, 0, self.values(source)):
            return False
        whole = tuple([self.indices.axis(axis) for axis in frame.axes])
        if self.at[self.number[source]] != whole:
            return False
        self._add(group, number, 0, 1, self._result_index(frame))
        return True

    def _join_sibling(self, number: int, node: Node, reads: int, values: int) -> bool:
        """A REDUCE over the same axes as another one: both are small, or read the same arrays."""
        frame = self._frame_of(node)
        small = math.prod(frame.shape) <= _TINY
        for group in self.open.get(frame, ()):
            shares = small or group.reads & reads
            if shares and self._room(group, reads, values) and not self.depends(reads, group):
                self._add(group, number, reads, values, self._result_index(frame))
                return True
        return False

    def _room(self, group: Group, reads: int, values: int) -> bool:
        roots = len(group.roots) + 2
        return self._fits(group.total + values, group.reads | reads, roots)

    def depends(self, mask: int, target: Group) -> bool:
        """Whether computing any of the stored Nodes of `mask` needs `target` to have run."""
        seen = 0
        pending = mask
        while pending:
            low = pending & -pending
            pending ^= low
            seen |= low
            number = low.bit_length() - 1
            group = self.group[number]
            if group is target:
                return True
            if group is None:
                needs = self.reads[number] | self.far[number]
            elif group.last < target.first:
                continue
            else:
                needs = group.reads
                seen |= group.members
            pending |= needs & ~seen
        return False

    def _own_group(self, number: int, node: Node) -> None:
        group = Group(node.op.name.lower(), None, node, number)
        self.groups.append(group)
        self.group[number] = group
        for each in node.inputs:
            self.outside(each)
            if node.op is op.CALL:
                self.store(each)
        if node.op is op.SCATTER and self.cost(node.inputs[1]) > 8:
            self._store_below(node.inputs[1])
        while not self._fits(0, self._all_loads(node.inputs), 4) and node.op is not op.CAT:
            if node.op is op.CALL or not self._store_largest(node.inputs):
                break
        group.reads = self._all_loads(node.inputs)
        group.members = 1 << number
        if node.op not in (op.SORT, op.CALL):
            self._mark(number)
            group.roots[node] = ()

    def _all_loads(self, nodes: Iterable[Node]) -> int:
        result = 0
        for each in nodes:
            result |= self._loads(each)
        return result

    # joining a frame ------------------------------------------------------------------------

    def _join(self, number: int, node: Node) -> bool:
        """Make an elementwise or rearranging Node part of a group that computes its input."""
        groups: list[Group] = []
        for each in node.inputs:
            group = self.group[self.number[each]]
            if group is not None and group.kind == "frame" and group not in groups:
                groups.append(group)
        groups.sort(key=lambda each: -each.first)
        return any(self._join_group(number, node, group) for group in groups)

    def _join_group(self, number: int, node: Node, group: Group) -> bool:
        frame = group.frame
        assert frame is not None
        inner = [each for each in node.inputs if self.group[self.number[each]] is group]
        others = [each for each in node.inputs if self.group[self.number[each]] is not group]
        at = self._index_in(frame, node, inner)
        if at is None or not _one_to_one(at, node) or not self._loops_pay(frame, at):
            return False
        for each in others:
            owner = self.group[self.number[each]]
            if owner is not None and owner.first > group.first:
                return False
        if any(self._needs(each, group) for each in others):
            return False
        reads = values = 0
        for each in others:
            self.outside(each)
            reads |= self._loads(each)
            values += self.values(each)
        if self.depends(reads, group) or not self._room(group, reads, values):
            return False
        self._add(group, number, reads, values, at)
        return True

    def _needs(self, node: Node, group: Group) -> bool:
        """Whether `node`, of another group or of none, comes after `group`."""
        owner = self.group[self.number[node]]
        if owner is None:
            return self.depends(self._loads(node), group)
        return self.depends(owner.reads, group)

    def _index_in(self, frame: Frame, node: Node, inner: list[Node]) -> Index | None:
        """The frame's index of `node`, whose inputs in the group are `inner`; None: no fit."""
        if node.op is op.RESHAPE:
            (source,) = inner
            if node.type.size == 0:
                return None
            at = self.at[self.number[source]]
            return self.indices.reshape(at, source.shape, node.shape)
        if node.op is op.PERMUTE:
            at = self.at[self.number[inner[0]]]
            return tuple([at[axis] for axis in node.attrs[0]])
        shape = node.shape
        result: list[Linear | None] = [None] * len(shape)
        for each in inner:
            lead = len(shape) - len(each.shape)
            for axis, position in enumerate(self.at[self.number[each]]):
                if each.shape[axis] == 1:
                    continue
                before = result[lead + axis]
                if before is not None and before is not position:
                    return None
                result[lead + axis] = position
        return self._repeated(frame, shape, result)

    def _repeated(
        self, frame: Frame, shape: tuple[int, ...], partial: list[Linear | None]
    ) -> Index | None:
        """Dimensions that no input in the group spans are looped over."""
        used = {id(each) for each in partial}
        result: list[Linear] = []
        for axis, (extent, position) in enumerate(zip(shape, partial, strict=True)):
            if extent == 1:
                position = self.indices.zero
            elif position is None:
                places = [axis] if len(shape) == len(frame.shape) else range(len(frame.shape))
                for each in places:
                    candidate = self.indices.axis(frame.axes[each])
                    fits = each in frame.loops and frame.shape[each] == extent
                    if fits and id(candidate) not in used:
                        position = candidate
                        used.add(id(candidate))
                        break
                else:
                    return None
            result.append(position)
        return tuple(result)

    def _loops_pay(self, frame: Frame, at: Index) -> bool:
        """Whether looping inside leaves enough points to run side by side."""
        if not frame.loops:
            return True
        loops = {id(frame.axes[number]) for number in frame.loops}
        looped = any(
            id(atom.payload) in loops or atom.kind != "axis"
            for each in at
            for atom, _ in each.terms
        )
        if not looped:
            return True
        kept = math.prod(
            extent for number, extent in enumerate(frame.shape) if number not in frame.loops
        )
        return kept >= self.limits.loop or math.prod(frame.shape) <= self.limits.small

    # recompute or keep ----------------------------------------------------------------------

    def _keep_dear(self) -> None:
        """Store what is dear and used by several kernels (maps of one shape count as one)."""
        kernels: dict[Any, int] = {}
        users = [0] * len(self.order)
        for number in range(len(self.order) - 1, -1, -1):
            node = self.order[number]
            group = self.group[number]
            mine = self.is_stored(node) or group is not None
            if not mine and users[number].bit_count() > 1 and node.op in op.ELEMENTWISE:
                mine = self.cost(node) > self.limits.recompute and self._loads(node) != 0
                if mine:
                    self.store(node)
            if mine:
                key: Any = group if group is not None else node.shape
                users[number] = 1 << kernels.setdefault(key, len(kernels))
            for each in node.inputs:
                users[self.number[each]] |= users[number]

    def _drop_stores(self) -> bool:
        """Do not store what is computed cheaply from what all its users load anyway."""
        wanted = {canonical(node) for node in self.outputs}
        users: dict[int, list[Group]] = {}
        for group in self.groups:
            for number in bits(group.reads):
                users.setdefault(number, []).append(group)
        dropped = False
        for number in bits(self.stored):
            node, group = self.order[number], self.group[number]
            if node in wanted or group is None or group.kind != "frame":
                continue
            if node.op not in op.ELEMENTWISE or node.op in DEAR:
                continue
            if self._loaded_anyway(node, users.get(number, ())):
                self.stored &= ~(1 << number)
                self.stored_nodes.discard(node)
                del group.roots[node]
                dropped = True
        return dropped

    def _loaded_anyway(self, node: Node, users: Sequence[Group]) -> bool:
        """Whether each of `users` loads all that `node` is made of, by a few operations."""
        needs = 0
        path: list[Node] = [node]
        for current in path:
            for each in map(canonical, current.inputs):
                if each in self.stored_nodes:
                    needs |= 1 << self.number[each]
                elif each.op is not op.CONST and each not in path:
                    if each.op not in op.ELEMENTWISE or each.op in DEAR or len(path) >= _AGAIN:
                        return False
                    path.append(each)
        return bool(users) and all(
            user.kind == "frame" and not needs & ~user.reads for user in users
        )

    # maps -----------------------------------------------------------------------------------

    def _measure(self) -> None:
        """Now that all decisions are made: what each Node loads, exactly."""
        for number, node in enumerate(self.order):
            reads = far = 0
            for each in node.inputs:
                base = canonical(each)
                if base in self.stored_nodes:
                    bit = 1 << self.number[base]
                    reads, far = (reads | bit, far) if base is each else (reads, far | bit)
                else:
                    index = self.number[each]
                    reads, far = reads | self.reads[index], far | self.far[index]
            if node.op not in op.ELEMENTWISE and node.op is not op.MATERIALIZE:
                reads, far = 0, reads | far
            self.reads[number], self.far[number] = reads, far
        for group in self.groups:
            self._measure_group(group)

    def _measure_group(self, group: Group) -> None:
        group.reads = 0
        mine = 0
        for node in group.roots:
            number = self.number[node]
            mine |= 1 << number
            group.reads |= self.reads[number] | self.far[number]
        if group.anchor is not None:
            number = self.number[group.anchor]
            group.reads |= self.reads[number] | self.far[number]
        group.members |= mine
        group.reads &= ~mine

    def _make_maps(self) -> None:
        by_shape: dict[tuple[int, ...], list[Group]] = {}
        for number in bits(self.stored):
            node = self.order[number]
            if self.group[number] is not None or node.op is op.BUFFER:
                continue
            candidates = by_shape.setdefault(node.shape, [])
            for group in reversed(candidates[-4:]):
                if self._merge(number, node, group):
                    break
            else:
                group = Group("frame", Frame(node.shape), None, number)
                candidates.append(group)
                self.groups.append(group)
                self._add_map(number, node, group)

    def _add_map(self, number: int, node: Node, group: Group) -> None:
        assert group.frame is not None
        self.group[number] = group
        group.roots[node] = tuple([self.indices.axis(each) for each in group.frame.axes])
        group.members |= 1 << number
        group.reads |= self.reads[number] | self.far[number]
        group.reads &= ~group.members
        group.total += self.values_of_map(number)
        group.last = max(group.last, number)

    def values_of_map(self, number: int) -> int:
        return self.plain[number].bit_count() + 1

    def _merge(self, number: int, node: Node, group: Group) -> bool:
        """Compute `node` together with other maps of its shape, where they share inputs."""
        reads, far = self.reads[number], self.far[number]
        if far & group.members or not (reads & group.members or (reads | far) & group.reads):
            return False
        others = (reads | far) & ~group.members
        every = (others | group.reads).bit_count() + len(group.roots) + 1
        if every > self.most or group.total + 8 > self.limits.values:
            return False
        group.last = max(group.last, number)
        if self.depends(others, group):
            return False
        alone = Group("frame", group.frame, None, number)
        self.group[number] = alone
        self_needed = self.depends(group.reads, alone)
        self.group[number] = None
        if self_needed:
            return False
        self._add_map(number, node, group)
        return True

    # order ----------------------------------------------------------------------------------

    def _finish(self) -> None:
        """What each group computes: its roots and all that is under them and not stored."""
        for group in self.groups:
            mine = set(group.roots)
            starts = list(group.roots) or [group.anchor]
            tops = [each for each in starts if each is not None]

            def enter(node: Node, tops: list[Node] = tops, mine: set[Node] = mine) -> bool:
                return node in mine or node in tops or canonical(node) not in self.stored_nodes

            group.nodes = [each for each in walk(tops, enter) if enter(each)]
            group.buffers = group.reads.bit_count() + len(group.roots)
            if group.kind == "cat":  # it is split into as many launches as it takes
                group.buffers = 0
            elif group.kind == "sort":
                group.buffers += 1

    def _sorted(self) -> list[Group]:
        """Groups, each after those whose results it loads."""
        users: dict[Group, list[Group]] = {group: [] for group in self.groups}
        waiting: dict[Group, int] = {}
        for group in self.groups:
            owners = {self.group[number] for number in bits(group.reads)}
            needed = [each for each in owners if each is not None and each is not group]
            waiting[group] = len(needed)
            for each in needed:
                users[each].append(group)
        return _topological(self.groups, users, waiting)


def _topological(
    groups: list[Group], users: dict[Group, list[Group]], waiting: dict[Group, int]
) -> list[Group]:
    ready = [(group.last, group.serial, group) for group in groups if not waiting[group]]
    heapq.heapify(ready)
    result: list[Group] = []
    while ready:
        _, _, group = heapq.heappop(ready)
        result.append(group)
        for user in users[group]:
            waiting[user] -= 1
            if not waiting[user]:
                heapq.heappush(ready, (user.last, user.serial, user))
    if len(result) != len(groups):
        raise AssertionError("kernels depend on each other in a circle: a bug in grouping")
    return result
