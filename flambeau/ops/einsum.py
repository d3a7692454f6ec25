"""einsum: products and sums named by letters, as permutations and batched matrix products."""

from __future__ import annotations

import math
import string
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.node import Node
from flambeau.ops.axes import tensors_of
from flambeau.ops.composite import composite
from flambeau.ops.publish import public
from flambeau.tensor.tensor import Tensor

Labels = tuple[Any, ...]
"""One label an axis: a letter, or a number for an axis that an ellipsis stands for."""


def _labels(text: str, rank: int, number: int) -> Labels:
    """The labels of an operand; the ellipsis' axes count down to 0 at its end."""
    letters = text.replace(" ", "")
    before, dots, after = letters.partition("...")
    names = before + after
    if any(each not in string.ascii_letters for each in names):
        raise RuntimeError(
            f"einsum(): invalid subscript given in operand {number}: '{text}', subscripts must be "
            "in [a-zA-Z]"
        )
    missing = rank - len(names)
    if missing < 0 or (missing and not dots):
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({len(names)}) does not match "
            f"the number of dimensions ({rank}) for operand {number} and no ellipsis was given"
        )
    return (*before, *range(missing, 0, -1), *after)


def _result_labels(text: str | None, operands: list[Labels]) -> Labels:
    every = [label for labels in operands for label in labels]
    dots = max([label for label in every if isinstance(label, int)], default=0)
    if text is None:
        letters = sorted({each for each in every if isinstance(each, str)})
        return (*range(dots, 0, -1), *(each for each in letters if every.count(each) == 1))
    before, found, after = text.replace(" ", "").partition("...")
    for place, letter in enumerate(before + after):
        if letter not in every:
            raise RuntimeError(
                f"einsum(): output subscript {letter} does not appear in the equation for any "
                "input operand"
            )
        if letter in (before + after)[:place]:
            raise RuntimeError(
                f"einsum(): output subscript {letter} appears more than once in the output"
            )
    return (*before, *(range(dots, 0, -1) if found else ()), *after)


def _sizes(operands: list[Labels], nodes: list[Node]) -> dict[Any, int]:
    sizes: dict[Any, int] = {}
    for number, (labels, node) in enumerate(zip(operands, nodes, strict=True)):
        for label, extent in zip(labels, node.shape, strict=True):
            known = sizes.get(label, 1)
            if extent not in (1, known) and known != 1:
                raise RuntimeError(
                    f"einsum(): subscript {label} has size {extent} for operand {number} which "
                    f"does not broadcast with previously seen size {known}"
                )
            sizes[label] = extent if known == 1 else known
    return sizes


def _diagonals(node: Node, labels: Labels) -> tuple[Node, Labels]:
    """A label that an operand repeats: its diagonal."""
    while len(set(labels)) < len(labels):
        label = next(each for each in labels if labels.count(each) > 1)
        first = labels.index(label)
        second = labels.index(label, first + 1)
        rest = [axis for axis in range(len(labels)) if axis not in (first, second)]
        node = b.permute(node, (*rest, first, second))
        extent = node.shape[-1]
        flat = b.reshape(node, (*node.shape[:-2], extent * extent))
        sizes = (*flat.shape[:-1], extent)
        steps = (1,) * len(rest) + (extent + 1,)
        node = b.slice_(flat, (0,) * len(sizes), sizes, steps)
        labels = (*[labels[axis] for axis in rest], label)
    return node, labels


def _summed(node: Node, labels: Labels, kept: set[Any]) -> tuple[Node, Labels]:
    """Without the labels that nothing else needs."""
    axes = tuple([axis for axis, label in enumerate(labels) if label not in kept])
    left = tuple([axis for axis in range(len(labels)) if axis not in axes])
    shape = tuple([node.shape[axis] for axis in left])
    return b.reshape(b.reduce("add", node, axes), shape), tuple([labels[axis] for axis in left])


def _arranged(node: Node, labels: Labels, groups: list[list[Any]]) -> Node:
    """Axes in the order of the groups, each group as one axis; missing labels have extent 1."""
    order = [label for group in groups for label in group]
    present = [label for label in order if label in labels]
    node = b.permute(node, tuple([labels.index(label) for label in present]))
    at = dict(zip(present, node.shape, strict=True))
    return b.reshape(
        node, tuple([math.prod([at.get(label, 1) for label in group]) for group in groups])
    )


def _pair(
    first: tuple[Node, Labels], second: tuple[Node, Labels], kept: set[Any], sizes: dict[Any, int]
) -> tuple[Node, Labels]:
    """The product of two operands, summed over what only they have: one batched matmul."""
    x, left = _summed(*first, kept | set(second[1]))
    y, right = _summed(*second, kept | set(left))
    shared = [label for label in left if label in right]
    # an axis of extent 1 against a larger one is broadcast, so it cannot be contracted as it is
    x = b.expand(x, tuple([sizes[label] if label in shared else n for label, n in _zip(left, x)]))
    y = b.expand(y, tuple([sizes[label] if label in shared else n for label, n in _zip(right, y)]))
    batch = [label for label in shared if label in kept]
    inner = [label for label in shared if label not in kept]
    rows = [label for label in left if label not in shared]
    columns = [label for label in right if label not in shared]
    x_shape, y_shape = dict(_zip(left, x)), dict(_zip(right, y))
    result = b.matmul(
        _arranged(x, left, [batch, rows, inner]), _arranged(y, right, [batch, inner, columns])
    )
    labels = (*batch, *rows, *columns)
    extents = x_shape | y_shape
    shape = tuple([extents[label] for label in labels])
    return b.reshape(result, shape), labels


def _zip(labels: Labels, node: Node) -> list[tuple[Any, int]]:
    return list(zip(labels, node.shape, strict=True))


@composite(saves="inputs")
def _einsum(equation: str, operands: list[Tensor]) -> Tensor:
    source, arrow, target = equation.partition("->")
    texts = source.split(",")
    if len(texts) != len(operands):
        more = "fewer" if len(texts) > len(operands) else "more"
        raise RuntimeError(
            f"einsum(): {more} operands were provided than specified in the equation"
        )
    nodes = [each._read() for each in operands]
    labels = [
        _labels(text, len(node.shape), number)
        for number, (text, node) in enumerate(zip(texts, nodes, strict=True))
    ]
    result = _result_labels(target if arrow else None, labels)
    sizes = _sizes(labels, nodes)
    parts = [_diagonals(*each) for each in zip(nodes, labels, strict=True)]
    current = parts[0]
    for place, part in enumerate(parts[1:], 1):
        later = {label for _, names in parts[place + 1 :] for label in names}
        current = _pair(current, part, set(result) | later, sizes)
    node, names = _summed(*current, set(result))
    node = b.permute(node, tuple([names.index(label) for label in result]))
    return Tensor._traced(node)


@public(method=False)
def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products by Einstein's convention: "bij,bjk->bik", with "…" for further dimensions.

    Operands are contracted from left to right. Raises RuntimeError where letters and shapes do
    not fit.
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    return _einsum(equation, tensors_of(operands, "einsum"))
