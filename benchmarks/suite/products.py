"""Matrix products in float32: square, tall and wide, transposed, batched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
from benchmarks.suite.registry import add, done, normal


def product(
    rows: int, depth: int, columns: int, left: bool = False, right: bool = False, batch: int = 0
) -> Callable[[], Any]:
    """(rows, depth) times (depth, columns); left, right: that operand is stored transposed."""
    lead = (batch,) if batch else ()
    a = normal(*lead, depth, rows) if left else normal(*lead, rows, depth)
    b = normal(*lead, columns, depth, seed=1) if right else normal(*lead, depth, columns, seed=1)
    a = a.transpose(-1, -2) if left else a
    b = b.transpose(-1, -2) if right else b

    def run() -> None:
        done(torch.matmul(a, b))

    return run


def _add(name: str, rows: int, depth: int, columns: int, quick: bool = False, **how: Any) -> None:
    sizes = {"rows": rows, "depth": depth, "columns": columns, **how}
    add(
        "products",
        name,
        product,
        sizes=sizes,
        tiny={"rows": 3, "depth": 5, "columns": 4},
        flops=2.0 * rows * depth * columns * max(1, how.get("batch", 0)),
        single=True,
        quick=quick,
    )


# sgemm, square
for _side in (128, 192, 256, 384, 512, 768, 1024, 1536, 2048):
    _add(f"{_side}×{_side}×{_side}", _side, _side, _side, quick=_side in (128, 512, 1024))
for _side in (127, 333, 1000):
    _add(f"odd {_side}×{_side}×{_side}", _side, _side, _side)
_add("odd 333×777×555", 333, 777, 555)
_add("512³, A stored transposed", 512, 512, 512, left=True)
_add("512³, B stored transposed", 512, 512, 512, right=True)
_add("512³, both stored transposed", 512, 512, 512, left=True, right=True)

# tall, wide, deep
_add("tall 8192×64×64", 8192, 64, 64)
_add("tall 8192×512×64", 8192, 512, 64)
_add("tall 4096×256×256", 4096, 256, 256)
_add("tall 10000×16×16", 10000, 16, 16)
_add("wide 64×64×8192", 64, 64, 8192)
_add("wide 256×256×4096", 256, 256, 4096)
_add("wide 16×16×10000", 16, 16, 10000)
_add("deep 64×8192×64", 64, 8192, 64, quick=True)
_add("rank 8: 1024×8×1024", 1024, 8, 1024)

# few rows: the weight is read once
for _rows in (1, 2, 4, 8, 16, 32):
    for _side in (1024, 512):
        _quick = _side == 1024 and _rows in (1, 4)
        _add(f"rows {_rows}×{_side}×{_side}", _rows, _side, _side, quick=_quick)
        _name = f"rows {_rows}×{_side}×{_side}, B stored transposed"
        _add(_name, _rows, _side, _side, quick=_quick, right=True)
_add("rows 1×4096×4096, B stored transposed", 1, 4096, 4096, right=True)
_add("one column 1024×1024×1", 1024, 1024, 1)

# as in layers
_add("linear 128×784×512, B stored transposed", 128, 784, 512, quick=True, right=True)
_add("linear 768×128×512, B stored transposed", 768, 128, 512, right=True)
_add("weight gradient 512×128×784, A stored transposed", 512, 128, 784, left=True)

# batched
_add("batched 48 × 64×32×64, B stored transposed", 64, 32, 64, batch=48, right=True)
_add("batched 64 × 32×32×32", 32, 32, 32, batch=64)
_add("batched 384 × 64×64×64", 64, 64, 64, batch=384)
_add("batched 24 × 256×64×256", 256, 64, 256, batch=24, quick=True)
_add("batched 512 × 16×16×16", 16, 16, 16, batch=512)
_add("batched 6 × 1×64×256, B stored transposed", 1, 64, 256, batch=6, right=True)
_add("batched 6 × 1×256×64", 1, 256, 64, batch=6)
