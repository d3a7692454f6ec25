"""From samples to a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy

from flambeau.graph.dtype import float64
from flambeau.tensor.tensor import Tensor

__all__ = ["collate", "default_collate", "default_convert"]

_HOST = frozenset({"cpu", "reference"})


def default_collate(batch: Any) -> Any:
    """Stack samples along a new first dimension, within tuples, lists and dicts.

    Numbers and arrays become tensors, strings stay lists. Raises TypeError for anything else and
    RuntimeError where sizes differ.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(batch: Any, *, collate_fn_map: Mapping[Any, Callable[..., Any]] | None = None) -> Any:
    """default_collate with other functions for types: fn(batch, *, collate_fn_map)."""
    first = batch[0]
    function = _function_for(first, collate_fn_map or {})
    if function is not None:
        return function(batch, collate_fn_map=collate_fn_map)

    def join(samples: Sequence[Any]) -> Any:
        return collate(samples, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        found = {key: join([each[key] for each in batch]) for key in first}
        return _like_mapping(first, found)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*[join(each) for each in zip(*batch, strict=True)])
    if isinstance(first, Sequence):
        if any(len(each) != len(first) for each in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        joined = [join(each) for each in zip(*batch, strict=True)]
        return joined if isinstance(first, tuple) else _like_sequence(first, joined)
    raise _unsupported(type(first))


def default_convert(data: Any) -> Any:
    """numpy arrays become tensors, within tuples, lists and dicts; all else stays as it is."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (numpy.ndarray, numpy.generic)):
        if data.dtype.kind in "SUO":
            return data
        return _as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*[default_convert(each) for each in data])
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        converted = [default_convert(each) for each in data]
        return converted if isinstance(data, tuple) else _like_sequence(data, converted)
    return data


def _function_for(first: Any, functions: Mapping[Any, Callable[..., Any]]) -> Any:
    exact = functions.get(type(first))
    if exact is not None:
        return exact
    for kind, function in functions.items():
        if isinstance(first, kind):
            return function
    return None


def _like_mapping(first: Any, found: dict[Any, Any]) -> Any:
    """`found` as the type of `first`, with its further attributes; a dict where that fails."""
    try:
        if isinstance(first, MutableMapping):
            made = copy.copy(first)
            made.update(found)
            return made
        return type(first)(found)
    except TypeError:
        return found


def _like_sequence(first: Any, found: list[Any]) -> Any:
    """`found` as the type of `first`, with its further attributes; a list where that fails."""
    try:
        if isinstance(first, MutableSequence):
            made = copy.copy(first)
            for place, each in enumerate(found):
                made[place] = each
            return made
        return type(first)(found)
    except TypeError:
        return found


def _unsupported(found: Any) -> TypeError:
    return TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {found}"
    )


def _as_tensor(value: Any, dtype: Any = None) -> Tensor:
    from flambeau.ops.data import as_tensor

    return as_tensor(value, dtype=dtype)


def collate_tensors(batch: Sequence[Tensor], *, collate_fn_map: Any = None) -> Tensor:
    """Stack tensors. On the host the values are copied at once, without recording anything."""
    first = batch[0]
    for place, each in enumerate(batch):
        if each._type.shape != first._type.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first.shape)} at "
                f"entry 0 and {list(each.shape)} at entry {place}"
            )
    where = first.device.type
    plain = where in _HOST and not any(
        each.requires_grad or each._type is not first._type or each.device.type != where
        for each in batch
    )
    if not plain:
        from flambeau.ops.shape import stack

        return stack(list(batch), 0)
    return Tensor._from_numpy(numpy.stack([each._to_numpy() for each in batch]), where, copy=False)


def _collate_arrays(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Tensor:
    if batch[0].dtype.kind in "SUO":
        raise _unsupported(batch[0].dtype)
    return collate_tensors([_as_tensor(each) for each in batch])


def _collate_scalars(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Tensor:
    return _as_tensor(numpy.array(batch))


def _collate_floats(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Tensor:
    return _as_tensor(numpy.array(batch, numpy.float64), float64)


def _collate_integers(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Tensor:
    return _as_tensor(numpy.array(batch, bool if isinstance(batch[0], bool) else numpy.int64))


def _keep(batch: Any, *, collate_fn_map: Any = None) -> Any:
    return batch


default_collate_fn_map: dict[Any, Callable[..., Any]] = {
    Tensor: collate_tensors,
    numpy.ndarray: _collate_arrays,
    (numpy.bool_, numpy.number): _collate_scalars,
    float: _collate_floats,
    int: _collate_integers,
    str: _keep,
    bytes: _keep,
}
