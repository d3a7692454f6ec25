"""Nested containers as a list of leaves and the structure they came from. PyTorch's _pytree."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Context = Any
PyTree = Any


class NodeDef(NamedTuple):
    """How one type of container comes apart and together."""

    type: type[Any]
    flatten_fn: Callable[[Any], tuple[list[Any], Context]]
    unflatten_fn: Callable[[Iterable[Any], Context], Any]


SUPPORTED_NODES: dict[type[Any], NodeDef] = {}


def register_pytree_node(
    cls: type[Any],
    flatten_fn: Callable[[Any], tuple[list[Any], Context]],
    unflatten_fn: Callable[[Iterable[Any], Context], Any],
    **names: Any,
) -> None:
    """Take instances of `cls` as containers from here on. ValueError where it is one already."""
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn)


_register_pytree_node = register_pytree_node


def _flatten_dict(value: Any) -> tuple[list[Any], Context]:
    return list(value.values()), list(value)


class MappingKey(NamedTuple):
    """The place of a leaf in a dictionary."""

    key: Any


class SequenceKey(NamedTuple):
    """The place of a leaf in a list or tuple."""

    idx: int


def _dict_flatten_with_keys(value: Any) -> tuple[list[tuple[MappingKey, Any]], Context]:
    return [(MappingKey(key), each) for key, each in value.items()], list(value)


def _flatten_defaultdict(value: Any) -> tuple[list[Any], Context]:
    return list(value.values()), [value.default_factory, list(value)]


def _defaultdict(values: Iterable[Any], context: Context) -> Any:
    return defaultdict(context[0], zip(context[1], values, strict=True))


for _kind, _flatten, _unflatten in (
    (tuple, lambda value: (list(value), None), lambda values, _: tuple(values)),
    (list, lambda value: (value, None), lambda values, _: list(values)),
    (dict, _flatten_dict, lambda values, keys: dict(zip(keys, values, strict=True))),
    (
        OrderedDict,
        _flatten_dict,
        lambda values, keys: OrderedDict(zip(keys, values, strict=True)),
    ),
    (defaultdict, _flatten_defaultdict, _defaultdict),
    (deque, lambda value: (list(value), value.maxlen), deque),
):
    register_pytree_node(_kind, _flatten, _unflatten)

_NAMED_TUPLE = NodeDef(tuple, lambda value: (list(value), type(value)), lambda v, kind: kind(*v))
SUPPORTED_NODES[namedtuple] = _NAMED_TUPLE  # type: ignore[index]  # PyTorch's key of them


def _definition(tree: Any) -> NodeDef | None:
    """How the value comes apart; None for a leaf."""
    found = SUPPORTED_NODES.get(type(tree))
    if found is None and isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return _NAMED_TUPLE
    return found


def _get_node_type(tree: PyTree) -> Any:
    """The key of SUPPORTED_NODES under which a value would be: its type, or namedtuple."""
    return namedtuple if _definition(tree) is _NAMED_TUPLE else type(tree)


@dataclass(eq=True)
class TreeSpec:
    """The structure of a tree: its type, what its type needs beside, and its children."""

    type: Any
    context: Context
    children_specs: list[TreeSpec]
    num_nodes: int = field(init=False, repr=False)
    num_leaves: int = field(init=False, repr=False)
    num_children: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.num_nodes = 1 + sum(each.num_nodes for each in self.children_specs)
        self.num_leaves = sum(each.num_leaves for each in self.children_specs)
        self.num_children = len(self.children_specs)

    def is_leaf(self) -> bool:
        """Whether it stands for a single value."""
        return self.num_nodes == 1 and self.num_leaves == 1

    def child(self, index: int) -> TreeSpec:
        """The structure of one child."""
        return self.children_specs[index]

    def children(self) -> list[TreeSpec]:
        """The structures of the children."""
        return list(self.children_specs)

    def unflatten(self, leaves: Iterable[Any]) -> PyTree:
        """The tree of these leaves."""
        return tree_unflatten(leaves, self)

    def flatten_up_to(self, tree: PyTree) -> list[PyTree]:
        """The parts of `tree` where this structure has leaves. ValueError where it differs."""
        if self.is_leaf():
            return [tree]
        definition = _definition(tree)
        children, context = definition.flatten_fn(tree) if definition else ([], None)
        kind = type(tree)
        if kind is not self.type or context != self.context or len(children) != self.num_children:
            raise ValueError(f"Node type mismatch; expected {self.type}, but got {kind}.")
        pairs = zip(self.children_specs, children, strict=True)
        return [leaf for spec, child in pairs for leaf in spec.flatten_up_to(child)]

    def __hash__(self) -> int:
        return hash((self.type, str(self.context), tuple(self.children_specs)))


class LeafSpec(TreeSpec):
    """The structure of a single value."""

    def __init__(self) -> None:
        super().__init__(None, None, [])

    def __post_init__(self) -> None:
        self.num_nodes, self.num_leaves, self.num_children = 1, 1, 0

    def __repr__(self) -> str:
        return "*"

    __hash__ = TreeSpec.__hash__


IsLeaf = Callable[[Any], bool] | None


def tree_flatten(tree: PyTree, is_leaf: IsLeaf = None) -> tuple[list[Any], TreeSpec]:
    """The leaves, in order, and the structure."""
    leaves: list[Any] = []
    return leaves, _collect(tree, leaves, is_leaf)


def _collect(tree: PyTree, leaves: list[Any], is_leaf: IsLeaf) -> TreeSpec:
    definition = None if is_leaf is not None and is_leaf(tree) else _definition(tree)
    if definition is None:
        leaves.append(tree)
        return LeafSpec()
    children, context = definition.flatten_fn(tree)
    return TreeSpec(type(tree), context, [_collect(each, leaves, is_leaf) for each in children])


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> PyTree:
    """The tree of this structure with these leaves. ValueError where their number differs."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError(
            f"tree_unflatten(leaves, treespec): expected `treespec` to be a TreeSpec, got "
            f"{type(treespec)}"
        )
    given = list(leaves)
    if len(given) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten(leaves, treespec): `leaves` has length {len(given)} but the spec "
            f"refers to a pytree that holds {treespec.num_leaves} items ({treespec})."
        )
    return _assemble(iter(given), treespec)


