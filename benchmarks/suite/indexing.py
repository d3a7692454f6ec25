"""Gathers, scatters, scans and orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
from benchmarks.suite.registry import add, done, integers, normal
from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it


def _timed(function: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: done(function())


def gather(rows: int, width: int) -> Any:
    x, index = normal(rows, width), integers(width, rows, width)
    return _timed(lambda: torch.gather(x, 1, index))


def index_select(rows: int, width: int) -> Any:
    x, index = normal(rows, width), integers(rows, rows)
    return _timed(lambda: x[index])


def scatter_add(rows: int, width: int) -> Any:
    x, index = normal(rows, width), integers(rows, rows, width)
    zeros = normal(rows, width, seed=1)
    return _timed(lambda: zeros.scatter_add(0, index, x))


def index_add(rows: int, width: int) -> Any:
    x, index, zeros = normal(rows, width), integers(rows, rows), normal(rows, width, seed=1)
    return _timed(lambda: zeros.index_add(0, index, x))


def index_put(rows: int, width: int) -> Any:
    x, zeros = normal(rows, width), normal(rows, width, seed=1)
    index = integers(rows, rows)
    return _timed(lambda: zeros.index_put((index,), x))


def index_put_accumulate(rows: int, width: int) -> Any:
    x, zeros = normal(rows, width), normal(rows, width, seed=1)
    index = integers(rows, rows)
    return _timed(lambda: zeros.index_put((index,), x, accumulate=True))


def cumsum_rows(rows: int, width: int) -> Any:
    x = normal(rows, width)
    return _timed(lambda: torch.cumsum(x, 1))


def cumsum_columns(rows: int, width: int) -> Any:
    x = normal(rows, width)
    return _timed(lambda: torch.cumsum(x, 0))


def sort(rows: int, width: int) -> Any:
    x = normal(rows, width)
    return _timed(lambda: torch.sort(x, 1))


def argsort(rows: int, width: int) -> Any:
    x = normal(rows, width)
    return _timed(lambda: torch.argsort(x, 1))


def topk(rows: int, width: int, count: int = 10) -> Any:
    x, count = normal(rows, width), min(count, width)
    return _timed(lambda: torch.topk(x, count, 1))


def sort_integers(rows: int, width: int) -> Any:
    x = integers(1 << 40, rows, width)
    return _timed(lambda: torch.sort(x, 1))


def topk_integers(rows: int, width: int) -> Any:
    x, count = integers(1 << 40, rows, width), min(50, width)
    return _timed(lambda: torch.topk(x, count, 1))


def kthvalue(rows: int, width: int) -> Any:
    x = normal(rows, width)
    return _timed(lambda: torch.kthvalue(x, 1 + width // 3, 1))


def median(rows: int, width: int) -> Any:
    x = normal(rows, width)
    return _timed(lambda: torch.median(x, 1))


def argmax(rows: int, width: int) -> Any:
    x = normal(rows, width)
    return _timed(lambda: torch.argmax(x, 1))


def max_along(rows: int, width: int) -> Any:
    x = normal(rows, width)
    return _timed(lambda: torch.max(x, 1))


def unique(rows: int, width: int) -> Any:
    x = integers(width, rows, width)
    return _timed(lambda: torch.unique(x))


def cumprod(rows: int, width: int) -> Any:
    x = normal(rows, width)
    return _timed(lambda: torch.cumprod(x, 1))


def logcumsumexp(rows: int, width: int) -> Any:
    x = normal(rows, width)
    return _timed(lambda: torch.logcumsumexp(x, 1))


def one_hot(rows: int, width: int) -> Any:
    x = integers(width, rows)
    return _timed(lambda: F.one_hot(x, width))


def masked_select(rows: int, width: int) -> Any:
    x = normal(rows, width)
    mask = x > 0
    return _timed(lambda: torch.masked_select(x, mask))


def nonzero(rows: int, width: int) -> Any:
    mask = normal(rows, width) > 1
    return _timed(lambda: torch.nonzero(mask))


def index_add_edges(rows: int, width: int, edges: int) -> Any:
    """What a graph's nodes get along its edges: as in the GCN of the training steps."""
    x, source, target = normal(rows, width), integers(rows, edges), integers(rows, edges, seed=1)
    zeros = torch.zeros(rows, width)
    return _timed(lambda: zeros.index_add(0, target, x[source]))


def embedding_backward(rows: int, width: int, tokens: int = 0) -> Any:
    tokens = tokens or 4 * rows // 5 + 1
    table, index = normal(rows, width).requires_grad_(), integers(rows, tokens)
    gradient = normal(index.shape[0], width, seed=1)

    def run() -> None:
        table.grad = None
        F.embedding(index, table).backward(gradient)
        done(table.grad)

    return run


_ALL = (
    gather,
    index_select,
    scatter_add,
    index_add,
    index_put,
    index_put_accumulate,
    cumsum_rows,
    cumsum_columns,
    sort,
    argsort,
    topk,
    embedding_backward,
)
_MORE = (
    sort_integers,
    topk_integers,
    kthvalue,
    median,
    argmax,
    max_along,
    cumprod,
    logcumsumexp,
    masked_select,
    nonzero,
)


def _add(make: Callable[..., Any], rows: int, width: int, quick: bool = False, **more: int) -> None:
    note = "".join(f", {name} {number}" for name, number in more.items())
    sizes = {"rows": rows, "width": width, **more}
    tiny = {"rows": 4, "width": 3, **dict.fromkeys(more, 2)}
    name = f"{make.__name__} {rows}×{width}{note}"
    add("indexing", name, make, sizes=sizes, tiny=tiny, quick=quick)


for _make in _ALL:
    for _rows, _width in ((64, 64), (1024, 1024), (20000, 64), (16, 65536)):
        _add(_make, _rows, _width, quick=_width == 1024)
for _make in _MORE:
    for _rows, _width in ((1024, 1024), (16, 65536)):
        _add(_make, _rows, _width)
for _make in (cumsum_rows, sort, topk, kthvalue, argmax, cumprod):
    _add(_make, 1, 1000000)
for _count in (1, 5, 50, 512):
    _add(topk, 1024, 1024, count=_count)
_add(topk, 64, 50000, count=50)
_add(index_add_edges, 2708, 64, edges=10556)
_add(embedding_backward, 50000, 384, tokens=8192)
_add(unique, 1024, 1024)
_add(one_hot, 8192, 1000)
