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


def topk(rows: int, width: int) -> Any:
    x, count = normal(rows, width), min(10, width)
    return _timed(lambda: torch.topk(x, count, 1))


def embedding_backward(rows: int, width: int) -> Any:
    table, index = normal(rows, width).requires_grad_(), integers(rows, 4 * rows // 5 + 1)
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
for _make in _ALL:
    for _rows, _width in ((64, 64), (1024, 1024), (20000, 64)):
        add(
            "indexing",
            f"{_make.__name__} {_rows}×{_width}",
            _make,
            sizes={"rows": _rows, "width": _width},
            tiny={"rows": 4, "width": 3},
            quick=_width == 1024,
        )
for _make in (cumsum_rows, sort, topk):
    add(
        "indexing",
        f"{_make.__name__} 1×1000000",
        _make,
        sizes={"rows": 1, "width": 1000000},
        tiny={"width": 9},
        quick=False,
    )
