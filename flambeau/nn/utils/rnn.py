"""Sequences of different lengths: padded into one tensor, or packed step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy

from flambeau.ops.index import getitem
from flambeau.ops.shape import cat
from flambeau.tensor.tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


class PackedSequence(_Packed):
    """Sequences, the longest first, step by step: the first elements of all, the second of all …

    data             (sum of lengths, …)
    batch_sizes      how many sequences each step has, int64 on the cpu
    sorted_indices   which of the given sequences each one is; None where they came sorted
    """

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Any = None,
        sorted_indices: Any = None,
        unsorted_indices: Any = None,
    ) -> PackedSequence:
        if batch_sizes is None:
            raise ValueError("PackedSequence expects batch_sizes: how many sequences each step has")
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Data on another device or in another dtype."""
        data = self.data.to(*args, **kwargs)
        indices = [
            None if each is None else each.to(data.device)
            for each in (self.sorted_indices, self.unsorted_indices)
        ]
        return type(self)(data, self.batch_sizes, *indices)

    def cpu(self) -> PackedSequence:
        return self.to("cpu")

    def float(self) -> PackedSequence:
        return type(self)(self.data.float(), *self[1:])

    def double(self) -> PackedSequence:
        return type(self)(self.data.double(), *self[1:])

    @property
    def is_cuda(self) -> bool:
        return bool(self.data.is_cuda)


def invert_permutation(permutation: Tensor | None) -> Any:
    """Where each place went."""
    return None if permutation is None else permutation.argsort()


def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """(lengths, …) tensors as one of (longest, count, …), or (count, longest, …) with batch_first.

    padding_side "left" pads in front. Raises ValueError for another side, RuntimeError for none.
    """
    if padding_side not in ("right", "left"):
        raise ValueError(
            f"padding_side should be either 'left' or 'right', but got {padding_side!r}"
        )
    given: list[Any] = (
        list(sequences.unbind(0)) if isinstance(sequences, Tensor) else list(sequences)
    )
    if not given:
        raise RuntimeError("pad_sequence expects at least one sequence, but got none")
    longest = max(len(each) for each in given)
    rows = []
    for each in given:
        rest = each.new_full((longest - len(each), *each.shape[1:]), padding_value)
        rows.append(cat([each, rest] if padding_side == "right" else [rest, each]))
    whole = cat([each.unsqueeze(0) for each in rows])
    return whole if batch_first else whole.transpose(0, 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Any]:
    """The sequences of `pad_sequence` again, by their lengths."""
    rows: Any = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [rows[number, :length] for number, length in enumerate(_lengths(lengths))]


def _lengths(lengths: Any) -> list[int]:
    return [int(each) for each in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]


def _places(lengths: Sequence[int]) -> tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any]]:
    """Of sorted lengths: (step, sequence) of each packed element, and how many each step has."""
    longest = lengths[0]
    sizes = numpy.array([sum(each > step for each in lengths) for step in range(longest)])
    steps = numpy.repeat(numpy.arange(longest), sizes)
    sequences = numpy.concatenate([numpy.arange(size) for size in sizes])
    return numpy.stack([steps, sequences]), sizes


def pack_padded_sequence(
    input: Tensor,  # noqa: A002  # PyTorch's name
    lengths: Any,
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Pack (longest, count, …), or (count, longest, …) with batch_first.

    lengths          of each sequence: a list, or a tensor on the cpu
    enforce_sorted   they must be given longest first; else they are sorted here
    Raises RuntimeError where lengths are not sorted, not positive, or not one for each sequence.
    """
    rows: Any = input.transpose(0, 1) if batch_first else input
    found = _lengths(lengths)
    if len(found) != rows.shape[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(found)} "
            f"(batch_size={rows.shape[1]})"
        )
    if min(found) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            f"that is <= 0: {found}"
        )
    indices = None
    if enforce_sorted:
        if sorted(found, reverse=True) != found:
            raise RuntimeError(
                "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
                "You can pass `enforce_sorted=False` to pack_padded_sequence to sidestep this."
            )
    else:
        order = numpy.argsort([-each for each in found], kind="stable")
        indices = Tensor._from_numpy(order, rows.device.type)
        rows, found = rows.index_select(1, indices), [found[each] for each in order]
    if found[0] > rows.shape[0]:
        raise RuntimeError(
            f"Expected lengths up to {rows.shape[0]}, the padded one, but got {found[0]}"
        )
    (steps, sequences), sizes = _places(found)
    device = rows.device.type
    at = [Tensor._from_numpy(each, device) for each in (steps, sequences)]
    return PackedSequence(getitem(rows, tuple(at)), Tensor._from_numpy(sizes, "cpu"), indices)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Any, Any]:
    """(padded, lengths): pack_padded_sequence undone, in the order that was given."""
    sizes = sequence.batch_sizes.tolist()
    longest = len(sizes)
    if total_length is not None and total_length < longest:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but "
            f"got total_length={total_length} and max sequence length being {longest}"
        )
    lengths = [sum(size > number for size in sizes) for number in range(sizes[0])]
    data = sequence.data
    shape = (total_length or longest, sizes[0], *data.shape[1:])
    (steps, sequences), _ = _places(lengths)
    at = [Tensor._from_numpy(each, data.device.type) for each in (steps, sequences)]
    whole = data.new_full(shape, padding_value).index_put(tuple(at), data)
    found = Tensor._from_numpy(numpy.array(lengths), "cpu")
    if sequence.unsorted_indices is not None:
        whole = whole.index_select(1, sequence.unsorted_indices)
        found = found[sequence.unsorted_indices.cpu()]
    return (whole.transpose(0, 1) if batch_first else whole), found


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of (length, …) tensors."""
    lengths = [len(each) for each in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)
