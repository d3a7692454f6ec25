"""make_tensor: a tensor of random values in a range, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.ops.random import rand, randint
from flambeau.tensor.tensor import Tensor

_INTEGERS = {dtypes.bool_: (0, 2), dtypes.uint8: (0, 10)}


def make_tensor(
    *shape: int | Sequence[int],
    dtype: DType,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Uniform in [low, high): by default [-9, 9) for floating dtypes, [0, 2) for bool, [0, 10) for
    uint8 and [-9, 10) for other integers. exclude_zero replaces 0 by the smallest positive value.

    Raises ValueError where low is not below high.
    """
    sizes: Any = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    floating = dtype.is_floating_point
    least, bound = _INTEGERS.get(dtype, (-9, 10))
    start = float(-9 if low is None else low) if floating else int(least if low is None else low)
    stop = float(9 if high is None else high) if floating else int(bound if high is None else high)
    if start >= stop:
        raise ValueError(f"make_tensor: low ({start}) must be below high ({stop})")
    if noncontiguous and sizes and sizes[-1] != 1:
        sizes = (*sizes[:-1], 2 * sizes[-1])
    if floating:
        made = (rand(*sizes, device=device) * (stop - start) + start).to(dtype)
    else:
        made = randint(int(start), int(stop), sizes, dtype=dtype, device=device)
    if noncontiguous and made.dim():
        made = made[..., ::2]
    if exclude_zero:
        made = made.masked_fill(made == 0, 2.0**-126 if floating else 1)
    return made.detach().requires_grad_(requires_grad) if requires_grad else made
