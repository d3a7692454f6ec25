"""What is stored and what is computed again, decided once all groups are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import op
from flambeau.graph.node import Node
from flambeau.kernel.limits import DEAR
from flambeau.kernel.lower import canonical
from flambeau.schedule.frames import Framing
from flambeau.schedule.inline import FEW, Group, bits


class Keeping(Framing):
    """Stores what is dear and shared; does not store what is cheap and loaded anyway."""

    def _keep_dear(self) -> None:
        """Store what is dear and used by several kernels (maps of one shape count as one)."""
        kernels: dict[Any, int] = {}
        users = [0] * len(self.order)
        for number in range(len(self.order) - 1, -1, -1):
            node = self.order[number]
            group = self.group[number]
            mine = self.is_stored(node) or group is not None
            if not mine and users[number].bit_count() > 1 and self._is_dear(number, node):
                mine = True
                self.store(node)
            if mine:
                key: Any = group if group is not None else node.shape
                users[number] = 1 << kernels.setdefault(key, len(kernels))
            for each in node.inputs:
                users[self.number[each]] |= users[number]

    def _is_dear(self, number: int, node: Node) -> bool:
        """Whether several kernels should not each compute `node`: what gathers, always."""
        if node.op is op.GATHER:
            return True
        if node.op not in op.ELEMENTWISE or not self.loads(node):
            return False
        gathered = [self.order[each] for each in bits(self.plain[number] & self.gathers)]
        if any(each.type.size >= node.type.size for each in gathered):
            return True
        return self.cost(node) > self.limits.recompute

    def _drop_stores(self) -> bool:
        """Do not store what is computed cheaply from what all its users load anyway."""
        users: dict[int, list[Group]] = {}
        for group in self.groups:
            for number in bits(group.reads):
                users.setdefault(number, []).append(group)
        dropped = False
        for number in bits(self.stored):
            node, owner = self.order[number], self.group[number]
            if node in self.wanted or owner is None or owner.kind != "frame":
                continue
            if node.op not in op.ELEMENTWISE or node.op in DEAR:
                continue
            if self._loaded_anyway(node, users.get(number, ())):
                self.stored &= ~(1 << number)
                self.stored_nodes.discard(node)
                del owner.roots[node]
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
                    if each.op not in op.ELEMENTWISE or each.op in DEAR or len(path) >= FEW:
                        return False
                    path.append(each)
        return bool(users) and all(
            user.kind == "frame" and not needs & ~user.reads for user in users
        )

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
