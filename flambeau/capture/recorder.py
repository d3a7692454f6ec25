"""Watching one call, see schedule/watch.py. Nothing here keeps a Node of the call alive."""

from __future__ import annotations

import gc
import random
import sys
import threading
import types
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

from flambeau.autograd.mode import STATE
from flambeau.capture import nest
from flambeau.capture.facts import Facts, is_foreign
from flambeau.capture.forward import Forward
from flambeau.capture.observation import (
    Cell,
    Constant,
    Gradient,
    Observation,
    Place,
    Result,
    Run,
)
from flambeau.graph import op
from flambeau.graph.history import is_leaf
from flambeau.graph.node import Location, Node
from flambeau.nn.modules.module import Module
from flambeau.optim.optimizer import Optimizer
from flambeau.schedule import flush, watch
from flambeau.schedule.watch import Source
from flambeau.tensor.tensor import Tensor

_EFFECTS = frozenset({"print", "input", "open"})
"""Python's functions whose effect a replay would leave out."""
_CHANGING = frozenset({"time", "random", "secrets", "_random"})
"""Modules whose functions return something else at each call."""


class RefusedError(RuntimeError):
    """A call that flambeau.compile cannot record, where that is an error (fullgraph=True)."""


class Recorder:
    """Watches `function(*args, **kwargs)`; `reason` says why it cannot be replayed, if so."""

    def __init__(self, function: Callable[..., Any], leaves: Sequence[Any], strict: bool) -> None:
        self.function = function
        self.strict = strict
        self.reason: str | None = None
        self.location: Location | None = None
        self.seen = Observation()
        self.facts = Facts()
        self.later = Facts()  # of what the call itself may make: optimizers' states
        self._thread = threading.get_ident()
        self._cells: dict[int, int] = {}  # id of a tensor -> its cell
        self._storages: dict[int, int] = {}  # id of a storage -> its first cell
        self._nodes: WeakKeyDictionary[Node, int] = WeakKeyDictionary()
        self._made: WeakKeyDictionary[Node, Place] = WeakKeyDictionary()
        self._constants: WeakKeyDictionary[Node, int] = WeakKeyDictionary()
        self._scalars: WeakKeyDictionary[Node, Place] = WeakKeyDictionary()
        self._starts: WeakKeyDictionary[Node, tuple[int, int]] = WeakKeyDictionary()
        self._born: WeakKeyDictionary[Any, None] = WeakKeyDictionary()
        self._gradients: dict[int, int] = {}
        self._histories = False  # whether a tensor is used that has a history from outside
        self._inputs: WeakKeyDictionary[Node, int] = WeakKeyDictionary()  # of arguments, as read
        self._optimizers: dict[int, Optimizer] = {}
        for each in leaves:
            if isinstance(each, Tensor):
                self._cell(each, "argument")
            else:
                self.facts.value(each, "an argument")
        self.facts.value(function, getattr(function, "__name__", "the function"))

    # running -----------------------------------------------------------------------------------

    def run(self, args: Any, kwargs: Any) -> Any:
        """Call the function plainly, looking on. Raises what it raises."""
        before = sys.getprofile()
        watch.activate(self)
        sys.setprofile(self._profile)
        try:
            result = self.function(*args, **kwargs)
        finally:
            sys.setprofile(before)
            watch.activate(None)
        return result

    def _profile(self, frame: types.FrameType, event: str, argument: Any) -> None:
        if event == "call":
            code = frame.f_code
            if not is_foreign(code.co_filename):
                self.facts.code(code, frame.f_globals)
                if code.co_argcount and code.co_varnames[0] == "self":
                    self.facts.value(frame.f_locals.get("self"), "self")
        elif event == "c_call" and not is_foreign(frame.f_code.co_filename):
            name = getattr(argument, "__name__", "")
            module = getattr(argument, "__module__", None)
            owner = getattr(argument, "__self__", None)
            if (module == "builtins" and name in _EFFECTS) or module in _CHANGING:
                self.refuse(f"{name}() is called", (frame.f_code.co_filename, frame.f_lineno))
            elif isinstance(owner, random.Random):
                self.refuse(f"random.{name}() is called")

    def refuse(self, reason: str, location: Location | None = None) -> None:
        if self.reason is None and threading.get_ident() == self._thread:
            self.reason = reason
            self.location = location or _user_line()
            if self.strict and location is not _NOWHERE:
                raise RefusedError(self.told())

    @property
    def certain(self) -> bool:
        """Whether the next call will be refused, too: the reason is a line of the function."""
        return self.location is not None and self.location is not _NOWHERE

    def told(self) -> str:
        """The reason with its line."""
        if self.location is None or not self.certain:
            return str(self.reason)
        return f"{self.reason} at {self.location[0]}:{self.location[1]}"

    # tensors -----------------------------------------------------------------------------------

    def _cell(self, tensor: Tensor, kind: str, of: int = -1) -> int:
        storage, held = tensor._storage, tensor._storage.node
        number = self._cells[id(tensor)] = len(self.seen.cells)
        cell = Cell(
            tensor,
            kind,
            of,
            held.type,
            held.device,
            storage.version,
            tensor.requires_grad,
            tensor._view,
            storage,
        )
        self.seen.cells.append(cell)
        if held.requires_grad and not is_leaf(held):
            self._histories = True
        if id(storage) not in self._storages:
            self._storages[id(storage)] = number
            first = self._nodes.setdefault(held, number)
            if first != number:
                self.seen.equal.append((first, number))
        elif kind == "argument":
            self.refuse("two arguments share memory")
        if kind == "argument":
            if tensor._view is not None:
                self._note_starts(tensor, number)
            self._inputs[tensor._read()] = number
        return number

    def _note_starts(self, tensor: Tensor, number: int) -> None:
        """The starts of an argument that is a view are runtime scalars of its Node."""
        node, used = tensor._read(), len(tensor._layout().starts)
        while node.op in op.MOVEMENT:
            if node.scalars:
                used -= len(node.scalars)
                self._starts[node] = (number, used)
            node = node.inputs[0]

    def read(self, tensor: Tensor) -> None:
        if id(tensor) in self._cells or threading.get_ident() != self._thread:
            return
        if tensor._view is not None:
            tensor = tensor._owner()
            if id(tensor) in self._cells:
                return
        storage = tensor._storage
        if storage in self._born or STATE.tracing:
            return
        if id(storage) in self._storages and self._temporary(tensor):
            return
        self._cell(tensor, "captured")

    def _temporary(self, tensor: Tensor) -> bool:
        """Whether a tensor over a known storage is one that the call made: a leaf never is."""
        return not tensor._leaf

    def written(self, tensor: Tensor) -> None:
        self.read(tensor)

    def born(self, storage: ref[Any]) -> None:
        made = storage()
        if made is not None and id(made) not in self._storages:
            self._born[made] = None

    def constant(self, storage: ref[Any], node: Node, array: Any, copied: bool) -> None:
        self.born(storage)
        self._constants[node] = len(self.seen.constants)
        values = array.copy()
        shared = values if copied else array
        self.seen.constants.append(Constant(values, shared, node.type, node.device))

    def drawn(self, node: Node, draw: Callable[[], Any]) -> None:
        constant = self.seen.constants[self._constants[node]]
        constant.draw = draw
        self.seen.sources.append(_Drawn())

    def gradient(self, tensor: Tensor, cleared: bool) -> None:
        if threading.get_ident() != self._thread or not tensor._leaf:
            return
        self.read(tensor)
        number = self._cells.get(id(tensor))
        if number is None or number in self._gradients:
            return
        self._gradients[number] = len(self.seen.gradients)
        before = tensor._grad
        found = "unseen" if cleared else "none" if before is None else "tensor"
        self.seen.gradients.append(Gradient(number, found))
        if found == "tensor":
            assert before is not None
            if before.requires_grad or before._view is not None:
                self.refuse("a gradient is a view, or requires a gradient")
            else:
                self._cell(before, "gradient", number)

    def value(self, tensor: Tensor) -> None:
        self.refuse("a value is read")

    def checked(self, tensor: Tensor, check: Callable[[Any], None]) -> None:
        number = self._cells.get(id(tensor))
        if number is not None:
            self.seen.checks.append((number, check))

    # Python state ------------------------------------------------------------------------------

    def module(self, module: Module) -> None:
        self.facts.value(module, type(module).__name__)

    def optimizer(self, optimizer: Optimizer) -> None:
        if type(optimizer).step is not Optimizer.step:
            self.refuse(f"{type(optimizer).__name__} has a step of its own")
        if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:  # type: ignore[attr-defined]  # made in __init__
            self.refuse("an optimizer's step has hooks")
        self._optimizers[id(optimizer)] = optimizer
        for group in optimizer.param_groups:
            for each in group["params"]:
                self.gradient(each, False)

    def scalars(self, nodes: Sequence[Node], source: Source) -> None:
        number = len(self.seen.sources)
        self.seen.sources.append(source)
        for place, node in enumerate(nodes):
            if node.op is not op.CONST or not node.scalars:
                self.refuse("an optimizer's number is a tensor")
            self._scalars[node] = ("source", number, place)

    # plans -------------------------------------------------------------------------------------

    def ran(
        self, executable: Any, order: Any, leaves: Any, outputs: Sequence[Node], donated: Any
    ) -> None:
        if threading.get_ident() != self._thread:
            return
        number = len(self.seen.runs)
        self.seen.runs.append(
            Run(
                executable,
                [self._origin(each) for each in leaves],
                self._numbers(order),
                [(each.type, each.device) for each in outputs],
                tuple(donated),
            )
        )
        for place, each in enumerate(outputs):
            self._made[each] = ("made", number, place)

    def _origin(self, node: Node) -> Place:
        found = self._made.get(node)
        if found is not None:
            return found
        if node in self._nodes:
            return ("cell", self._nodes[node])
        if node in self._constants:
            return ("constant", self._constants[node])
        self.refuse("a value is used of which it is not known where it came from")
        return ("unknown",)

    def _numbers(self, order: Sequence[Node]) -> list[Place]:
        found: list[Place] = []
        for node in order:
            if not node.scalars:
                continue
            if node in self._scalars:
                found.append(self._scalars[node])
            elif node in self._starts:
                cell, first = self._starts[node]
                found += [("start", cell, first + each) for each in range(len(node.scalars))]
            else:
                found += [("value", each) for each in node.scalars]
        return found

    # the end -----------------------------------------------------------------------------------

    def finish(self, result: Any) -> Observation | None:
        """The whole observation, once all is computed; None where the call cannot be replayed."""
        if self.reason is None:
            self.facts.settle()
            changed = self.facts.changed()
            if changed is not None:
                self.refuse(f"the call changes Python state: {changed}", _NOWHERE)
        leaves: list[Any] = []
        self.seen.structure = nest.flatten(result, leaves)
        if self.reason is None and self._carries_history(leaves):
            return self._finish_forward(leaves)
        if self.reason is None and self._histories:
            self.refuse("a tensor with a history from outside the call is used", _NOWHERE)
        if self.reason is None:
            self._flush()
        if self.reason is None:
            self._note_writes()
            self._note_gradients()
            self._note_result(leaves)
            self._note_optimizers()
        if self.reason is None:
            self._look_for_others(leaves)
        return self.seen if self.reason is None else None

    def _carries_history(self, leaves: Sequence[Any]) -> bool:
        """Whether backward may come for a tensor of the result that the call made."""
        return any(
            isinstance(each, Tensor)
            and each.requires_grad
            and not each.is_leaf
            and id(each) not in self._cells
            and not (each._storage.node.history is not None and each._storage.node.history.freed)
            for each in leaves
        )

    def _finish_forward(self, leaves: Sequence[Any]) -> Observation | None:
        """The call's Nodes become one operation; they are computed when somebody asks."""
        if self.seen.runs or self.seen.gradients or self._optimizers:
            self.refuse("a result is returned whose backward has not been called", _NOWHERE)
            return None
        maker = Forward(self.seen, self._known_input)
        reason = maker.take(leaves, self._cells, self._storages)
        if reason is not None:
            self.refuse(reason, _NOWHERE)
            return None
        self._look_for_others(leaves)
        return self.seen if self.reason is None else None

    def _known_input(self, node: Node) -> Place | None:
        """Where a Node comes from that the call did not make; None where it did."""
        if node in self._inputs:
            return ("cell", self._inputs[node])
        if node in self._nodes:
            return ("cell", self._nodes[node])
        if node in self._constants:
            return ("constant", self._constants[node])
        if node in self._scalars:
            return self._scalars[node]
        if node.op is op.CONST and node.scalars:
            return ("value", node.scalars[0])
        return None

    def _flush(self) -> None:
        watch.activate(self)
        try:
            flush.flush()
        finally:
            watch.activate(None)

    def _note_writes(self) -> None:
        for number in self._storages.values():
            cell = self.seen.cells[number]
            node = cell.storage.node
            first = self._nodes.get(node)
            if first == number or (first, number) in self.seen.equal:
                continue
            made = self._made.get(node)
            if made is None:
                self.refuse("a tensor is written of which it is not known with what", _NOWHERE)
            elif cell.view is not None and cell.kind == "argument":
                self.refuse("an argument that is a view is written", _NOWHERE)
            else:
                grown = cell.storage.version - cell.version
                self.seen.writes.append((number, made, grown))

    def _note_gradients(self) -> None:
        for each in self.seen.gradients:
            now = self.seen.cells[each.cell].tensor._grad
            if now is None:
                each.left = ("none",)
                continue
            known = self._storages.get(id(now._storage))
            if known is not None and self.seen.cells[known].kind == "gradient":
                each.left = ("same",)
                continue
            made = self._made.get(now._storage.node)
            if made is None or now._view is not None or now.requires_grad:
                self.refuse("a gradient is left that is no plain tensor of the call", _NOWHERE)
            each.left = made

    def _note_result(self, leaves: Sequence[Any]) -> None:
        storages: dict[int, int] = {}
        for each in leaves:
            if not isinstance(each, Tensor):
                if not isinstance(each, (bool, int, float, str, type(None))):
                    self.refuse(f"a {type(each).__name__} is returned", _NOWHERE)
                self.seen.results.append(Result(("value", each)))
                continue
            if id(each) in self._cells:
                self.seen.results.append(Result(("cell", self._cells[id(each)]), each._type))
                continue
            storage = each._storage
            node = storage.node
            place = self._result_place(storage, node)
            spent = each.requires_grad
            if spent and not (node.history is not None and node.history.freed):
                self.refuse("a result is returned whose backward has not been called", _NOWHERE)
            number = storages.setdefault(id(storage), len(storages))
            self.seen.results.append(
                Result(place, each._type, each._view, number, each._tracks, spent)
            )

    def _result_place(self, storage: Any, node: Node) -> Place:
        if id(storage) in self._storages:
            return ("alias", self._storages[id(storage)])
        if node in self._constants:
            return ("constant", self._constants[node])
        if node in self._nodes:
            return ("share", self._nodes[node])
        if node not in self._made:
            self.refuse("a result is returned of which it is not known where it came from")
        return self._made.get(node, ("unknown",))

    def _note_optimizers(self) -> None:
        for each in self._optimizers.values():
            self.later.attribute(each, "state", "an optimizer's state")
            self.later.attribute(each, "param_groups", "an optimizer's groups")
            self.later.size(each.param_groups, "param_groups")
            for group in each.param_groups:
                self.later.item(group, "params", "an optimizer's parameters")
                self.later.size(group["params"], "an optimizer's parameters")
                for parameter in group["params"]:
                    if parameter in each.state:
                        self._note_state(each.state, parameter)
        self.later.settle()

    def _note_state(self, state: Any, parameter: Any) -> None:
        self.later.item(state, parameter, "an optimizer's state")
        for name, value in state[parameter].items():
            if isinstance(value, Tensor):
                self.later.item(state[parameter], name, f"an optimizer's {name}")

    def _look_for_others(self, leaves: Sequence[Any]) -> None:
        """Tensors of the call that live on elsewhere: in a list, in an object's attribute."""
        known = {id(each._storage) for each in leaves if isinstance(each, Tensor)}
        for each in self.seen.gradients:
            gradient = self.seen.cells[each.cell].tensor._grad
            if gradient is not None:
                known.add(id(gradient._storage))
        if self._others(known):
            gc.collect()
            if self._others(known):
                self.refuse("a tensor of the call is kept in Python state", _NOWHERE)

    def _others(self, known: set[int]) -> bool:
        """Whether a tensor looks at a storage of the call that is not known; histories may."""
        left = [each for each in list(self._born) if id(each) not in known]
        return any(isinstance(each, Tensor) for each in gc.get_referrers(*left)) if left else False


class _Drawn:
    """Keeps the place of a draw among the sources."""

    def ready(self) -> bool:
        return True

    def again(self) -> tuple[Any, ...]:
        return ()


_NOWHERE: Location = ("", 0)


def _user_line() -> Location | None:
    """The nearest frame outside this package and Python's."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None and is_foreign(frame.f_code.co_filename):
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)
