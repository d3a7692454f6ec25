"""Index arithmetic: sums of multiples of loop variables, with bounds.

Movement operations are not executed: they turn the index at which a result is wanted into the
index at which their input is wanted. An index here is a `Linear`: constant + Σ factor · atom, where
an atom is a loop's axis, a quotient or remainder of another Linear, a runtime scalar or a value
that was read from memory. Bounds decide which quotients and conditions simplify away. Linears and
atoms are interned by their `Indices`: equal ones are one object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flambeau.graph.node import Shape
from flambeau.kernel.ir import Axis, Value


class Atom:
    """What an index is made of. kind: "axis", "divide", "modulo", "scalar" or "value".

    payload: the Axis, the Linear that is divided, the scalar's number, or the Value.
    """

    __slots__ = ("divisor", "high", "kind", "low", "payload", "serial")

    def __init__(
        self, kind: str, payload: Any, divisor: int, low: int, high: int, serial: int
    ) -> None:
        self.kind = kind
        self.payload = payload
        self.divisor = divisor
        self.low = low
        self.high = high
        self.serial = serial


class Linear:
    """constant + Σ factor · atom, known to lie in low … high wherever it is used."""

    __slots__ = ("constant", "high", "low", "terms")

    def __init__(
        self, terms: tuple[tuple[Atom, int], ...], constant: int, low: int, high: int
    ) -> None:
        self.terms = terms
        self.constant = constant
        self.low = low
        self.high = high

    @property
    def fixed(self) -> bool:
        return not self.terms


Index = tuple[Linear, ...]


class Indices:
    """Builds and interns index expressions."""

    def __init__(self) -> None:
        self._linears: dict[Any, Linear] = {}
        self._atoms: dict[Any, Atom] = {}
        self._constants: dict[int, Linear] = {}
        self.zero = self.constant(0)

    # leaves ---------------------------------------------------------------------------------

    def constant(self, number: int) -> Linear:
        found = self._constants.get(number)
        if found is None:
            found = self._constants[number] = Linear((), number, number, number)
        return found

    def _atom(self, kind: str, payload: Any, divisor: int, low: int, high: int) -> Atom:
        key = (kind, payload, divisor, low, high)
        found = self._atoms.get(key)
        if found is None:
            found = Atom(kind, payload, divisor, low, high, len(self._atoms))
            self._atoms[key] = found
        return found

    def axis(self, of: Axis) -> Linear:
        if of.extent <= 1:
            return self.zero
        return self._single(self._atom("axis", of, 0, 0, of.extent - 1))

    def scalar(self, number: int, low: int, high: int) -> Linear:
        """The plan's runtime scalar `number`, known to lie in low … high."""
        return self._single(self._atom("scalar", number, 0, low, high))

    def value(self, of: Value, low: int, high: int) -> Linear:
        """A value read from memory; it must be guarded to lie in low … high."""
        return self._single(self._atom("value", of, 0, low, high))

    def atom(self, of: Atom) -> Linear:
        """An atom of these indices as a Linear."""
        return self._single(of)

    def _single(self, atom: Atom) -> Linear:
        return self._make({atom: 1}, 0, atom.low, atom.high)

    def _make(self, terms: dict[Atom, int], constant: int, low: int, high: int) -> Linear:
        """The Linear of these terms; low and high are bounds known apart from the terms'."""
        if not terms:
            return self.constant(constant)
        if len(terms) > 1:
            terms = self._recombine(terms)
        least = most = constant
        for atom, factor in terms.items():
            if factor > 0:
                least += factor * atom.low
                most += factor * atom.high
            else:
                least += factor * atom.high
                most += factor * atom.low
        low, high = max(low, least), min(high, most)
        if low == high:
            return self.constant(low)
        ordered = tuple(sorted(terms.items(), key=_serial) if len(terms) > 1 else terms.items())
        key = (ordered, constant, low, high)
        found = self._linears.get(key)
        if found is None:
            found = self._linears[key] = Linear(ordered, constant, low, high)
        return found

    def _recombine(self, terms: dict[Atom, int]) -> dict[Atom, int]:
        """d · ⌊x / d⌋ + x mod d is x."""
        for atom, factor in terms.items():
            if atom.kind != "modulo" or atom.payload.constant:
                continue
            quotient = self.divide(atom.payload, atom.divisor)
            if quotient.constant or len(quotient.terms) != 1:
                continue
            other, times = quotient.terms[0]
            if terms.get(other) == factor * atom.divisor and times == 1:
                rest = {a: f for a, f in terms.items() if a is not atom and a is not other}
                for each, multiple in atom.payload.terms:
                    rest[each] = rest.get(each, 0) + multiple * factor
                return self._recombine({a: f for a, f in rest.items() if f})
        return terms

    # arithmetic -----------------------------------------------------------------------------

    def add(self, x: Linear, y: Linear) -> Linear:
        if not x.terms:
            x, y = y, x
        if not y.terms:
            if y.constant == 0:
                return x
            constant = x.constant + y.constant
            return self._make(dict(x.terms), constant, x.low + y.constant, x.high + y.constant)
        terms = dict(x.terms)
        for atom, factor in y.terms:
            total = terms.get(atom, 0) + factor
            if total:
                terms[atom] = total
            else:
                del terms[atom]
        return self._make(terms, x.constant + y.constant, x.low + y.low, x.high + y.high)

    def multiply(self, x: Linear, factor: int) -> Linear:
        if factor == 1:
            return x
        if factor == 0 or not x.terms:
            return self.constant(x.constant * factor)
        low, high = x.low * factor, x.high * factor
        if factor < 0:
            low, high = high, low
        terms = {atom: times * factor for atom, times in x.terms}
        return self._make(terms, x.constant * factor, low, high)

    def shift(self, x: Linear, by: int) -> Linear:
        return self.add(x, self.constant(by))

    def within(self, x: Linear, low: int, high: int) -> Linear:
        """x, which is known to lie in low … high (or is not used where it does not)."""
        if x.low >= low and x.high <= high:
            return x
        if max(x.low, low) > min(x.high, high):  # never used: any index in range will do
            return self.constant(low)
        return self._make(dict(x.terms), x.constant, max(x.low, low), min(x.high, high))

    def _split(self, x: Linear, divisor: int) -> tuple[Linear, Linear]:
        """x = divisor · multiple + rest."""
        multiple: dict[Atom, int] = {}
        rest: dict[Atom, int] = {}
        for atom, factor in x.terms:
            if factor % divisor == 0:
                multiple[atom] = factor // divisor
            else:
                rest[atom] = factor
        quotient, remainder = divmod(x.constant, divisor)
        if not rest:
            return self._make(multiple, quotient, *_ANY), self.constant(remainder)
        if not multiple and not quotient:
            return self.zero, x
        return self._make(multiple, quotient, *_ANY), self._make(rest, remainder, *_ANY)

    def divide(self, x: Linear, divisor: int) -> Linear:
        """⌊x / divisor⌋, divisor > 0."""
        if divisor == 1:
            return x
        if x.low >= 0 and x.high < divisor:
            return self.zero
        multiple, rest = self._split(x, divisor)
        if rest.low >= 0 and rest.high < divisor:
            return self.within(multiple, x.low // divisor, x.high // divisor)
        if rest.low < 0 <= x.low:
            multiple, rest = self.zero, x
        if len(rest.terms) == 1 and rest.constant == 0:
            atom, factor = rest.terms[0]
            if atom.kind == "divide" and factor == 1:
                inner = self.divide(atom.payload, atom.divisor * divisor)
                return self.add(multiple, inner)
        low, high = rest.low // divisor, rest.high // divisor
        return self.add(multiple, self._single(self._atom("divide", rest, divisor, low, high)))

    def modulo(self, x: Linear, divisor: int) -> Linear:
        """x mod divisor, divisor > 0."""
        if divisor == 1:
            return self.zero
        if x.low >= 0 and x.high < divisor:
            return x
        _, rest = self._split(x, divisor)
        if rest.low >= 0 and rest.high < divisor:
            return rest
        if rest.low < 0 <= x.low:
            rest = x
        return self._single(self._atom("modulo", rest, divisor, 0, divisor - 1))

    # shapes ---------------------------------------------------------------------------------

    def flatten(self, index: Sequence[Linear], shape: Sequence[int]) -> Linear:
        """The row-major position of `index` in an array of `shape`."""
        total, stride = self.zero, 1
        for position, extent in zip(reversed(index), reversed(shape), strict=True):
            if extent != 1:
                total = self.add(self.multiply(position, stride), total)
                stride *= extent
        return total

    def unflatten(self, flat: Linear, shape: Sequence[int]) -> Index:
        """The index of the row-major position `flat` in an array of `shape`."""
        result: list[Linear] = [self.zero] * len(shape)
        wide = [number for number, extent in enumerate(shape) if extent != 1]
        for number in reversed(wide[1:]):
            result[number] = self.modulo(flat, shape[number])
            flat = self.divide(flat, shape[number])
        if wide:
            result[wide[0]] = flat
        return tuple(result)

    def reshape(self, index: Index, shape: Shape, target: Shape) -> Index:
        """The index into an array of shape `target` of what lies at `index` in `shape`."""
        result: list[Linear] = []
        at = 0
        number = 0
        while number < len(target):
            if target[number] == 1:
                result.append(self.zero)
                number += 1
                continue
            while shape[at] == 1:
                at += 1
            first, start = at, number
            have, want = shape[at], target[number]
            at, number = at + 1, number + 1
            while have != want:
                if have < want:
                    have *= shape[at]
                    at += 1
                else:
                    want *= target[number]
                    number += 1
            if at - first == 1 and number - start == 1:
                result.append(index[first])
            else:
                flat = self.flatten(index[first:at], shape[first:at])
                result.extend(self.unflatten(flat, target[start:number]))
        return tuple(result)

    # substitution ---------------------------------------------------------------------------

    def substitute(self, x: Linear, replace: Callable[[Atom], Linear | None]) -> Linear:
        """x with leaves replaced; where `replace` gives None the leaf is taken over as it is."""
        total = self.constant(x.constant)
        for atom, factor in x.terms:
            total = self.add(total, self.multiply(self._replace_atom(atom, replace), factor))
        return self.within(total, x.low, x.high)

    def _replace_atom(self, atom: Atom, replace: Callable[[Atom], Linear | None]) -> Linear:
        found = replace(atom)
        if found is not None:
            return found
        if atom.kind == "divide":
            return self.divide(self.substitute(atom.payload, replace), atom.divisor)
        if atom.kind == "modulo":
            return self.modulo(self.substitute(atom.payload, replace), atom.divisor)
        return self._single(self._atom(atom.kind, atom.payload, atom.divisor, atom.low, atom.high))


_ANY = (-(1 << 200), 1 << 200)


def _serial(term: tuple[Atom, int]) -> int:
    return term[0].serial


def factor_of(x: Linear, of: Axis) -> int | None:
    """By how much x grows with an axis; None where it is not linear in it."""
    factor = 0
    for atom, times in x.terms:
        if atom.kind == "axis":
            if atom.payload is of:
                factor += times
        elif atom.kind in ("divide", "modulo") and depends(atom.payload, of):
            return None
    return factor


def depends(x: Linear, of: Axis) -> bool:
    """Whether the axis occurs in x (values read from memory aside)."""
    return any(each is of for each in axes_of(x))


def axes_of(x: Linear) -> Iterable[Axis]:
    """The axes that occur in x, values read from memory aside; may repeat."""
    for atom, _ in x.terms:
        if atom.kind == "axis":
            yield atom.payload
        elif atom.kind in ("divide", "modulo"):
            yield from axes_of(atom.payload)


def mergeable(x: Linear, outer: Axis, inner: Axis) -> bool:
    """Whether x sees two neighbouring axes only as outer · extent(inner) + inner."""
    first = second = 0
    for atom, factor in x.terms:
        if atom.kind == "axis":
            if atom.payload is outer:
                first = factor
            elif atom.payload is inner:
                second = factor
        elif atom.kind in ("divide", "modulo") and not mergeable(atom.payload, outer, inner):
            return False
    return first == second * inner.extent
