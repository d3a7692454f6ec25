"""What is computed: Nodes, their interned types and signatures.

A Node is immutable in what it means (signature, inputs, scalars). What a flush adds (its buffer)
and what autograd needs (requires_grad, leaf, hooks) are the only fields that change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any, NamedTuple, Protocol

from flambeau.graph.dtype import DType, check_usable

Shape = tuple[int, ...]
Location = tuple[str, int]
"""A file and a line."""
Site = tuple[str | CodeType, int]
"""A Location, or a function's code and the place of an instruction in it, which is what asking a
frame costs least: most lines are never looked at."""


class TensorType:
    """Shape and dtype of one array. Interned by `tensor_type`: compare with `is`."""

    __slots__ = ("dtype", "is_complex", "nbytes", "shape", "size", "uid")

    def __init__(self, shape: Shape, dtype: DType, uid: int) -> None:
        self.uid = uid  # negative, so that a plan key tells a type from a signature
        self.shape = tuple(shape)  # not a subclass of it
        self.dtype = dtype
        self.size = 1
        for extent in shape:
            self.size *= extent
        self.nbytes = self.size * dtype.itemsize
        self.is_complex = dtype.is_complex

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


class TupleType:
    """The types of an operation with several results. Interned by `tuple_type`."""

    __slots__ = ("items",)

    def __init__(self, items: tuple[TensorType, ...]) -> None:
        self.items = items

    def __repr__(self) -> str:
        return f"({', '.join(map(repr, self.items))})"


_TENSOR_TYPES: dict[tuple[Shape, DType], TensorType] = {}
_TUPLE_TYPES: dict[tuple[TensorType, ...], TupleType] = {}


def tensor_type(shape: Shape, dtype: DType) -> TensorType:
    """The one TensorType of this shape and dtype. TypeError for dtypes that are only named."""
    key = (shape, dtype)
    known = _TENSOR_TYPES
    found = known.get(key)
    if found is None:
        check_usable(dtype)
        found = known[key] = TensorType(shape, dtype, -1 - len(known))
    return found


def tuple_type(items: Iterable[TensorType]) -> TupleType:
    """The one TupleType of these types."""
    key = tuple(items)
    found = _TUPLE_TYPES.get(key)
    if found is None:
        found = _TUPLE_TYPES[key] = TupleType(key)
    return found


class Operation(Protocol):
    """What a Node can compute: a Primitive of graph/op.py or a Composite."""

    @property
    def name(self) -> str: ...

    @property
    def doc(self) -> str: ...

    def infer(self, attrs: tuple[Any, ...], types: tuple[Any, ...]) -> TensorType | TupleType:
        """The type of the result. Raises what PyTorch raises where the inputs do not fit."""
        ...


class Signature:
    """One operation on inputs of given types: interned, so that its result type is inferred once.

    `uid` is what plan keys are made of; it is valid within this process only.
    """

    __slots__ = ("attrs", "inputs", "op", "result", "template", "uid")

    def __init__(
        self,
        op: Operation,
        attrs: tuple[Any, ...],
        inputs: tuple[TensorType | TupleType, ...],
        result: TensorType | TupleType,
        uid: int,
    ) -> None:
        self.op = op
        self.attrs = attrs
        self.inputs = inputs
        self.result = result
        self.uid = uid
        self.template: Template | None = None  # composites only, see graph/composite.py

    def __repr__(self) -> str:
        inputs = ", ".join(map(repr, self.inputs))
        attrs = f" {self.attrs}" if self.attrs else ""
        return f"{self.op.name}{attrs}({inputs}) -> {self.result!r}"


class Template(NamedTuple):
    """A composite's expansion for one signature: placeholders in, results out."""

    placeholders: tuple[Node, ...]
    results: tuple[Node, ...]


_SIGNATURES: dict[tuple[Any, ...], Signature] = {}


def signature_of(op: Operation, attrs: tuple[Any, ...], types: tuple[Any, ...]) -> Signature:
    """The one Signature of this operation, these attributes and these input types."""
    key = (op, attrs, types)
    known = _SIGNATURES
    found = known.get(key)
    if found is None:
        result = op.infer(attrs, types)
        found = known[key] = Signature(op, attrs, types, result, len(known))
    return found


class ScalarRef(NamedTuple):
    """Stands for the plan's runtime scalar number `index` in a Node of an expanded graph."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


def located(site: Site | None) -> Location | None:
    """The file and line of a site."""
    if site is None:
        return None
    code, place = site
    if isinstance(code, str):
        return code, place
    for start, end, line in code.co_lines():
        if start <= place < end:
            return code.co_filename, line or code.co_firstlineno
    return code.co_filename, code.co_firstlineno


class Node:
    """One operation on other Nodes.

    `scalars` holds what may change from run to run without a new plan: the value of a CONST, the
    starts of a SLICE. In a Node that a user's call recorded they are runtime values; in a
    composite's template they are fixed; in an expanded graph a runtime value is a ScalarRef.
    """

    __slots__ = (
        "__weakref__",
        "buffer",
        "device",
        "history",
        "inputs",
        "requires_grad",
        "scalars",
        "signature",
        "site",
        "span",
        "type",
    )

    def __init__(
        self,
        signature: Signature,
        inputs: tuple[Node, ...],
        scalars: tuple[Any, ...] = (),
        device: Any = None,
        site: Site | None = None,
    ) -> None:
        self.signature = signature
        self.type: Any = signature.result
        self.inputs = inputs
        self.scalars = scalars
        self.device = device
        self.site = site  # where it was recorded; `location` has the line
        self.buffer: Any = None  # the device buffer, once computed
        self.span: tuple[int, int] | None = None  # least and greatest, where somebody looked
        self.requires_grad = False
        self.history: Any = None  # autograd's record for this Node, see graph/history.py

    @property
    def op(self) -> Operation:
        return self.signature.op

    @property
    def attrs(self) -> tuple[Any, ...]:
        return self.signature.attrs

    @property
    def location(self) -> Location | None:
        """The user's line that recorded it."""
        return located(self.site)

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    def __repr__(self) -> str:
        return f"Node({self.signature!r})"


def node(
    op: Operation,
    inputs: tuple[Node, ...],
    attrs: tuple[Any, ...] = (),
    scalars: tuple[Any, ...] = (),
    site: Site | None = None,
) -> Node:
    """Record `op` on `inputs`; every check of shapes and dtypes happens here.

    Raises what the operation's rule raises, and RuntimeError where devices are mixed. A Node
    without a device (CONST) goes with every device.
    """
    device = None
    for each in inputs:
        if each.device is not None and each.device is not device:
            if device is not None:
                raise RuntimeError(
                    "Expected all tensors to be on the same device, but found at least two "
                    f"devices, {device} and {each.device}! (in {op.name}; move one with .to())"
                )
            device = each.device
    signature = signature_of(op, attrs, tuple([each.type for each in inputs]))
    return Node(signature, inputs, scalars, device, site)


def walk(roots: Iterable[Node], enter: Callable[[Node], bool] | None = None) -> list[Node]:
    """All Nodes under `roots`, each after its inputs, without recursion.

    Where `enter(node)` is false the Node is listed but its inputs are not walked.
    """
    order: list[Node] = []
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in roots][::-1]
    while stack:
        current, ready = stack.pop()
        if ready:
            order.append(current)
            continue
        if current in done:
            continue
        done.add(current)
        stack.append((current, True))
        if enter is None or enter(current):
            stack += [(each, False) for each in reversed(current.inputs) if each not in done]
    return order
