"""Masks: filling, selecting and scattering by truth values; where things are; one_hot."""

from __future__ import annotations

from typing import Any

import numpy

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import bool_, int64
from flambeau.graph.shapes import broadcast
from flambeau.ops.axes import spoken, title
from flambeau.ops.bounds import check_bounds
from flambeau.ops.composite import composite
from flambeau.ops.convert import check_fits
from flambeau.ops.places import checked, take_places
from flambeau.ops.promote import number_node
from flambeau.ops.publish import public
from flambeau.ops.truth import chosen, coordinates, flat_places
from flambeau.ops.view import expand, reshape
from flambeau.tensor.record import derive, record
from flambeau.tensor.tensor import Tensor


@public(inplace=True)
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """value (a number or a 0-d tensor) where mask holds, else input."""
    if mask._type.dtype is not bool_:
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {spoken(mask)}"
        )
    dtype = input._type.dtype
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value.ndim} dimension(s)."
            )
        node: Any = value
        if value._type.dtype is not dtype:
            node = derive(op.CAST, (value._read(),), (dtype,))
    else:
        check_fits(value, dtype)
        node = number_node(value, dtype)
    return record(op.WHERE, (mask, node, input))


@public()
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where mask holds, as a vector; the mask is read on the host."""
    if mask._type.dtype is not bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast(input._type.shape, mask._type.shape)
    whole, where = expand(input, shape), expand(mask, shape)
    found = chosen(whole, where)
    if found is not None:
        return found
    flat = reshape(whole, (whole._type.size,))
    return take_places(flat, [(0, reshape(where, flat._type.shape))])


@composite(saves="1")
def _masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    x, where, values = input._read(), mask._read(), source._read()
    flat = b.reshape(b.expand(where, x.shape), (x.type.size,))
    count = b.scan("add", b.cast(flat, int64), 0)
    place = b.where(flat, b.add(count, b.constant(-1, int64)), b.constant(0, int64))
    taken = b.gather(b.reshape(values, (values.type.size,)), place, 0)
    return Tensor._traced(b.where(b.expand(where, x.shape), b.reshape(taken, x.shape), x))


@public(inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """The elements of source, in order, where mask holds, else input."""
    if input._type.dtype is not source._type.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{title(input)} and {title(source)}"
        )
    input = expand(input, broadcast(input._type.shape, mask._type.shape))
    if not source._type.size:
        return record(op.MATERIALIZE, (input,))
    return _masked_scatter(input, mask, source)


# where things are -------------------------------------------------------------------------------


@public()
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Where the elements are not 0, a row each; with as_tuple a vector for each dimension.

    The values are read on the host.
    """
    shape = input._type.shape
    places = flat_places(input)
    rank = max(len(shape), 1) if as_tuple else len(shape)
    found = numpy.zeros((rank, len(places)) if as_tuple else (len(places), rank), numpy.int64)
    coordinates(places, shape, found if as_tuple else found.T)
    device = input.device.type
    if as_tuple:
        return tuple([Tensor._from_numpy(each, device, copy=False) for each in found])
    return Tensor._from_numpy(found, device, copy=False)


@public()
def argwhere(input: Tensor) -> Tensor:
    """nonzero."""
    return nonzero(input)


@composite(saves="")
def _one_hot(input: Tensor, classes: int) -> Tensor:
    x = input._read()
    wide = b.reshape(checked(x, 0, classes), (*x.shape, 1))
    return Tensor._traced(b.cast(b.equal(wide, b.iota(classes)), int64))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A new last dimension with 1 at the class and 0 elsewhere.

    Without num_classes the greatest class is read on the host. A class out of range raises
    RuntimeError where the classes are known, else IndexError when the result is computed.
    """
    if tensor._type.dtype is not int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if num_classes == -1:
        if not tensor._type.size:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        array = tensor.detach()._to_numpy()
        if array.min() < 0:
            raise RuntimeError("Class values must be non-negative.")
        num_classes = int(array.max()) + 1
    if num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    check_bounds(tensor, 0, 1 << 63, "Class values must be non-negative.", error=RuntimeError)
    message = "Class values must be smaller than num_classes."
    check_bounds(tensor, 0, num_classes, message, error=RuntimeError)
    return _one_hot(tensor, num_classes)
