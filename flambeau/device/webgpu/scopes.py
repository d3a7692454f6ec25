"""Names of values in nested scopes: each is computed once, in the outermost loop that it allows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flambeau.device.webgpu.carrier import carrier
from flambeau.device.webgpu.values import Expressions
from flambeau.kernel.ir import Axis, Check, Fold, Kernel, Loop, Sort, Statement, Store, Value

Dependency = Axis | Fold


def nested(statements: Iterable[Statement]) -> Iterator[Statement]:
    """All statements, inner ones after the one that holds them."""
    for each in statements:
        yield each
        if isinstance(each, (Fold, Loop)):
            yield from nested(each.body)


def roots_of(statement: Statement) -> tuple[Value, ...]:
    """The values that a statement uses itself."""
    if isinstance(statement, Fold):
        return (statement.value,)
    if isinstance(statement, Store):
        valid = () if statement.valid is None else (statement.valid,)
        return (statement.index, *valid, statement.value)
    if isinstance(statement, Check):
        return (statement.condition, statement.detail)
    if isinstance(statement, Sort):
        return (statement.source, statement.base, statement.stride, statement.scratch_base)
    return ()


def postorder(roots: Iterable[Value], known: Any) -> list[Value]:
    """Values under `roots` that are not in `known`, each after its arguments."""
    order: list[Value] = []
    seen: set[Value] = set()
    stack = [(each, False) for each in roots][::-1]
    while stack:
        value, ready = stack.pop()
        if ready:
            order.append(value)
        elif value not in seen and value not in known:
            seen.add(value)
            stack.append((value, True))
            stack.extend((each, False) for each in reversed(value.args))
    return order


class Scopes:
    """The text of a kernel's body while it is written, and what has a name where.

    `bindings[p]` is the binding of parameter p (equal: one buffer).
    """

    def __init__(self, kernel: Kernel, bindings: Sequence[int]) -> None:
        self.kernel = kernel
        self.bindings = bindings
        self.expressions = Expressions()
        self.lines: list[str] = []
        self.indent = 1
        self.counter = 0
        self.names: dict[Value, str] = {}
        self.scopes: list[list[Value]] = [[]]
        self.axes: dict[Axis, str] = {}
        self.results: dict[Fold, str] = {}
        self.dependencies: dict[Value, frozenset[Dependency]] = {}
        self.volatile: set[Value] = set()

    # text -----------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        self.lines.append("  " * self.indent + text)

    def fresh(self, letter: str) -> str:
        """A name of its own: i_32 is no type, and k_3 none of the constants."""
        self.counter += 1
        return f"{letter}_{self.counter}"

    def open(self, text: str) -> None:
        self.line(text + " {")
        self.indent += 1
        self.scopes.append([])

    def close(self) -> None:
        for value in self.scopes.pop():
            self.names.pop(value, None)
        self.indent -= 1
        self.line("}")

    def forget_volatile(self) -> None:
        """Values that were read from a written buffer must be read again."""
        for scope in self.scopes:
            for value in scope:
                if value in self.volatile:
                    self.names.pop(value, None)

    # values ---------------------------------------------------------------------------------

    def analyse(self, roots: Iterable[Value]) -> None:
        """Find what values depend on, and which may change by a store of this kernel."""
        for value in postorder(roots, self.dependencies):
            found: frozenset[Dependency] = frozenset().union(
                *(self.dependencies[each] for each in value.args)
            )
            if value.op in ("axis", "result"):
                found = frozenset((value.payload,))
            self.dependencies[value] = found
            # an aliased buffer has two parameters: loads through the unwritten one mean old values
            writes = value.op == "load" and self.kernel.buffers[value.payload].written
            if writes or any(each in self.volatile for each in value.args):
                self.volatile.add(value)

    def available(self, value: Value) -> bool:
        return all(each in self.axes or each in self.results for each in self.dependencies[value])

    def hoist(self, statements: Sequence[Statement], more: Iterable[Value] = ()) -> None:
        """Compute here what inner statements need and what does not change in them."""
        roots = [*more]
        for statement in nested(statements):
            roots.extend(roots_of(statement))
        self.analyse(roots)
        for value in postorder(roots, self.names):
            if value not in self.volatile and self.available(value):
                self.emit(value)

    def need(self, roots: Sequence[Value]) -> list[str]:
        """Compute these values here, where they are not known; returns their names."""
        self.analyse(roots)
        for value in postorder(roots, self.names):
            self.emit(value)
        return [self.name(value) for value in roots]

    def name(self, value: Value) -> str:
        if value.op == "const":
            return self.expressions.constant(value.payload, value.dtype)
        if value.op == "axis":
            return self.axes[value.payload]
        return self.names[value]

    def emit(self, value: Value) -> None:
        """Give a value a name; its arguments have theirs."""
        if value.op in ("const", "axis"):
            return
        name = self.fresh("v")
        args = [self.name(each) for each in value.args]
        if value.op == "load":
            self._load(name, value, args)
        elif value.op == "scalar":
            self.line(f"let {name} = {self._scalar(value)};")
        elif value.op == "result":
            self.line(f"let {name} = {self.results[value.payload]};")
        else:
            self.line(f"let {name} = {self.expressions.render(value, args)};")
        self.names[value] = name
        self.scopes[-1].append(value)

    def _load(self, name: str, value: Value, args: list[str]) -> None:
        element = f"b{self.bindings[value.payload]}[{self.place(value.args[0], args[0])}]"
        loaded = self.expressions.loaded(element, value.dtype)
        if len(args) == 1 or args[1] == "true":
            self.line(f"let {name} = {loaded};")
            return
        register = carrier(value.dtype).register
        zero = self.expressions.constant(0, value.dtype)
        self.line(f"var {name}: {register} = {zero};")
        if args[1] != "false":
            self.line(f"if ({args[1]}) {{ {name} = {loaded}; }}")

    def place(self, index: Value, rendered: str) -> str:
        """An index; a constant one that lies before the buffer (never read) is made a 0."""
        if index.op == "const" and index.payload < 0:
            return "0i"
        return rendered

    def _scalar(self, value: Value) -> str:
        number = value.payload + 1
        word = f"params.words[{number // 4}].{'xyzw'[number % 4]}"
        register = carrier(value.dtype).register
        if register == "bool":
            return f"({word} != 0u)"
        return word if register == "u32" else f"bitcast<{register}>({word})"

    def place_axes(self, axes: Sequence[Axis], point: str) -> None:
        """Name axes, whose row-major position is the u32 `point`."""
        points = stride = math.prod(each.extent for each in axes)
        for each in axes:
            if each.extent == 1:
                self.axes[each] = "0i"
                continue
            stride //= each.extent
            name = self.fresh("a")
            quotient = point if stride == 1 else f"{point} / {stride}u"
            whole = stride * each.extent == points
            rendered = quotient if whole else f"({quotient}) % {each.extent}u"
            self.line(f"let {name} = i32({rendered});")
            self.axes[each] = name
