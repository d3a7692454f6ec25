"""torch.nested: tensors of different lengths as one batch.

A nested tensor is one flat tensor and the shapes of its parts. Making, taking apart, padding,
arithmetic and what layers do row by row are here; for everything else unbind() it, or pad it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from flambeau.nested.tensor import NestedTensor
from flambeau.ops.creation import empty
from flambeau.ops.data import as_tensor
from flambeau.ops.data import tensor as new_tensor
from flambeau.ops.legacy import jagged, strided
from flambeau.ops.shape import cat
from flambeau.tensor.tensor import Tensor

__all__ = ["as_nested_tensor", "nested_tensor", "nested_tensor_from_jagged", "to_padded_tensor"]


def _nested(parts: list[Any], kind: Any) -> NestedTensor:
    """From tensors, whose history is kept. RuntimeError where they do not go together."""
    shapes = [tuple(int(extent) for extent in each.shape) for each in parts]
    for number, shape in enumerate(shapes):
        if len(shape) != len(shapes[0]):
            raise RuntimeError(
                "All Tensors given to nested_tensor must have the same dimension. Found dimension "
                f"{len(shape)} for Tensor at index {number} and dimension {len(shapes[0])} for "
                "Tensor at index 0."
            )
        if kind is jagged and (not shape or shape[1:] != shapes[0][1:]):
            raise RuntimeError(
                "torch.jagged: the tensors may differ in their first extent only, got "
                f"{shapes[0]} and {shape}"
            )
    if not parts:
        return NestedTensor.make(empty(0), [], kind)
    return NestedTensor.make(cat([each.reshape(-1) for each in parts]), shapes, kind)


def _layout_of(layout: Any) -> Any:
    if layout not in (None, strided, jagged):
        raise RuntimeError(f"nested tensors are torch.strided or torch.jagged, got {layout}")
    return strided if layout is None else layout


def nested_tensor(
    tensor_list: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> NestedTensor:
    """A new leaf of the values of a list of tensors (or of lists of numbers).

    `layout` torch.strided (the default) takes tensors of any shapes of one number of dimensions,
    torch.jagged those that differ in their first extent only. TypeError for what is no list,
    RuntimeError where the tensors do not go together.
    """
    if not isinstance(tensor_list, (list, tuple)):
        raise TypeError(
            "Only lists (List[Tensor] and List[List...[Scalar]]) are accepted in nested_tensor, "
            f"got {type(tensor_list).__name__}"
        )
    parts = [
        (each.detach() if isinstance(each, Tensor) else new_tensor(each)).to(
            device=device, dtype=dtype
        )
        for each in tensor_list
    ]
    made = _nested(parts, _layout_of(layout))
    leaf = made.like(made._content.detach().clone())
    return leaf.requires_grad_(requires_grad)


def as_nested_tensor(
    ts: Any, dtype: Any = None, device: Any = None, layout: Any = None
) -> NestedTensor:
    """As nested_tensor, of tensors whose gradients are wanted: they are reached through it.

    `ts` may also be one tensor, whose first dimension numbers the parts.
    """
    if isinstance(ts, NestedTensor):
        return ts.to(device=device, dtype=dtype)
    given = list(ts.unbind(0)) if isinstance(ts, Tensor) else ts
    if not isinstance(given, (list, tuple)):
        raise TypeError(
            "as_nested_tensor(): Expected first argument to be a tensor or a list / tuple of "
            f"tensors, got {type(ts).__name__}"
        )
    parts = [as_tensor(each).to(device=device, dtype=dtype) for each in given]
    return _nested(parts, _layout_of(layout))


def nested_tensor_from_jagged(
    values: Tensor,
    offsets: Tensor | None = None,
    lengths: Tensor | None = None,
    jagged_dim: int | None = None,
    min_seqlen: int | None = None,
    max_seqlen: int | None = None,
) -> NestedTensor:
    """The torch.jagged nested tensor whose values() are these rows.

    `offsets`: where each part begins, and where the last ends; or `lengths`: of the parts, one
    after the other. RuntimeError where neither is given.
    """
    if jagged_dim not in (None, 1):
        raise NotImplementedError(f"the parts' first dimension is the jagged one, got {jagged_dim}")
    if offsets is None and lengths is None:
        raise RuntimeError(
            "nested_tensor_from_jagged(): At least one of offsets or lengths is required."
        )
    if offsets is not None and lengths is not None:
        raise NotImplementedError("parts with gaps between them (offsets and lengths) are not here")
    if offsets is not None:
        starts = offsets.tolist()
        counts = [end - start for start, end in pairwise(starts)]
        first = starts[0]
    else:
        assert lengths is not None
        counts, first = lengths.tolist(), 0
    rest = tuple(int(extent) for extent in values.shape[1:])
    rows = values[first : first + sum(counts)]
    return NestedTensor.make(rows.reshape(-1), [(count, *rest) for count in counts], jagged)


def to_padded_tensor(
    input: Any,  # noqa: A002  # PyTorch's name
    padding: float,
    output_size: Sequence[int] | None = None,
) -> Any:
    """NestedTensor.to_padded_tensor."""
    if not isinstance(input, NestedTensor):
        raise TypeError(f"to_padded_tensor: expected a nested tensor, got {type(input).__name__}")
    return input.to_padded_tensor(padding, output_size)
