"""Frames: which Nodes are computed together with a contraction.

A contraction opens a group with a frame, its iteration space. An elementwise or rearranging Node
joins a group that computes its input if it has a place in the frame: an index of the frame's axes
that runs through its elements once.
"""

from __future__ import annotations

import math

from flambeau.graph import op
from flambeau.graph.node import Node
from flambeau.kernel.conv import in_phases
from flambeau.kernel.index import Index, Linear, axes_of
from flambeau.kernel.limits import FEWEST
from flambeau.kernel.map import Frame
from flambeau.schedule.inline import REARRANGING, Group, Inlining

_TINY = 1024
"""Reductions of so few elements are not worth a launch each."""


def _one_to_one(index: Index, node: Node) -> bool:
    """Whether the axes in an index run through each of the Node's elements once."""
    axes = {axis for each in index for axis in axes_of(each)}
    return math.prod([axis.extent for axis in axes]) == int(node.type.size)


def _first(group: Group) -> int:
    return group.first


class Framing(Inlining):
    """How groups of contractions are opened and joined."""

    def _contract(self, number: int, node: Node) -> None:
        if node.op is op.REDUCE and self._join_reduce(number, node):
            return
        limit = None
        if node.op is not op.REDUCE:
            limit = self.limits.matmul if node.op is op.MATMUL else self.limits.conv
        reads = values = 0
        for each in node.inputs:
            self.outside(each)
            if limit is not None and self.cost(each) > limit and self.loads(each):
                self._store_below(each)
        spare = self.spare.get(number, 0)
        while True:
            reads = values = 0
            for each in node.inputs:
                reads |= self.loads(each)
                values += self.values(each)
            if self._fits(values, reads, 2 + spare) or not self._store_largest(node.inputs):
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
        group.spare = max(group.spare, self.spare.get(number, 0))
        self.group[number] = group
        self.at[number] = at
        node = self.order[number]
        if group.anchor is not None and self._will_be_kept(node, group):
            self.kept |= 1 << number
        self.plain[number] = 1 << number
        if node.op in REARRANGING:  # as seen from outside
            self.moves |= 1 << number
            base = node
            while base.op in REARRANGING:
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
        if group.frame is not frame or not self._room(number, group, 0, self.values(source)):
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
            room = shares and self._room(number, group, reads, values)
            if room and not self.depends(reads, group):
                self._add(group, number, reads, values, self._result_index(frame))
                return True
        return False

    def _room(self, number: int, group: Group, reads: int, values: int) -> bool:
        """Whether there is room in a group for one more Node."""
        spare = max(group.spare, self.spare.get(number, 0))
        if spare > self.limits.buffers - FEWEST:
            return False
        return self._fits(group.total + values, group.reads | reads, len(group.roots) + 2 + spare)

    def depends(self, mask: int, target: Group) -> bool:
        """Whether computing any of the stored Nodes of `mask` needs `target` to have run."""
        seen = 0
        pending = mask
        floor: int | None = None
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
            else:
                if group.last < target.first:
                    floor = self._floor(target) if floor is None else floor
                    if group.last < floor:
                        continue
                needs = group.reads
                seen |= group.members
            pending |= needs & ~seen
        return False

    def _floor(self, target: Group) -> int:
        """Groups that end before this number cannot need `target`, not even through others.

        A group that began before `target` and went on after it may: so may what reads it.
        """
        floor = target.first
        for group in sorted(self.groups, key=_first, reverse=True):
            if group.first < floor <= group.last:
                floor = group.first
        return floor

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
        if group.anchor is not None and in_phases(group.anchor):
            return False  # each launch would go through all arrays, with strides
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
            reads |= self.loads(each)
            values += self.values(each)
        if self.depends(reads, group) or not self._room(number, group, reads, values):
            return False
        self._add(group, number, reads, values, at)
        return True

    def _needs(self, node: Node, group: Group) -> bool:
        """Whether `node`, of another group or of none, comes after `group`."""
        owner = self.group[self.number[node]]
        if owner is None:
            return self.depends(self.loads(node), group)
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
