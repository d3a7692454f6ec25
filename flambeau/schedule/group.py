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

from flambeau.graph import op
from flambeau.graph.node import Node, walk
from flambeau.kernel.limits import DEAR
from flambeau.kernel.lower import canonical
from flambeau.kernel.map import Frame
from flambeau.schedule.inline import CONTRACTIONS, REARRANGING, Group, bits
from flambeau.schedule.keep import Keeping

_ATTENTION = frozenset({op.ATTENTION, op.ATTENTION_BACKWARD})
_SEVERAL = _ATTENTION | {op.SORT, op.CALL}
_OWN_GROUP = _SEVERAL | {op.SCAN, op.SCATTER, op.ASSIGN, op.CAT}


class Grouper(Keeping):
    """Groups the Nodes under some outputs."""

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

    def _visit(self, number: int, node: Node) -> None:
        primitive = node.op
        if self.alone(number) and primitive is not op.PICK:
            self._store_operands(number)
        if primitive in op.ELEMENTWISE:
            if primitive in DEAR:
                self.dear |= 1 << number
            if not self._join(number, node):
                self._inline(number, node)
        elif primitive in REARRANGING:
            if not self._join(number, node):
                self._move(number, node)
        elif (primitive in op.MOVEMENT and primitive is not op.CAT) or primitive is op.GATHER:
            self._move(number, node)
        elif primitive in CONTRACTIONS:
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

    def _own_group(self, number: int, node: Node) -> None:
        group = Group(node.op.name.lower(), None, node, number)
        self.groups.append(group)
        self.group[number] = group
        for each in node.inputs:
            self.outside(each)
            if node.op is op.CALL:
                self.store(each)
            elif node.op in _ATTENTION and self._is_dear_operand(each):
                self._store_below(each)
        if node.op is op.SCATTER and self.cost(node.inputs[1]) > 8:
            self._store_below(node.inputs[1])
        roots = 4 + self.spare.get(number, 0)
        while not self._fits(0, self._all_loads(node.inputs), roots) and node.op is not op.CAT:
            if node.op is op.CALL or not self._store_largest(node.inputs):
                break
        group.reads = self._all_loads(node.inputs)
        group.members = 1 << number
        if node.op not in _SEVERAL:
            self._mark(number)
            group.roots[node] = ()

    def _is_dear_operand(self, node: Node) -> bool:
        """Whether an operand that is read block after block had better lie in memory."""
        checked = (op.GATHER, op.IDIV, op.MOD)
        below = walk([node], lambda each: not self.is_stored(each))
        return self.cost(node) > self.limits.matmul or any(
            each.op in checked and not self.is_stored(each) for each in below
        )

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
        if not self._fits(group.total + 8, others | group.reads, len(group.roots) + 1):
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

    def _finish(self) -> None:
        """What each group computes: its roots and all that is under them and not stored."""
        for group in self.groups:
            mine = set(group.roots)
            tops = list(group.roots)
            if not tops and group.anchor is not None:
                tops = [group.anchor]

            def enter(node: Node, tops: list[Node] = tops, mine: set[Node] = mine) -> bool:
                return node in mine or node in tops or canonical(node) not in self.stored_nodes

            group.nodes = [each for each in walk(tops, enter) if enter(each)]
            group.buffers = group.reads.bit_count() + len(group.roots)
            if group.kind == "call":
                group.buffers = 0  # it has no kernel
            elif group.kind == "cat":  # it is split into as many launches as it takes
                group.buffers = 1 + max([self.loads(each).bit_count() for each in tops[0].inputs])
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
