"""Products of groups of rows with matrices of their own: functional.grouped_mm.

Where groups end is known on the device only, and every product of another size would be another
kernel: all rows are multiplied with all groups' matrices, and each keeps what is its own group's.
"""

from __future__ import annotations

from typing import Any

from flambeau.graph.dtype import int32
from flambeau.ops.axes import title
from flambeau.ops.logic import where
from flambeau.ops.publish import publish
from flambeau.ops.ranges import arange
from flambeau.tensor.tensor import Tensor


def _check(a: Tensor, b: Tensor, offsets: Tensor | None) -> None:
    """Raises RuntimeError as PyTorch does."""
    for name, each in (("mat_a", a), ("mat_b", b)):
        if each.ndim not in (2, 3):
            raise RuntimeError(f"{name} has to be 2 or 3d, got {each.ndim}d")
    if a._type.dtype is not b._type.dtype:
        raise RuntimeError(f"expected mat_b to be {title(a)} as mat_a, got {title(b)}")
    if a._type.shape[-1] != b._type.shape[-2]:
        raise RuntimeError(
            "contraction dimension of mat_a and mat_b must match, got "
            f"{list(a._type.shape)} and {list(b._type.shape)}"
        )
    if (offsets is None) != (a.ndim == b.ndim == 3):
        raise RuntimeError(
            "Have to provide offsets if there is a 2d matrix, or no offset if both matrices are 3d"
        )
    counts = {each._type.shape[0] for each in (a, b) if each.ndim == 3}
    if offsets is not None:
        if offsets.ndim != 1 or offsets._type.dtype is not int32:
            raise RuntimeError(f"offs has to be 1d and int32, got {offsets.ndim}d {offsets.dtype}")
        counts.add(offsets._type.shape[0])
    if len(counts) > 1:
        raise RuntimeError(f"matrix batch sizes have to match, got {sorted(counts)}")


def _members(offsets: Any, extent: int) -> Any:
    """(groups, extent): whether each place is in each group; groups end at their offsets."""
    at = arange(extent, device=offsets.device)
    number = (at.unsqueeze(1) >= offsets).sum(1)
    return number == arange(offsets.shape[0], device=offsets.device).unsqueeze(1)


def grouped_mm(
    mat_a: Any,
    mat_b: Any,
    *,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: Any = None,
) -> Any:
    """Products of the groups that mat_a's rows (or columns) and mat_b's columns (or rows) form.

    (t, k), (g, k, n) → (t, n), row i times the matrix of its group; (g, m, k), (k, t) → (m, t);
    (m, t), (t, n) → (g, m, n), over each group's part of t; (g, m, k), (g, k, n) → (g, m, n).
    offs (g) int32 is where each group ends; what lies behind the last is in none, and gives 0.
    Raises RuntimeError where arguments do not fit; there is no bias, as in PyTorch.
    """
    _check(mat_a, mat_b, offs)
    if bias is not None:
        raise RuntimeError("Bias not supported yet: add it to the result")
    if out_dtype not in (None, mat_a.dtype):
        raise RuntimeError("Grouped gemm output dtype must match `mat_a` dtype")
    if offs is None:
        return mat_a @ mat_b
    if mat_a.ndim == mat_b.ndim:
        own = _members(offs, mat_a.shape[1]).unsqueeze(1)
        return where(own, mat_a, 0.0) @ mat_b
    if mat_a.ndim == 2:
        own = _members(offs, mat_a.shape[0]).unsqueeze(2)
    else:
        own = _members(offs, mat_b.shape[1]).unsqueeze(1)
    return where(own, mat_a @ mat_b, 0.0).sum(0)


def _grouped_mm(
    self: Tensor,
    mat2: Tensor,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: Any = None,
) -> Any:
    """grouped_mm, under its name in torch."""
    return grouped_mm(self, mat2, offs=offs, bias=bias, out_dtype=out_dtype)


publish(_grouped_mm, "_grouped_mm")
