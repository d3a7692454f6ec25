"""From graph Nodes to values of the kernel language.

A `Lowering` builds one kernel. `value(node, index, guard)` is the value of one element of a Node:
movement operations turn the index, elementwise operations become values, stored Nodes become loads
and contractions become Folds (the templates reduce, matmul, conv, … register how). A guard is a
conjunction of conditions under which the value is wanted; where it does not hold, nothing is read.

Index expressions stay symbolic until `finish`, which merges neighbouring axes that every index sees
as one, so that a map over contiguous arrays becomes one flat loop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.graph.node import Location, Node, Operation
from flambeau.kernel import ir
from flambeau.kernel.index import Atom, Index, Indices, Linear
from flambeau.kernel.ir import (
    Attend,
    Axis,
    Check,
    Fold,
    Kernel,
    Loop,
    Sort,
    Statement,
    Store,
    Value,
)
from flambeau.kernel.merge import Merging, merge_statement

Condition = tuple[Linear, int, int] | Value
"""low ≤ index < high, or a boolean value."""

Guard = tuple[Condition, ...]
Request = tuple[Node, Index, Guard]
Step = Generator[Request, Value, Value]
Rule = Callable[["Lowering", Node, Index, Guard], Step]

RULES: dict[Operation, Rule] = {}
"""How each primitive that is not elementwise or movement becomes a value."""


def rule(primitive: op.Primitive) -> Callable[[Rule], Rule]:
    """Register how `primitive` is lowered: a generator that yields what it needs."""

    def register(function: Rule) -> Rule:
        RULES[primitive] = function
        return function

    return register


def canonical(node: Node) -> Node:
    """The Node whose memory holds `node`: a reshaped array lies in memory as the array does."""
    while node.op is op.RESHAPE:
        node = node.inputs[0]
    return node


def accumulator(dtype: DType) -> DType:
    """The dtype in which sums of `dtype` are kept: float32 for 16-bit floats."""
    return dtypes.float32 if dtype.is_floating_point and dtype.itemsize == 2 else dtype


@dataclass(slots=True)
class Lowered:
    """A kernel and what its numbers refer to.

    `buffers` has a Node for each of the kernel's buffers (None: scratch memory), `scalars` the
    plan's number for each of its scalars.
    """

    kernel: Kernel
    buffers: list[Node | None]
    scalars: tuple[int, ...]
    errors: dict[int, tuple[str, str, Location | None]] = field(default_factory=dict)


class Lowering:
    """Builds one kernel: see the module's text.

    `stored` are the Nodes that lie in memory, `inside` those of them that this kernel computes,
    `scalars` the dtypes of the plan's runtime scalars.
    """

    def __init__(
        self,
        stored: Mapping[Node, Any] | frozenset[Node] | set[Node],
        inside: set[Node] | frozenset[Node] = frozenset(),
        scalars: Sequence[DType] = (),
    ) -> None:
        self.indices = Indices()
        self.stored = stored
        self.inside = inside
        self.scalar_dtypes = scalars
        self.body: list[Statement] = []
        self.scopes: list[list[Statement]] = [self.body]
        self.buffers: list[Node | None] = []
        self.errors: dict[int, tuple[str, str, Location | None]] = {}
        self.turned = False  # whether a product's second operand comes first
        self._numbers: dict[Node, int] = {}
        self._written: set[int] = set()
        self._scratch: dict[int, int] = {}
        self._scalars: dict[int, int] = {}
        self._memo: dict[Request, Value] = {}
        self._values: dict[Any, Value] = {}
        self._indexed: dict[Linear, Value] = {}
        self._guards: dict[Guard, Value] = {}
        self._ranks: dict[Axis, int] = {}
        self._real: dict[Value, Value] = {}

    # values ---------------------------------------------------------------------------------

    def emit(self, name: str, args: tuple[Value, ...], dtype: DType, payload: Any = None) -> Value:
        """The one Value of this operation on these arguments."""
        key = (name, args, dtype, payload)
        found = self._values.get(key)
        if found is None:
            found = self._values[key] = Value(name, args, dtype, payload)
        return found

    def constant(self, number: Any, dtype: DType = dtypes.int64) -> Value:
        key = ("const", op.encode_constant(number, dtype), dtype)
        found = self._values.get(key)
        if found is None:
            found = self._values[key] = Value("const", (), dtype, number)
        return found

    def scalar(self, number: int) -> Value:
        """The plan's runtime scalar `number`."""
        local = self._scalars.setdefault(number, len(self._scalars))
        return self.emit("scalar", (), self.scalar_dtypes[number], local)

    def indexed(self, index: Linear) -> Value:
        """An index as a value; `finish` works it out."""
        if not index.terms:
            return self.constant(index.constant)
        found = self._indexed.get(index)
        if found is None:
            found = self._indexed[index] = Value("index", (), dtypes.int64, index)
        return found

    def cast(self, value: Value, dtype: DType) -> Value:
        return value if value.dtype is dtype else self.emit("CAST", (value,), dtype)

    def conjunction(self, guard: Guard) -> Value | None:
        """The guard as a boolean value; None where there is no condition."""
        if not guard:
            return None
        found = self._guards.get(guard)
        if found is None:
            for condition in guard:
                for part in self._condition(condition):
                    found = part if found is None else self.emit("AND", (found, part), dtypes.bool_)
            if found is None:
                found = self.constant(True, dtypes.bool_)
            self._guards[guard] = found
        return found

    def _condition(self, condition: Condition) -> list[Value]:
        if isinstance(condition, Value):
            return [condition]
        index, low, high = condition
        value, parts = self.indexed(index), []
        if index.low < low:
            parts.append(self.emit("LT", (self.constant(low - 1), value), dtypes.bool_))
        if index.high >= high:
            parts.append(self.emit("LT", (value, self.constant(high)), dtypes.bool_))
        return parts

    # buffers and statements -----------------------------------------------------------------

    def buffer(self, node: Node) -> int:
        """The kernel's number for the buffer of a stored Node."""
        number = self._numbers.get(node)
        if number is None:
            number = self._numbers[node] = len(self.buffers)
            self.buffers.append(node)
        return number

    def scratch(self, size: int) -> int:
        """A buffer of `size` int64 that only this kernel uses."""
        number = len(self.buffers)
        self.buffers.append(None)
        self._scratch[number] = size
        self._written.add(number)
        return number

    def output(self, node: Node) -> int:
        """The kernel's number for a buffer that it writes."""
        number = self.buffer(node)
        self._written.add(number)
        return number

    def load(self, node: Node, flat: Linear, guard: Guard = ()) -> Value:
        index, valid = self.indexed(flat), self.conjunction(guard)
        args = (index,) if valid is None else (index, valid)
        return self.emit("load", args, node.dtype, self.buffer(node))

    def store(
        self,
        node: Node,
        flat: Linear,
        value: Value,
        guard: Guard = (),
        combine: str | None = None,
    ) -> None:
        self.scopes[-1].append(
            Store(
                self.output(node),
                self.indexed(flat),
                value,
                self.conjunction(guard),
                combine,
            )
        )

    def check(
        self, condition: Value, guard: Guard, detail: Value, kind: str, text: str, node: Node
    ) -> None:
        """Record an error where the guard holds and the condition does not."""
        valid = self.conjunction(guard)
        if valid is not None:
            no = self.emit("XOR", (valid, self.constant(True, dtypes.bool_)), dtypes.bool_)
            condition = self.emit("OR", (no, condition), dtypes.bool_)
        entry = (kind, text, node.location)
        code = next((code for code, each in self.errors.items() if each == entry), None)
        if code is None:
            code = len(self.errors) + 1
            self.errors[code] = entry
        self._append_check(Check(condition, code, detail))

    def _append_check(self, check: Check) -> None:
        for each in self.scopes[-1]:
            if not isinstance(each, Check) or each.code != check.code:
                continue
            if each.condition is check.condition:
                return
        self.scopes[-1].append(check)

    def fold(
        self,
        kind: str,
        dtype: DType,
        extents: Sequence[int],
        make: Callable[[Index], Generator[Request, Value, Value]],
        product: bool = False,
    ) -> Step:
        """A Fold over new axes of `extents`; `make(indices of the axes)` is the folded value."""
        axes = tuple([Axis(extent) for extent in extents])
        self.scopes.append([])
        value = yield from make(tuple([self.indices.axis(each) for each in axes]))
        if self.leave_checks(axes):
            again = tuple([Axis(extent) for extent in extents])
            self.scopes.append([])
            yield from make(tuple([self.indices.axis(each) for each in again]))
            self.body.append(Loop(again, tuple(self.scopes.pop())))
        folded = Fold(axes, kind, value, dtype, product=product)
        self.body.append(folded)
        return Value("result", (), dtype, folded)

    def leave_checks(self, axes: Sequence[Axis]) -> bool:
        """Leave a scope over `axes` that cannot hold Checks, as a Fold's value cannot.

        Checks that do not depend on the axes go one scope further out. Whether there were others:
        they are to be made again, in a Loop over axes of their own.
        """
        inner = set(axes)
        again = False
        for statement in self.scopes.pop():
            assert isinstance(statement, Check)
            if _axes_under((statement.condition, statement.detail)) & inner:
                again = True
            else:
                self._append_check(statement)
        return again

    # demand ---------------------------------------------------------------------------------

    def value(self, node: Node, index: Index, guard: Guard = ()) -> Value:
        """The value of `node` at `index`, without recursion: rules are run by a stack of them."""
        key = (node, index, guard)
        found = self._memo.get(key)
        if found is not None:
            return found
        stack = [(key, self._expand(*key))]
        answer: Value | None = None
        while True:
            key, step = stack[-1]
            try:
                request = step.send(answer)  # type: ignore[arg-type]  # None starts a generator
            except StopIteration as stop:
                self._memo[key] = answer = stop.value
                stack.pop()
                if not stack:
                    assert answer is not None
                    return answer
                continue
            answer = self._memo.get(request)
            if answer is None:
                stack.append((request, self._expand(*request)))

    def _expand(self, node: Node, index: Index, guard: Guard) -> Step:
        base = canonical(node)
        if base in self.stored and base not in self.inside:
            return self._loaded(base, self.indices.flatten(index, node.shape), guard)
        if node.op in op.ELEMENTWISE:
            return self._elementwise(node, index, guard)
        return RULES[node.op](self, node, index, guard)

    def _loaded(self, base: Node, flat: Linear, guard: Guard) -> Step:
        return self.load(base, flat, guard)
        yield  # a generator, as all rules are

    def broadcast(self, index: Index, node: Node) -> Index:
        """The index into an operand that is broadcast to a result at `index`."""
        shape = node.shape
        lead = len(index) - len(shape)
        if 1 not in shape:
            return index[lead:] if lead else index
        zero = self.indices.zero
        return tuple(
            [
                zero if extent == 1 else position
                for extent, position in zip(shape, index[lead:], strict=True)
            ]
        )

    def _elementwise(self, node: Node, index: Index, guard: Guard) -> Step:
        args: list[Value] = []
        for source in node.inputs:
            value = yield (source, self.broadcast(index, source), guard)
            args.append(value)
        name = node.op.name
        if name in _DIVISIONS and not node.dtype.is_floating_point:
            args[1] = self._divisor(node, args[1], guard)
        return self.emit(name, tuple(args), node.dtype)

    def _divisor(self, node: Node, divisor: Value, guard: Guard) -> Value:
        """An integer divisor that is never 0; a Check reports where it was."""
        if divisor.op == "const" and divisor.payload != 0:
            return divisor
        zero = self.emit("EQ", (divisor, self.constant(0, divisor.dtype)), dtypes.bool_)
        fine = self.emit("XOR", (zero, self.constant(True, dtypes.bool_)), dtypes.bool_)
        text = f"ZeroDivisionError: integer {_DIVISIONS[node.op.name]} by zero"
        self.check(fine, guard, self.constant(0), "RuntimeError", text, node)
        one = self.constant(1, divisor.dtype)
        return self.emit("WHERE", (zero, one, divisor), divisor.dtype)

    # finishing ------------------------------------------------------------------------------

    def finish(self, name: str, domain: Sequence[Axis]) -> Lowered:
        """The kernel: axes merged, indices worked out."""
        axes = tuple([each for each in domain if each.extent != 1])
        merging = Merging(self.indices, list(self._indexed))
        axes = merging.merge(axes)
        self._ranks = {each: number - len(axes) for number, each in enumerate(axes)}
        body = tuple([merge_statement(each, merging) for each in self.body])
        self._work_out(merging)
        body = tuple([self._settle(each) for each in body])
        body = tuple(sorted(body, key=_only_checks))
        parameters = tuple(
            [
                ir.Parameter(dtypes.int64, self._scratch[number], True)
                if each is None
                else ir.Parameter(each.dtype, each.type.size, number in self._written)
                for number, each in enumerate(self.buffers)
            ]
        )
        scalars = tuple([self.scalar_dtypes[number] for number in self._scalars])
        kernel = Kernel(name, axes, body, parameters, scalars)
        return Lowered(kernel, self.buffers, tuple(self._scalars), self.errors)

    def _work_out(self, merging: Merging) -> None:
        """Put real index values into the place of the symbolic ones."""
        users = list(self._values.values())
        real = {
            value: self._index_value(merging.replaced(index))
            for index, value in self._indexed.items()
        }
        self._real = real
        for each in users:
            if any(arg.op == "index" for arg in each.args):
                each.args = tuple([real.get(arg, arg) for arg in each.args])

    def _index_value(self, index: Linear) -> Value:
        total: Value | None = None
        terms = index.terms
        if len(terms) > 1:  # the domain's axes first, in order
            terms = tuple(sorted(terms, key=self._rank))
        for atom, factor in terms:
            term = self._atom_value(atom)
            if factor != 1:
                term = self.emit("MUL", (term, self.constant(factor)), dtypes.int64)
            total = term if total is None else self.emit("ADD", (total, term), dtypes.int64)
        if total is None:
            return self.constant(index.constant)
        if index.constant:
            total = self.emit("ADD", (total, self.constant(index.constant)), dtypes.int64)
        return total

    def _rank(self, term: tuple[Atom, int]) -> int:
        atom = term[0]
        rank = self._ranks.get(atom.payload) if atom.kind == "axis" else None
        return atom.serial if rank is None else rank

    def _atom_value(self, atom: Atom) -> Value:
        if atom.kind == "axis":
            return self.emit("axis", (), dtypes.int64, atom.payload)
        if atom.kind == "scalar":
            return self.scalar(atom.payload)
        if atom.kind == "value":
            value: Value = atom.payload
            return value
        name = "IDIV" if atom.kind == "divide" else "MOD"
        args = (self._index_value(atom.payload), self.constant(atom.divisor))
        return self.emit(name, args, dtypes.int64)

    def _settle(self, statement: Statement) -> Statement:
        """A statement with real index values."""

        def real(value: Any) -> Any:
            return self._real.get(value, value)

        match statement:
            case Fold():
                statement.value = real(statement.value)
                statement.body = tuple([self._settle(each) for each in statement.body])
            case Loop():
                statement.body = tuple([self._settle(each) for each in statement.body])
            case Store():
                statement.index = real(statement.index)
                statement.value = real(statement.value)
                statement.valid = real(statement.valid)
            case Check():
                statement.condition = real(statement.condition)
                statement.detail = real(statement.detail)
            case Attend():
                for each in (*statement.folds, *statement.body):
                    self._settle(each)
            case Sort():
                statement.source = real(statement.source)
                statement.base = real(statement.base)
                statement.stride = real(statement.stride)
                statement.scratch_base = real(statement.scratch_base)
            case _:
                raise TypeError(f"unknown statement {statement!r}")
        return statement


_DIVISIONS = {"IDIV": "division", "MOD": "modulo"}


def _only_checks(statement: Statement) -> bool:
    """Whether a statement only records errors: such come last, for a product to come first."""
    if isinstance(statement, Loop):
        return all(isinstance(each, Check) for each in statement.body)
    return isinstance(statement, Check)


def _axes_under(values: Sequence[Value]) -> set[Axis]:
    """The axes that values depend on while their indices are still symbolic."""
    found: set[Axis] = set()
    done: set[Value] = set()
    stack = list(values)
    while stack:
        value = stack.pop()
        if value in done:
            continue
        done.add(value)
        stack.extend(value.args)
        linears = [value.payload] if value.op == "index" else []
        while linears:
            for atom, _ in linears.pop().terms:
                if atom.kind == "axis":
                    found.add(atom.payload)
                elif atom.kind == "value":
                    stack.append(atom.payload)
                elif atom.kind in ("divide", "modulo"):
                    linears.append(atom.payload)
    return found
