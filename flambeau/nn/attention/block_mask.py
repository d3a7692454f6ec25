"""BlockMask: which blocks of a (queries × keys) mask are empty, full, or neither."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy

from flambeau.graph.dtype import int32
from flambeau.nn.attention.places import applied
from flambeau.ops.creation import zeros
from flambeau.ops.data import tensor
from flambeau.ops.pad import pad
from flambeau.ops.ranges import arange

__all__ = [
    "BlockMask",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "noop_mask",
    "or_masks",
]

_BLOCK = 128
MaskMod = Callable[..., Any]


def noop_mask(batch: Any, head: Any, token_q: Any, token_kv: Any) -> Any:
    """The mask_mod that keeps everything."""
    return tensor(True, device=batch.device)


def _of_part(*places: Any) -> Any:
    raise RuntimeError(
        "Cannot use mask_mod from a sliced BlockMask: assign it one for the places that are left"
    )


def _check_mods(mods: tuple[Any, ...]) -> None:
    if not all(callable(each) for each in mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mods}")


def and_masks(*mask_mods: MaskMod) -> MaskMod:
    """A mask_mod that keeps what all of these keep."""
    _check_mods(mask_mods)

    def joined(b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
        result = noop_mask(b, h, q_idx, kv_idx)
        for each in mask_mods:
            result = result & each(b, h, q_idx, kv_idx)
        return result

    return joined


def or_masks(*mask_mods: MaskMod) -> MaskMod:
    """A mask_mod that keeps what any of these keeps."""
    _check_mods(mask_mods)

    def joined(b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
        result = ~noop_mask(b, h, q_idx, kv_idx)
        for each in mask_mods:
            result = result | each(b, h, q_idx, kv_idx)
        return result

    return joined


def _takes_score(function: Callable[..., Any]) -> bool:
    """Whether it is a score_mod (five arguments) rather than a mask_mod (four)."""
    kinds = [
        each.kind
        for each in inspect.signature(function).parameters.values()
        if each.default is each.empty
    ]
    count = sum(kind in (0, 1) for kind in kinds)  # positional ones
    if count not in (4, 5) and 2 not in kinds:
        raise AssertionError(
            "expected a score_mod(score, b, h, q_idx, kv_idx) or a mask_mod(b, h, q_idx, kv_idx), "
            f"got a function of {count} arguments"
        )
    return count == 5


def create_mask(
    mod_fn: MaskMod,
    B: int | None,  # noqa: N803  # PyTorch's name
    H: int | None,  # noqa: N803  # PyTorch's name
    Q_LEN: int,  # noqa: N803  # PyTorch's name
    KV_LEN: int,  # noqa: N803  # PyTorch's name
    device: Any = None,
) -> Any:
    """The whole mask of a mask_mod, boolean, or what a score_mod makes of zeros.

    Shape (B, H, Q_LEN, KV_LEN); B and H may be None: 1.
    """
    sizes = (B or 1, H or 1, Q_LEN, KV_LEN)
    score = zeros(sizes, device=device) if _takes_score(mod_fn) else None
    return applied(mod_fn, sizes, device, score).expand(sizes)


def _pair(size: Any) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or min(pair) <= 0:
        raise ValueError(f"BLOCK_SIZE must be a positive number or two of them, got {size}")
    return pair


def _ordered(dense: Any) -> tuple[Any, Any]:
    """How many blocks of each row there are, and their numbers first, in order."""
    present = dense.to(int32)
    indices = present.argsort(dim=-1, descending=True, stable=True)
    return present.sum(-1).to(int32), indices.to(int32)


def _dense(counts: Any, indices: Any) -> Any:
    """The blocks of counts and indices as a matrix of 0 and 1."""
    columns = indices.shape[-1]
    valid = arange(columns, device=counts.device) < counts.unsqueeze(-1)
    spread = indices.long().unsqueeze(-1) == arange(columns, device=counts.device)
    return (spread & valid.unsqueeze(-1)).any(-2).to(int32)


def _cell(blocks: Any) -> str:
    """Some blocks as two characters."""
    return "██" if blocks.all() else "░░" if blocks.any() else "  "


class BlockMask:
    """A mask_mod and the blocks of `BLOCK_SIZE` queries × keys in which it keeps something.

    For each (batch, head, row of blocks), kv_num_blocks says how many blocks are partly kept and
    kv_indices which these are (its first entries); full_kv_num_blocks and full_kv_indices say the
    same of those kept whole. q_num_blocks … are the same by columns. Made by create_block_mask, or
    by from_kv_blocks. Attention with it keeps the full blocks, and what mask_mod keeps of the
    others that are named.
    """

    _TENSORS = (
        "kv_num_blocks",
        "kv_indices",
        "full_kv_num_blocks",
        "full_kv_indices",
        "q_num_blocks",
        "q_indices",
        "full_q_num_blocks",
        "full_q_indices",
    )

    def __init__(
        self,
        seq_lengths: tuple[int, int],
        kv_num_blocks: Any,
        kv_indices: Any,
        full_kv_num_blocks: Any = None,
        full_kv_indices: Any = None,
        q_num_blocks: Any = None,
        q_indices: Any = None,
        full_q_num_blocks: Any = None,
        full_q_indices: Any = None,
        BLOCK_SIZE: Any = _BLOCK,  # noqa: N803  # PyTorch's name
        mask_mod: MaskMod | None = None,
    ) -> None:
        if kv_indices.ndim < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        for name, one, other in (
            ("full_kv", full_kv_num_blocks, full_kv_indices),
            ("q", q_num_blocks, q_indices),
            ("full_q", full_q_num_blocks, full_q_indices),
        ):
            if (one is None) != (other is None):
                raise AssertionError(
                    f"{name}_num_blocks and {name}_indices must be both provided or omitted"
                )
        self.seq_lengths = seq_lengths
        self.kv_num_blocks = kv_num_blocks
        self.kv_indices = kv_indices
        self.full_kv_num_blocks = full_kv_num_blocks
        self.full_kv_indices = full_kv_indices
        self.q_num_blocks = q_num_blocks
        self.q_indices = q_indices
        self.full_q_num_blocks = full_q_num_blocks
        self.full_q_indices = full_q_indices
        self.BLOCK_SIZE = _pair(BLOCK_SIZE)
        self.mask_mod: MaskMod = noop_mask if mask_mod is None else mask_mod
        self._follows_mod = False  # whether the blocks say nothing beside mask_mod

    @classmethod
    def from_kv_blocks(
        cls,
        kv_num_blocks: Any,
        kv_indices: Any,
        full_kv_num_blocks: Any = None,
        full_kv_indices: Any = None,
        BLOCK_SIZE: Any = _BLOCK,  # noqa: N803  # PyTorch's name
        mask_mod: MaskMod | None = None,
        seq_lengths: tuple[int, int] | None = None,
        compute_q_blocks: bool = True,
    ) -> BlockMask:
        """A BlockMask from its rows of blocks; the columns are computed.

        kv_num_blocks (batch, heads, rows) and kv_indices (batch, heads, rows, columns), int32.
        """
        if kv_indices.ndim < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        pair = _pair(BLOCK_SIZE)
        columns: list[Any] = [None] * 4
        if compute_q_blocks:
            columns[:2] = _ordered(_dense(kv_num_blocks, kv_indices).mT)
            if full_kv_num_blocks is not None:
                columns[2:] = _ordered(_dense(full_kv_num_blocks, full_kv_indices).mT)
        if seq_lengths is None:
            rows, count = kv_indices.shape[-2:]
            seq_lengths = (int(rows) * pair[0], int(count) * pair[1])
        rows_of = [kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices]
        named = dict(zip(cls._TENSORS, rows_of + columns, strict=True))
        return cls(seq_lengths, **named, BLOCK_SIZE=pair, mask_mod=mask_mod)

    # facts -------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """(batch, heads, queries, keys)."""
        return (*[int(each) for each in self.kv_indices.shape[:-2]], *self.seq_lengths)

    def numel(self) -> int:
        """How many places there are."""
        return math.prod(self.shape)

    def to_dense(self) -> Any:
        """1 for each block that is not empty, (batch, heads, rows, columns), int32."""
        partial = _dense(self.kv_num_blocks, self.kv_indices)
        if self.full_kv_num_blocks is None:
            return partial
        return partial | _dense(self.full_kv_num_blocks, self.full_kv_indices)

    def sparsity(self) -> float:
        """How much of the mask is in empty blocks, in percent."""
        present = int(self.kv_num_blocks.sum())
        if self.full_kv_num_blocks is not None:
            present += int(self.full_kv_num_blocks.sum())
        rows, columns = self.BLOCK_SIZE
        return 100 * (1 - present * rows * columns / self.numel())

    def as_tuple(self, flatten: bool = True) -> tuple[Any, ...]:
        """All that makes the mask: lengths, the eight tensors, block sizes and mask_mod."""
        tensors = tuple([getattr(self, name) for name in self._TENSORS])
        if flatten:
            return (*self.seq_lengths, *tensors, *self.BLOCK_SIZE, self.mask_mod)
        return (self.seq_lengths, *tensors, self.BLOCK_SIZE, self.mask_mod)

    def to(self, device: Any) -> BlockMask:
        """The same on another device. What mask_mod holds stays where it is."""
        return self._changed(lambda each: each.to(device), self.mask_mod, self.seq_lengths)

    def __getitem__(self, index: Any) -> BlockMask:
        """The mask of some batches and heads (and rows of blocks); its mask_mod cannot be kept.

        Attention with it wants a mask_mod: assign it.
        """
        index = index if isinstance(index, tuple) else (index,)
        kept = tuple([slice(each, each + 1) if isinstance(each, int) else each for each in index])
        lengths = self.seq_lengths
        full = self.full_kv_num_blocks is not None
        made = BlockMask.from_kv_blocks(
            self.kv_num_blocks[kept],
            self.kv_indices[kept],
            self.full_kv_num_blocks[kept] if full else None,
            self.full_kv_indices[kept] if full else None,
            self.BLOCK_SIZE,
            None,
            lengths if len(kept) < 3 else None,
            compute_q_blocks=self.q_indices is not None,
        )
        made.mask_mod = _of_part  # it would see other places
        return made

    def _changed(self, change: Callable[[Any], Any], mod: MaskMod, lengths: Any) -> BlockMask:
        tensors = {name: getattr(self, name) for name in self._TENSORS}
        changed = {name: each if each is None else change(each) for name, each in tensors.items()}
        made = BlockMask(lengths, **changed, BLOCK_SIZE=self.BLOCK_SIZE, mask_mod=mod)
        made._follows_mod = self._follows_mod
        return made

    def __repr__(self) -> str:
        shapes = {name: getattr(getattr(self, name), "shape", None) for name in self._TENSORS}
        lines = [f"{name}={shape}" for name, shape in shapes.items()]
        lines += [f"BLOCK_SIZE={self.BLOCK_SIZE}", f"shape={self.shape}"]
        lines += [f"sparsity={self.sparsity():.2f}%"]
        lines += [f"mask_mod={getattr(self.mask_mod, '__name__', self.mask_mod)}"]
        return "BlockMask(\n    " + ",\n    ".join(lines) + "\n)"

    def __str__(self) -> str:
        head = f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, "
        return f"{head}\n{self.to_string().strip()}\n)"

    def to_string(self, grid_size: Any = (20, 20), limit: int = 4) -> str:
        """A picture of the first `limit` batches and heads, of at most `grid_size` cells.

        A cell is dark where all its blocks have something to keep, grey where some have. -1 as
        `grid_size` stands for a cell for each block.
        """
        dense = self.to_dense()._to_numpy()
        rows, columns = dense.shape[-2:]
        most = (grid_size, grid_size) if isinstance(grid_size, int) else grid_size
        tall, wide = (
            1 if count == -1 else max(-(-extent // count), 1)
            for count, extent in zip(most, (rows, columns), strict=True)
        )
        pictures = []
        leads = list(numpy.ndindex(dense.shape[:-2]))
        for lead in leads[:limit]:
            lines = [
                "".join(
                    _cell(dense[lead][top : top + tall, left : left + wide])
                    for left in range(0, columns, wide)
                )
                for top in range(0, rows, tall)
            ]
            pictures.append("\n".join([str(lead), *lines, ""]))
        if len(leads) > limit:
            pictures.append(
                "...\nTo print out more, set BlockMask.to_string(limit=N)\n"
                "You can also index (BlockMask[batch, head]) to choose a specific batch or head"
            )
        return "\n".join(pictures)

    # for attention -----------------------------------------------------------------------------

    def kept(self, sizes: tuple[int, int, int, int], device: Any) -> Any:
        """The mask of attention of these sizes: boolean, of a shape that broadcasts to them.

        ValueError where the mask is of other lengths, batches or heads.
        """
        shape = self.shape
        first, second = (1,) * (2 - len(shape[:-2])) + shape[:-2]
        lead = (first, second)
        fits = self.seq_lengths == sizes[2:] and all(
            own in (1, size) for own, size in zip(lead, sizes[:2], strict=True)
        )
        if not fits:
            raise ValueError(
                f"block_mask was created for block_mask.shape={shape} but got batch={sizes[0]}, "
                f"heads={sizes[1]}, q_len={sizes[2]} and kv_len={sizes[3]}. As the block mask was "
                "created for other sizes, make a new one with create_block_mask."
            )
        mask = applied(self.mask_mod, (*lead, *sizes[2:]), device)
        if self._follows_mod:
            return mask
        named = self._places(_dense(self.kv_num_blocks, self.kv_indices), lead)
        mask = mask & named
        if self.full_kv_num_blocks is not None:
            mask = mask | self._places(_dense(self.full_kv_num_blocks, self.full_kv_indices), lead)
        return mask

    def _places(self, blocks: Any, lead: tuple[int, ...]) -> Any:
        """Blocks of 0 and 1 as a boolean mask of single places."""
        rows, columns = self.BLOCK_SIZE
        spread = blocks.bool().repeat_interleave(rows, -2).repeat_interleave(columns, -1)
        queries, keys = self.seq_lengths
        return spread[..., :queries, :keys].reshape((*lead, queries, keys))


def create_block_mask(
    mask_mod: MaskMod,
    B: int | None,  # noqa: N803  # PyTorch's name
    H: int | None,  # noqa: N803  # PyTorch's name
    Q_LEN: int,  # noqa: N803  # PyTorch's name
    KV_LEN: int,  # noqa: N803  # PyTorch's name
    device: Any = None,
    BLOCK_SIZE: Any = _BLOCK,  # noqa: N803  # PyTorch's name
    _compile: bool = False,
    separate_full_blocks: bool = True,
) -> BlockMask:
    """The BlockMask of mask_mod(b, h, q_idx, kv_idx) -> bool.

    B and H may be None where mask_mod does not depend on them: the mask is then for any. Unless
    `separate_full_blocks`, full blocks are counted with those that are kept in part.
    """
    rows, columns = _pair(BLOCK_SIZE)
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    padded = pad(mask, (0, -KV_LEN % columns, 0, -Q_LEN % rows))
    heights, widths = padded.shape[-2] // rows, padded.shape[-1] // columns
    split = padded.reshape((*mask.shape[:2], heights, rows, widths, columns))
    counts = split.to(int32).sum((-3, -1))
    full = counts == rows * columns
    partial = (counts > 0) & ~full if separate_full_blocks else counts > 0
    counts_of_full, full_indices = _ordered(full) if separate_full_blocks else (None, None)
    made = BlockMask.from_kv_blocks(
        *_ordered(partial),
        counts_of_full,
        full_indices,
        BLOCK_SIZE=(rows, columns),
        mask_mod=mask_mod,
        seq_lengths=(Q_LEN, KV_LEN),
    )
    made._follows_mod = True
    return made
