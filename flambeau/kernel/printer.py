"""Kernels and programs as text: canonical (equal text means an equal kernel) and readable.

    kernel softmax  i0:64
      b0: float32[640] read, b1: float32[640] write
      r0 = fold max k0:10  b0[i0*10 + k0]
      r1 = fold add k1:10  exp(b0[i0*10 + k1] + -r0)
      loop j0:10
        b1[i0*10 + j0] = exp(b0[i0*10 + j0] + -r0) / r1

Values that are used more than once get a name (v0, v1, …). Constants other than int64 and bool
show their dtype, as conversions do; all other dtypes follow from the buffers'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from flambeau.graph.dtype import DType
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
from flambeau.kernel.program import HostCall, Launch, Program

_INFIX = {
    "MUL": ("*", 7),
    "DIV": (" / ", 7),
    "IDIV": (" // ", 7),
    "MOD": (" % ", 7),
    "ADD": (" + ", 6),
    "SHL": (" << ", 5),
    "SHR": (" >> ", 5),
    "AND": (" & ", 4),
    "XOR": (" ^ ", 3),
    "OR": (" | ", 2),
    "LT": (" < ", 1),
    "EQ": (" == ", 1),
}
_ATOM = 9
_LEAVES = frozenset({"const", "axis", "scalar", "result"})


def kernel_text(kernel: Kernel) -> str:
    """The whole kernel as text."""
    return _Printer(kernel).text()


def statement_values(statement: Statement) -> tuple[Value, ...]:
    """The values that a statement refers to itself; those of its body aside."""
    match statement:
        case Fold():
            return (statement.value,)
        case Store():
            values = (statement.index, statement.value)
            return values if statement.valid is None else (*values, statement.valid)
        case Check():
            return (statement.condition, statement.detail)
        case Sort():
            return (
                statement.source,
                statement.base,
                statement.stride,
                statement.scratch_base,
            )
        case _:
            return ()


def walk_statements(body: Iterable[Statement]) -> Iterable[Statement]:
    """All statements, outer ones before inner ones."""
    stack = list(body)[::-1]
    while stack:
        statement = stack.pop()
        yield statement
        if isinstance(statement, Attend):
            stack.extend(reversed((*statement.folds, *statement.body)))
        elif isinstance(statement, (Fold, Loop)):
            stack.extend(reversed(statement.body))


def walk_values(roots: Iterable[Value]) -> list[Value]:
    """All values under `roots`, each after its arguments."""
    order: list[Value] = []
    done: set[Value] = set()
    stack = [(root, False) for root in roots][::-1]
    while stack:
        value, ready = stack.pop()
        if ready:
            order.append(value)
        elif value not in done:
            done.add(value)
            stack.append((value, True))
            stack.extend((each, False) for each in reversed(value.args) if each not in done)
    return order


class _Printer:
    """Prints one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.lines: list[str] = []
        self.axes: dict[Axis, str] = {}
        self.folds: dict[Fold, str] = {}
        self.texts: dict[Value, tuple[str, int]] = {}
        self.uses: Counter[Value] = Counter()
        self.named = 0
        for statement in walk_statements(kernel.body):
            values = statement_values(statement)
            self.uses.update(values)
        roots = [v for s in walk_statements(kernel.body) for v in statement_values(s)]
        for value in walk_values(roots):
            self.uses.update(value.args)

    def text(self) -> str:
        kernel = self.kernel
        domain = "".join(" " + self._axis(each, "i") for each in kernel.domain)
        self.lines.append(f"kernel {kernel.name} {domain or ' once'}")
        buffers = [
            f"b{number}: {each.dtype.name}[{each.size}] {'write' if each.written else 'read'}"
            for number, each in enumerate(kernel.buffers)
        ]
        self.lines.append("  " + ", ".join(buffers))
        if kernel.scalars:
            scalars = [f"s{n}: {dtype.name}" for n, dtype in enumerate(kernel.scalars)]
            self.lines.append("  " + ", ".join(scalars))
        self._body(kernel.body, "  ")
        return "\n".join(self.lines)

    def _axis(self, axis: Axis, letter: str) -> str:
        if axis in self.axes:  # an Attend's, which several of its statements share
            return f"{self.axes[axis]}:{axis.extent}"
        count = sum(name.startswith(letter) for name in self.axes.values())
        self.axes[axis] = f"{letter}{count}"
        return f"{letter}{count}:{axis.extent}"

    def _body(self, body: Iterable[Statement], indent: str) -> None:
        for statement in body:
            match statement:
                case Fold():
                    self._fold(statement, indent)
                case Loop():
                    axes = " ".join(self._axis(each, "j") for each in statement.axes)
                    self.lines.append(f"{indent}loop {axes}")
                    self._body(statement.body, indent + "  ")
                case Store():
                    self._store(statement, indent)
                case Check():
                    condition = self._value(statement.condition, indent)
                    detail = self._value(statement.detail, indent)
                    self.lines.append(
                        f"{indent}check {condition} else error {statement.code} of {detail}"
                    )
                case Sort():
                    self._sort(statement, indent)
                case Attend():
                    self._attend(statement, indent)
                case _:
                    raise TypeError(f"unknown statement {statement!r}")

    def _fold(self, fold: Fold, indent: str) -> None:
        axes = " ".join(self._axis(each, "k") for each in fold.axes)
        name = self.folds[fold] = f"r{len(self.folds)}"
        kind = "product" if fold.product else fold.kind
        head = f"{indent}{name} = fold {kind} {axes}"
        if fold.dtype is not fold.value.dtype:
            head += f" as {fold.dtype.name}"
        at = len(self.lines)
        value = self._value(fold.value, indent + "  ")
        if len(self.lines) == at:
            self.lines.append(f"{head}  {value}")
        else:
            self.lines.insert(at, head)
            self.lines.append(f"{indent}  {value}")
        self._body(fold.body, indent + "  then ")

    def _store(self, store: Store, indent: str) -> None:
        index = self._value(store.index, indent)
        value = self._value(store.value, indent)
        sign = {None: "=", "add": "+=", "mul": "*=", "max": "max="}[store.combine]
        line = f"b{store.buffer}[{index}] {sign} {value}"
        if store.valid is not None:
            line += f"  if {self._value(store.valid, indent)}"
        self.lines.append(indent + line)

    def _sort(self, sort: Sort, indent: str) -> None:
        axis = self._axis(sort.axis, "k")
        source = self._value(sort.source, indent)
        base, stride = self._value(sort.base, indent), self._value(sort.stride, indent)
        scratch = f"b{sort.scratch}[{self._value(sort.scratch_base, indent)}]"
        order = "descending" if sort.descending else "ascending"
        outputs = [
            f"{what} b{buffer}[{base} + rank*{stride}]"
            for what, buffer in (("values", sort.values), ("indices", sort.indices))
            if buffer is not None
        ]
        some = (sort.first, sort.count) != (0, sort.axis.extent)
        places = f" places {sort.first}:{sort.first + sort.count}" if some else ""
        self.lines.append(
            f"{indent}sort {order} {axis}{places}  {source} -> {', '.join(outputs)} with {scratch}"
        )

    def _attend(self, attend: Attend, indent: str) -> None:
        order = f" {attend.order}" if attend.order else ""
        lanes, steps = self._axis(attend.lanes, "i"), self._axis(attend.steps, "k")
        self.lines.append(f"{indent}attend {lanes} over {steps}{order}")
        for statement in attend.body:  # their axes are the sums', too
            if isinstance(statement, Loop):
                for each in statement.axes:
                    self._axis(each, "j")
        for fold in attend.folds:
            self._fold(fold, indent + "  ")
        self._body(attend.body, indent + "  ")

    def _value(self, root: Value, indent: str) -> str:
        for value in walk_values([root]):
            if value in self.texts:
                continue
            text, precedence = self._one(value)
            short = value.op in ("ADD", "MUL", "NEG", "CAST") and len(text) <= 24
            if self.uses[value] > 1 and value.op not in _LEAVES and not short:
                name = f"v{self.named}"
                self.named += 1
                self.lines.append(f"{indent}{name} = {text}")
                text, precedence = name, _ATOM
            self.texts[value] = (text, precedence)
        return self.texts[root][0]

    def _one(self, value: Value) -> tuple[str, int]:
        name = value.op
        if name == "const":
            return constant_text(value.payload, value.dtype), _ATOM
        if name == "axis":
            return self.axes[value.payload], _ATOM
        if name == "scalar":
            return f"s{value.payload}", _ATOM
        if name == "result":
            return self.folds[value.payload], _ATOM
        texts = [self.texts[each] for each in value.args]
        plain = [text for text, _ in texts]
        if name == "load":
            valid = f" if {plain[1]}" if len(plain) > 1 else ""
            return f"b{value.payload}[{plain[0]}{valid}]", _ATOM
        if name in _INFIX:
            sign, precedence = _INFIX[name]
            left = plain[0] if texts[0][1] >= precedence else f"({plain[0]})"
            right = plain[1] if texts[1][1] > precedence else f"({plain[1]})"
            return left + sign + right, precedence
        if name == "NEG":
            leaf = texts[0][1] == _ATOM and value.args[0].op != "const"
            return (f"-{plain[0]}" if leaf else f"-({plain[0]})"), 8
        if name in ("CAST", "BITCAST"):
            function = value.dtype.name if name == "CAST" else f"bits_{value.dtype.name}"
        else:
            function = name.lower()
        return f"{function}({', '.join(plain)})", _ATOM