def _assemble(leaves: Any, spec: TreeSpec) -> PyTree:
    if spec.is_leaf():
        return next(leaves)
    children = [_assemble(leaves, each) for each in spec.children_specs]
    definition = SUPPORTED_NODES.get(spec.type, _NAMED_TUPLE)
    return definition.unflatten_fn(children, spec.context)


def tree_iter(tree: PyTree, is_leaf: IsLeaf = None) -> Iterable[Any]:
    """The leaves one by one."""
    return iter(tree_flatten(tree, is_leaf)[0])


def tree_leaves(tree: PyTree, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: PyTree, is_leaf: IsLeaf = None) -> TreeSpec:
    """The structure."""
    return tree_flatten(tree, is_leaf)[1]


def tree_is_leaf(tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether the value is no container."""
    return (is_leaf is not None and is_leaf(tree)) or _definition(tree) is None


def tree_map(
    func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: IsLeaf = None
) -> PyTree:
    """The tree whose leaves are func(leaf, *leaves of the others at the same place)."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [spec.flatten_up_to(each) for each in rests]
    return spec.unflatten([func(*each) for each in zip(leaves, *others, strict=True)])


def tree_map_(
    func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: IsLeaf = None
) -> PyTree:
    """Call func on every leaf for its effects; returns the tree."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


Kinds = type[Any] | tuple[type[Any], ...] | Callable[[Any], bool]


def _selects(kinds: Kinds) -> Callable[[Any], bool]:
    if isinstance(kinds, (type, tuple)):
        return lambda leaf: isinstance(leaf, kinds)
    return kinds


def map_only(kinds: Kinds) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """A decorator: the function acts on values of these types, others stay."""
    selects = _selects(kinds)
    return lambda func: lambda leaf: func(leaf) if selects(leaf) else leaf


def tree_map_only(
    kinds: Kinds, func: Callable[[Any], Any], tree: PyTree, is_leaf: IsLeaf = None
) -> PyTree:
    """tree_map of the leaves of these types; the others stay."""
    return tree_map(map_only(kinds)(func), tree, is_leaf=is_leaf)


def tree_map_only_(
    kinds: Kinds, func: Callable[[Any], Any], tree: PyTree, is_leaf: IsLeaf = None
) -> PyTree:
    """Call func on every leaf of these types; returns the tree."""
    return tree_map_(map_only(kinds)(func), tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether it holds of all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether it holds of a leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_all_only(
    kinds: Kinds, pred: Callable[[Any], bool], tree: PyTree, is_leaf: IsLeaf = None
) -> bool:
    """Whether it holds of all leaves of these types."""
    return all(pred(each) for each in filter(_selects(kinds), tree_leaves(tree, is_leaf)))


def tree_any_only(
    kinds: Kinds, pred: Callable[[Any], bool], tree: PyTree, is_leaf: IsLeaf = None
) -> bool:
    """Whether it holds of a leaf of these types."""
    return any(pred(each) for each in filter(_selects(kinds), tree_leaves(tree, is_leaf)))


def _broadcast_to_and_flatten(
    tree: PyTree, treespec: TreeSpec, is_leaf: IsLeaf = None
) -> list[Any] | None:
    """One leaf of `tree` for each leaf of the structure: a leaf stands for all below it."""
    if tree_is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    if treespec.is_leaf() or type(tree) is not treespec.type:
        return None
    definition = _definition(tree)
    assert definition is not None  # it is no leaf
    children, context = definition.flatten_fn(tree)
    if context != treespec.context or len(children) != treespec.num_children:
        return None
    found: list[Any] = []
    for child, spec in zip(children, treespec.children_specs, strict=True):
        part = _broadcast_to_and_flatten(child, spec, is_leaf)
        if part is None:
            return None
        found.extend(part)
    return found


def treespec_pprint(treespec: TreeSpec) -> str:
    """The structure as text, leaves as *."""
    return str(tree_unflatten(["*"] * treespec.num_leaves, treespec)).replace("'*'", "*")


def arg_tree_leaves(*args: PyTree, **kwargs: PyTree) -> list[Any]:
    """The leaves of a call's arguments."""
    parts: Sequence[Any] = (*args, *kwargs.values())
    return [leaf for each in parts for leaf in tree_leaves(each)]
