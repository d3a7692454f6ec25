"""Complex arrays as two real ones: what expand() makes of them, so that no kernel knows them.

Within a plan a complex Node is its Parts, which fuse like any others. In memory it is one array
with a last axis of two, which is how numpy and PyTorch keep complex numbers, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.node import Node, Signature, TensorType, signature_of, tensor_type

Intern = Callable[[Signature, tuple[Any, ...], tuple[Any, ...], Node], Any]


class Parts(NamedTuple):
    """The real and the imaginary part of a complex Node."""

    real: Node
    imag: Node


def is_complex(of: Any) -> bool:
    """Whether a type, or one of several results' types, is complex."""
    return any(each.dtype.is_complex for each in getattr(of, "items", (of,)))


def stored(of: TensorType) -> TensorType:
    """The type of a complex array in memory: real, with a last axis of two."""
    return tensor_type((*of.shape, 2), of.dtype.real) if of.dtype.is_complex else of


class Expansion:
    """One complex Node's way to real ones; what it makes is interned with all others."""

    def __init__(self, intern: Intern, origin: Node) -> None:
        self.intern = intern
        self.origin = origin

    def make(self, primitive: Any, *inputs: Node, attrs: Any = (), scalars: Any = ()) -> Any:
        signature = signature_of(primitive, attrs, tuple([each.type for each in inputs]))
        return self.intern(signature, inputs, scalars, self.origin)

    def constant(self, value: float, dtype: Any) -> Node:
        return self.make(op.CONST, attrs=(dtype, op.encode_constant(value, dtype)))

    def expanded(self, x: Node, shape: Any) -> Node:
        return x if x.shape == shape else self.make(op.EXPAND, x, attrs=(shape,))

    def sub(self, x: Node, y: Node) -> Node:
        return self.make(op.ADD, x, self.make(op.NEG, y))

    # memory --------------------------------------------------------------------------------------

    def split(self, pair: Node) -> Parts:
        """The parts of an array with a last axis of two."""
        shape = pair.shape[:-1]

        def part(place: int) -> Node:
            attrs = ((*shape, 1), (1,) * (len(shape) + 1))
            starts = (*(0,) * len(shape), place)
            cut = self.make(op.SLICE, pair, attrs=attrs, scalars=starts)
            return self.make(op.RESHAPE, cut, attrs=(shape,))

        return Parts(part(0), part(1))

    def join(self, parts: Parts) -> Node:
        """The array with a last axis of two."""
        shape = parts.real.shape
        real, imag = (
            self.expanded(self.make(op.RESHAPE, each, attrs=((*shape, 1),)), (*shape, 2))
            for each in parts
        )
        place = self.make(op.IOTA, attrs=(2, dtypes.int64))
        first = self.make(op.EQ, place, self.constant(0, dtypes.int64))
        return self.make(op.WHERE, self.expanded(first, (*shape, 2)), real, imag)

    # operations ----------------------------------------------------------------------------------

    def run(self, signature: Signature, inputs: tuple[Any, ...], scalars: tuple[Any, ...]) -> Any:
        primitive: Any = signature.op
        form = _FORMS.get(primitive.name)
        if form is not None:
            return form(self, signature, *inputs)
        return self.both(signature, inputs, scalars)

    def both(
        self, signature: Signature, inputs: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> Parts:
        """The same for each part: addition, movement, choosing."""
        attrs = signature.attrs
        if signature.op in (op.REDUCE, op.SCAN) and attrs[0] != "add":
            raise NotImplementedError(f"{signature!r} is not there for complex numbers")
        made = []
        for number in (0, 1):
            own = [each[number] if isinstance(each, Parts) else each for each in inputs]
            fill = (*attrs[:2], attrs[2][number]) if signature.op is op.PAD else attrs
            made.append(self.make(signature.op, *own, attrs=fill, scalars=scalars))
        return Parts(*made)

    def constant_form(self, signature: Signature) -> Parts:
        dtype, key = signature.attrs
        real, imag = (self.make(op.CONST, attrs=(dtype.real, each)) for each in key)
        return Parts(real, imag)

    def complex_form(self, signature: Signature, x: Node, y: Node) -> Parts:
        shape = signature.result.shape  # type: ignore[union-attr]  # one result
        return Parts(self.expanded(x, shape), self.expanded(y, shape))

    def cast_form(self, signature: Signature, x: Any) -> Any:
        (target,) = signature.attrs
        if not isinstance(x, Parts):
            made = self.cast(x, target.real)
            return Parts(made, self.expanded(self.constant(0.0, target.real), made.shape))
        if target.is_complex:
            return Parts(*[self.cast(each, target.real) for each in x])
        if target is dtypes.bool_:
            return self.make(op.OR, *[self.cast(each, target) for each in x])
        return self.cast(x.real, target)

    def cast(self, x: Node, dtype: Any) -> Node:
        return x if x.dtype is dtype else self.make(op.CAST, x, attrs=(dtype,))

    def product_form(self, signature: Signature, x: Parts, y: Parts) -> Parts:
        """(a + bi)(c + di), of numbers and of matrices."""
        primitive = signature.op
        real = self.sub(self.make(primitive, x.real, y.real), self.make(primitive, x.imag, y.imag))
        imag = self.make(
            op.ADD, self.make(primitive, x.real, y.imag), self.make(primitive, x.imag, y.real)
        )
        return Parts(real, imag)

    def quotient_form(self, signature: Signature, x: Parts, y: Parts) -> Parts:
        """(a + bi)(c - di) / (c² + d²), with c and d divided by the greater of the two before.

        Divided by 0, each part is.
        """
        sizes = [self.make(op.MAX, each, self.make(op.NEG, each)) for each in y]
        scale = self.make(op.MAX, *sizes)
        zero = self.make(op.EQ, scale, self.constant(0.0, scale.dtype))
        c, d = (
            self.make(
                op.WHERE,
                zero,
                self.constant(other, scale.dtype),
                self.make(op.DIV, each, scale),
            )
            for each, other in zip(y, (1.0, 0.0), strict=True)
        )
        squares = [self.make(op.MUL, each, each) for each in (c, d)]
        total = self.make(op.MUL, self.make(op.ADD, *squares), scale)

        def product(one: Node, two: Node) -> Node:
            return self.make(op.MUL, one, two)

        real = self.make(op.ADD, product(x.real, c), product(x.imag, d))
        imag = self.sub(product(x.imag, c), product(x.real, d))
        return Parts(self.make(op.DIV, real, total), self.make(op.DIV, imag, total))

    def equal_form(self, signature: Signature, x: Parts, y: Parts) -> Node:
        same = [self.make(op.EQ, *each) for each in zip(x, y, strict=True)]
        return self.make(op.AND, *same)

    def call_form(self, signature: Signature, *inputs: Any) -> Any:
        """A host function gets and gives arrays with a last axis of two."""
        given = [self.join(each) if isinstance(each, Parts) else each for each in inputs]
        *attrs, types = signature.attrs
        real = tuple([stored(each) for each in types])
        return self.make(op.CALL, *given, attrs=(*attrs, real))

    def pick_form(self, signature: Signature, whole: Node) -> Any:
        picked = self.make(op.PICK, whole, attrs=signature.attrs)
        return self.split(picked) if is_complex(signature.result) else picked


_FORMS: dict[str, Any] = {
    "CONST": Expansion.constant_form,
    "COMPLEX": Expansion.complex_form,
    "REAL": lambda self, signature, x: x.real,
    "IMAG": lambda self, signature, x: x.imag,
    "CAST": Expansion.cast_form,
    "MUL": Expansion.product_form,
    "MATMUL": Expansion.product_form,
    "DIV": Expansion.quotient_form,
    "EQ": Expansion.equal_form,
    "CALL": Expansion.call_form,
    "PICK": Expansion.pick_form,
}
