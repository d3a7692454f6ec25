"""What is stored and what is computed again, decided once all groups are known."""

from __future__ import annotations

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
        """Do not store what is computed cheaply from what all its users load anyway, or from one
        array that they load instead."""
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
            readers = users.get(number, [])
            needs = self._needs_of(node)
            if not readers or any(self._costs(node, needs, each) for each in readers):
                continue
            self.stored &= ~(1 << number)
            self.stored_nodes.discard(node)
            del owner.roots[node]
            dropped = True
            for reader in readers:
                for each in bits(needs & ~reader.reads):
                    users.setdefault(each, []).append(reader)
                reader.reads = reader.reads & ~(1 << number) | needs
        return dropped

    def _costs(self, node: Node, needs: int, reader: Group) -> bool:
        """Whether a group had better load `node` than compute it of `needs`."""
        if reader.kind != "frame" or not needs:
            return True
        new = [self.order[number] for number in bits(needs & ~reader.reads)]
        if not new:
            return False
        one = len(new) == 1 and new[0].type.nbytes <= node.type.nbytes
        return reader.anchor is not None or not one

    def _needs_of(self, node: Node) -> int:
        """What is loaded to compute `node` by a few operations; 0 where it takes more."""
        needs = 0
        path: list[Node] = [node]
        for current in path:
            for each in map(canonical, current.inputs):
                if each in self.stored_nodes:
                    needs |= 1 << self.number[each]
                elif each.op is not op.CONST and each not in path:
                    if each.op not in op.ELEMENTWISE or each.op in DEAR or len(path) >= FEW:
                        return 0
                    path.append(each)
        return needs

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