def constant_text(number: object, dtype: DType) -> str:
    """A constant, with its dtype where that is neither int64 nor bool."""
    if dtype.kind == "bool":
        return "true" if number else "false"
    return str(number) if dtype.name == "int64" else f"{number!r}:{dtype.name}"


def program_text(program: Program) -> str:
    """Slots, then the launches in order; a kernel that was printed before is named only."""
    lines: list[str] = []
    for number, slot in enumerate(program.slots):
        note = f" alias {slot.alias}" if slot.alias is not None else ""
        note += f" at {slot.offset}" if slot.role == "temporary" else ""
        lines.append(f"slot {number}: {slot.type!r} {slot.role}{note}")
    lines.append(f"inputs {_numbers(program.inputs)}")
    lines.append(f"outputs {_numbers(program.outputs)}")
    if program.scalars:
        lines.append("scalars " + " ".join(dtype.name for dtype in program.scalars))
    lines.append(f"arena {program.arena}")
    seen: dict[str, int] = {}
    for number, launch in enumerate(program.launches):
        lines.append("")
        if isinstance(launch, HostCall):
            lines.append(
                f"{number}: call {launch.function}{launch.attrs} slots "
                f"{_numbers(launch.inputs)} -> {_numbers(launch.outputs)}"
            )
            continue
        scalars = f" scalars {_numbers(launch.scalars)}" if launch.scalars else ""
        beside = " independent" if launch.independent else ""
        lines.append(f"{number}: launch slots {_numbers(launch.slots)}{scalars}{beside}")
        lines.extend(_launch_lines(launch, number, seen))
    return "\n".join(lines) + "\n"


def _launch_lines(launch: Launch, number: int, seen: dict[str, int]) -> list[str]:
    text = launch.kernel.text
    before = seen.setdefault(text, number)
    if before != number:
        lines = [f"kernel {launch.kernel.name} as in {before}"]
    else:
        lines = text.split("\n")
    for code, (kind, message, _) in launch.errors.items():
        lines.append(f"  error {code}: {kind}: {message}")
    return lines


def _numbers(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers)) or "none"
