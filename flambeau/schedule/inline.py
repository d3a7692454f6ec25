"""What is computed wherever it is used: elementwise and movement operations, and what they cost.

Sets of Nodes are integers, one bit for each Node's number in the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from flambeau.graph import op
from flambeau.graph.node import Node, walk
from flambeau.kernel.index import Index, Indices
from flambeau.kernel.limits import DEAR, FEWEST, Limits
from flambeau.kernel.lower import canonical
from flambeau.kernel.map import Frame

REARRANGING = frozenset({op.RESHAPE, op.PERMUTE, op.EXPAND})
CONTRACTIONS = frozenset({op.REDUCE, op.MATMUL, op.CONV})
FEW = 6
"""How many operations are done again on what is loaded anyway."""

AGAIN = 16
"""What doing operations again may cost, rather than storing their result: see Inlining.cost."""


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
        "spare",
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
        self.spare = 0  # how many buffers are left free for what is stored later
        self.first = self.last = self.serial = number


def bits(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class Inlining:
    """The state of grouping, and how Nodes are made part of the kernels that use them.

    `spare` says, for a Node's number, how many buffers its kernel leaves free: what is stored later
    may take them. Where so many are asked for that four are not left, the Node is computed alone,
    from stored operands; no operation needs more than four buffers.
    """

    def __init__(
        self, outputs: Sequence[Node], limits: Limits, spare: Mapping[int, int] | None = None
    ) -> None:
        self.limits = limits
        self.spare = spare or {}
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
        self.gathers = 0
        self.again = 0  # members of groups that others compute again
        self.wanted = {canonical(node) for node in outputs}
        self.users: list[list[Node]] = [[] for _ in range(count)]
        for node in self.order:
            for each in node.inputs:
                self.users[self.number[each]].append(node)
        self.kept = 0  # members of products' groups that will be stored
        self.indices = Indices()
        self.frames: dict[tuple[tuple[int, ...], tuple[int, ...]], Frame] = {}
        self.open: dict[Frame, list[Group]] = {}
        self.groups: list[Group] = []
        self.outputs = outputs

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
            if self._only_turned(node):
                self.store(node)
                return
            if node.op not in REARRANGING:
                if not self._recomputed(node):
                    self.store(node)
                return
            node = node.inputs[0]

    def _only_turned(self, node: Node) -> bool:
        """Whether a product is asked for with its axes in this order only: so it is stored, then.

        A product is as fast whichever way its result lies; who reads it is not.
        """
        group = self.group[self.number[node]]
        if node.op is not op.PERMUTE or group is None or group.anchor is None:
            return False
        while node.op is op.PERMUTE or node.op is op.RESHAPE:
            (node,) = node.inputs
            if len(self.users[self.number[node]]) != 1 or node in self.wanted:
                return False
        return group.kind == "frame" and node.op is not op.EXPAND

    def _available(self, node: Node) -> bool:
        number = self.number[node]
        return bool(self.is_stored(node) or self.group[number] is None or self.again >> number & 1)

    def _recomputed(self, node: Node) -> bool:
        """Whether what a group computes is computed again by those who use it, cheaply.

        A row kernel's large results are, from its small ones: the mean and the scale of a
        normalisation, say. A product's are, from those that are stored anyway.
        """
        group = self.group[self.number[node]]
        if group is None or group.frame is None:
            return False
        if not group.frame.loops and (group.anchor is None or self.kept >> self.number[node] & 1):
            return False
        found = self._way(node, group)
        if found is None:
            return False
        path, base = found
        for each in base:
            self.outside(each)
        for each in sorted(path, key=self.number.__getitem__):
            number = self.number[each]
            self.again |= 1 << number
            if each.op in REARRANGING:
                self._set_moved(number, each)
            else:
                self._inline(number, each)
        return True

    def _way(self, node: Node, group: Group) -> tuple[list[Node], list[Node]] | None:
        """How to compute a member of a group again: what is done, and from what; None: dearly."""
        path: list[Node] = []
        base: list[Node] = []
        others: dict[Node, None] = {}
        rows = group.anchor is None
        cost = 0
        pending = [node]
        while pending:
            each = pending.pop()
            if each in path or each in base:
                continue
            if self.group[self.number[each]] is not group:
                others[each] = None
            elif self.is_stored(each) or (each is not node and self._is_base(each, node, rows)):
                base.append(each)
            else:
                cost += 9 if each.op in DEAR else 1
                if each.op in CONTRACTIONS or cost > (AGAIN if rows else FEW):
                    return None
                path.append(each)
                pending.extend(each.inputs)
        if not base or not (rows or self._saves(node, base, others)):
            return None
        return path, base

    def _is_base(self, each: Node, node: Node, rows: bool) -> bool:
        if rows:
            return each.type.size * 4 <= node.type.size
        return bool(self.kept >> self.number[each] & 1)

    def _saves(self, node: Node, base: Iterable[Node], others: Iterable[Node]) -> bool:
        """Whether to load what `node` is made of takes no more than to store and to load it."""
        loads = 0
        for each in others:
            loads |= self.loads(each)
        for each in base:
            loads |= 1 << self.number[canonical(each)]
        amount = sum(self.order[number].type.nbytes for number in bits(loads))
        users = len(self.users[self.number[node]])
        return users * amount <= (1 + users) * node.type.nbytes * 1.1

    def _will_be_kept(self, node: Node, group: Group) -> bool:
        """Whether a member of a product's group has to be stored: others than elementwise
        operations use it, and it is not computed again."""
        if canonical(node) in self.wanted:
            return True
        pending = list(self.users[self.number[node]])
        for each in pending:
            if each.op in REARRANGING:
                pending.extend(self.users[self.number[each]])
            elif each.op not in op.ELEMENTWISE:
                return self._way(node, group) is None
        return False

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

    def loads(self, node: Node) -> int:
        """The stored Nodes that a kernel which uses `node` loads for it."""
        _, reads, far = self._seen(node)
        return reads | far

    def _all_loads(self, nodes: Iterable[Node]) -> int:
        result = 0
        for each in nodes:
            result |= self.loads(each)
        return result

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
            if self._fits(self.values(node), reads | far, 1 + self.spare.get(number, 0)):
                return
            if not self._store_largest(node.inputs):
                return

    def alone(self, number: int) -> bool:
        """Whether a Node is computed by itself: with others it came to need too many buffers."""
        return self.spare.get(number, 0) > self.limits.buffers - FEWEST

    def _store_operands(self, number: int) -> None:
        """Store what a Node that is computed alone is made of."""
        for each in self.order[number].inputs:
            if self.loads(each) or self.group[self.number[each]] is not None:
                self._store_below(each)

    def _fits(self, values: int, reads: int, roots: int) -> bool:
        """Whether so much fits one kernel; `roots` counts what it stores and what is left free."""
        limits = self.limits
        return values <= limits.values and reads.bit_count() + roots <= limits.buffers

    def _store_largest(self, nodes: Iterable[Node]) -> bool:
        """Store the Node that loads and computes most; False where none is left to store."""
        candidates = [each for each in nodes if not self.is_stored(self._bottom(each))]
        candidates = [each for each in candidates if self.cost(each) > 1]
        if not candidates:
            return False
        largest = max(
            candidates, key=lambda each: (self.loads(each).bit_count(), self.values(each))
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
        if factor >= 2 and self.loads(source) and self.cost(source) > 8:
            self._store_below(source)
        if node.op is op.GATHER:
            self.gathers |= 1 << number
            if self.cost(node.inputs[1]) > 8:
                self._store_below(node.inputs[1])
        self._set_moved(number, node)
        spare = self.spare.get(number, 0)
        while not self._fits(self.below[number], self.far[number], 1 + spare):
            if not self._store_largest(node.inputs):
                break
            self._set_moved(number, node)

    def _set_moved(self, number: int, node: Node) -> None:
        self.moves |= 1 << number
        self.plain[number] = 1 << number
        self.far[number] = 0
        for each in node.inputs:
            self.far[number] |= self.loads(each)
        self.below[number] = sum(map(self.values, node.inputs))
