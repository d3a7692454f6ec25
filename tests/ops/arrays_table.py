"""Less common array operations: what gradient checks and the comparison with PyTorch walk over.

Each call takes a library and tensors made of the named arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

GENERATOR = np.random.default_rng(7)
ARRAYS: dict[str, np.ndarray] = {
    "x": GENERATOR.standard_normal((4, 5)),
    "y": GENERATOR.standard_normal((3, 5)),
    "cube": GENERATOR.standard_normal((2, 4, 6)),
    "line": GENERATOR.standard_normal(6),
    "points": np.cumsum(GENERATOR.random(4) + 0.1),
    "many": GENERATOR.standard_normal((30, 3)),
    "weights": GENERATOR.random(12),
    "square": GENERATOR.standard_normal((3, 3)),
    "counts": GENERATOR.integers(0, 6, 12),
    "table": GENERATOR.integers(-3, 4, (5, 7)),
    "places": GENERATOR.integers(0, 20, 6),
    "rows": np.array([2, 0]),
}
ARRAYS["holes"] = np.where(GENERATOR.random((4, 5)) < 0.3, np.nan, ARRAYS["x"])

Call = Callable[..., Any]

SMOOTH: dict[str, tuple[Call, str]] = {
    "cdist": (lambda t, x, y: t.cdist(x, y), "x y"),
    "cdist 1": (lambda t, x, y: t.cdist(x, y, p=1), "x y"),
    "cdist 3": (lambda t, x, y: t.cdist(x, y, p=3.0), "x y"),
    "cdist inf": (lambda t, x, y: t.cdist(x, y, p=float("inf")), "x y"),
    "cdist of batches": (lambda t, x: t.cdist(x, x[:1, :2] + 1), "cube"),
    "cdist of many": (lambda t, x: t.cdist(x, x[:5] + 0.5), "many"),
    "cdist to itself": (
        lambda t, x: t.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist"),
        "x",
    ),
    "pdist": (lambda t, x: t.pdist(x), "x"),
    "pdist 1": (lambda t, x: t.nn.functional.pdist(x, 1.0), "x"),
    "quantile": (lambda t, x: t.quantile(x, 0.3), "x"),
    "quantile along": (lambda t, x: x.quantile(0.75, dim=0, keepdim=True), "x"),
    "quantiles": (
        lambda t, x: t.quantile(x, t.tensor([0.1, 0.5, 1.0], dtype=x.dtype), dim=1),
        "x",
    ),
    "quantiles keepdim": (
        lambda t, x: t.quantile(x, t.tensor([0.1, 0.5], dtype=x.dtype), dim=1, keepdim=True),
        "cube",
    ),
    "quantile of all keepdim": (
        lambda t, x: t.quantile(x, t.tensor([0.1, 0.5], dtype=x.dtype), keepdim=True),
        "x",
    ),
    "quantile midpoint": (lambda t, x: t.quantile(x, 0.3, interpolation="midpoint"), "x"),
    "quantile lower": (lambda t, x: t.quantile(x, 0.3, dim=1, interpolation="lower"), "x"),
    "quantile higher": (lambda t, x: t.quantile(x, 0.3, dim=1, interpolation="higher"), "x"),
    "quantile nearest": (lambda t, x: t.quantile(x, 0.3, dim=1, interpolation="nearest"), "x"),
    "mode": (lambda t, x: t.mode(x, 1)[0], "x"),
    "cov": (lambda t, x: t.cov(x), "x"),
    "cov of a line": (lambda t, x: x.cov(correction=0), "line"),
    "corrcoef": (lambda t, x: t.corrcoef(x), "x"),
    "cumulative_trapezoid": (lambda t, x: t.cumulative_trapezoid(x, dx=0.5, dim=0), "x"),
    "cumulative_trapezoid over": (
        lambda t, x, p: t.cumulative_trapezoid(x[:, :4], p, dim=1),
        "x points",
    ),
    "trapz": (lambda t, x, p: t.trapz(x[:, :4], p), "x points"),
    "gradient": (lambda t, x: t.gradient(x), "x"),
    "gradient spaced": (lambda t, x: t.gradient(x, spacing=[2.0, 0.5], edge_order=2), "x"),
    "gradient of places": (lambda t, x, p: t.gradient(x, spacing=(p,), dim=0), "x points"),
    "renorm": (lambda t, x: t.renorm(x, 2, 0, 1.5), "x"),
    "trace": (lambda t, x: x.trace(), "x"),
    "diagflat": (lambda t, x: t.diagflat(x[:2, :2], 1), "x"),
    "as_strided": (lambda t, x: t.as_strided(x, (3, 4), (1, 2), 1), "x"),
    "as_strided windows": (lambda t, x: x.as_strided((4, 3), (1, 1)), "line"),
    "as_strided whole": (lambda t, x: x.as_strided((2, 5), (5, 1), 5), "x"),
    "select_scatter": (lambda t, x, y: t.select_scatter(x, y[0], 0, 2), "x y"),
    "slice_scatter": (lambda t, x, y: x.slice_scatter(y[:2], 0, 1, 4, 2), "x y"),
    "diagonal_scatter": (lambda t, x, y: x.diagonal_scatter(y[0, :4]), "x y"),
    "put": (lambda t, x, y, p: x.put(p % 20, y.flatten()[:6], accumulate=True), "x y places"),
    "index_reduce": (
        lambda t, x, y, r: x.index_reduce(0, r, y[:2], "mean"),
        "x y rows",
    ),
    "sum_to_size": (lambda t, x: x.sum_to_size(4, 1), "cube"),
    "hsplit": (lambda t, x: t.hsplit(x, [2, 3]), "x"),
    "vsplit": (lambda t, x: x.vsplit(2), "x"),
    "dsplit": (lambda t, x: t.dsplit(x, 3), "cube"),
    "ldexp": (lambda t, x: t.ldexp(x, t.tensor([1, 2, 3, 4, 5])), "x"),
    "combinations": (lambda t, x: t.combinations(x, 3), "line"),
    "combinations repeated": (
        lambda t, x: t.combinations(x, r=2, with_replacement=True),
        "line",
    ),
    "detach_copy": (lambda t, x: t.expand_copy(x[:1], (3, 5)), "x"),
}
"""Calls with a gradient."""

OTHERS: dict[str, tuple[Call, str]] = {
    "bincount": (lambda t, x: t.bincount(x), "counts"),
    "bincount minlength": (lambda t, x: x.bincount(minlength=9), "counts"),
    "bincount weights": (lambda t, x, w: t.bincount(x, w), "counts weights"),
    "histc": (lambda t, x: t.histc(x, 5), "x"),
    "histc between": (lambda t, x: x.histc(bins=4, min=-1, max=1), "x"),
    "histogram": (lambda t, x: t.histogram(x, 4), "x"),
    "histogram between": (
        lambda t, x, w: t.histogram(x.flatten()[:12], 3, range=(-1.0, 1.0), weight=w, density=True),
        "x weights",
    ),
    "histogram of edges": (
        lambda t, x: t.histogram(x, t.tensor([-1.0, 0.0, 0.5, 2.0], dtype=x.dtype)),
        "x",
    ),
    "isin": (lambda t, x: t.isin(x, t.tensor([1, 2])), "table"),
    "isin inverted": (lambda t, x: t.isin(x, 2, invert=True), "table"),
    "isin of one": (lambda t, x: t.isin(2, x), "table"),
    "mode": (lambda t, x: tuple(t.mode(x)), "table"),
    "mode keepdim": (lambda t, x: tuple(x.mode(0, keepdim=True)), "table"),
    "nanmedian": (lambda t, x: t.nanmedian(x), "holes"),
    "nanmedian along": (lambda t, x: x.nanmedian(1).values, "holes"),
    "nanquantile": (lambda t, x: t.nanquantile(x, 0.6, dim=1), "holes"),
    "nanquantiles": (
        lambda t, x: x.nanquantile(t.tensor([0.2, 0.6], dtype=x.dtype), dim=0, keepdim=True),
        "holes",
    ),
    "quantile of NaN": (lambda t, x: t.quantile(x, 0.5, dim=1), "holes"),
    "cov weighted": (
        lambda t, x, w: t.cov(x, fweights=t.tensor([1, 2, 1, 3, 1]), aweights=w[:5]),
        "x weights",
    ),
    "cov weighted by frequency": (
        lambda t, x: t.cov(x, fweights=t.tensor([1, 2, 1, 3, 1])),
        "x",
    ),
    "cdist 0": (lambda t, x, y: t.cdist(x, y, p=0), "x y"),
    "gcd": (lambda t, x: t.gcd(x, x.flip(0)), "table"),
    "lcm": (lambda t, x: x.lcm(x.flip(0)), "table"),
    "nextafter": (lambda t, x: t.nextafter(x, x + 1), "x"),
    "frexp": (lambda t, x: tuple(t.frexp(x * 100)), "x"),
    "unravel_index": (lambda t, x: t.unravel_index(x, (4, 5)), "places"),
    "range": (lambda t, x: t.range(1, 4, 0.5), "x"),
    "as_strided_scatter": (
        lambda t, x, y: x.as_strided_scatter(y[:2, :2], (2, 2), (5, 1), 3),
        "x y",
    ),
    "put": (lambda t, x, p: x.put(t.tensor([0, -1]), x[0, :2]), "x places"),
    "fill": (lambda t, x: t.fill(x, 3), "x"),
    "resize_": (lambda t, x: x.clone().resize_(2, 3), "x"),
    "resize_as_": (lambda t, x, y: x.clone().resize_as_(y), "x y"),
    "put_": (lambda t, x: x.clone().put_(t.tensor([1, 3]), x[1, :2]), "x"),
    "renorm_": (lambda t, x: x.clone().renorm_(1, 1, 2.0), "x"),
    "index_reduce_": (
        lambda t, x, y, r: x.clone().index_reduce_(0, r, y[:2], "amax", include_self=False),
        "x y rows",
    ),
    "map_": (lambda t, x, y: x[:3].clone().map_(y, lambda a, b: a * b), "x y"),
    "apply_": (lambda t, x: x.clone().apply_(lambda a: a + 1), "x"),
    "nonzero_static": (lambda t, x: t.nonzero_static(x, size=40), "table"),
    "typename": (lambda t, x: (len(t.typename(x.double())), len(t.typename("a"))), "x"),
}
"""Calls without a gradient."""

ERRORS: dict[str, tuple[Call, str, type[Exception]]] = {
    "cdist of columns": (lambda t, x: t.cdist(x, x[:, 1:]), "x", RuntimeError),
    "cdist of p": (lambda t, x: t.cdist(x, x, p=-1), "x", RuntimeError),
    "cdist of a line": (lambda t, x: t.cdist(x, x), "line", RuntimeError),
    "pdist of a line": (lambda t, x: t.pdist(x), "line", RuntimeError),
    "bincount of negative": (lambda t, x: t.bincount(x - 5), "counts", RuntimeError),
    "bincount of reals": (lambda t, x: t.bincount(x), "line", RuntimeError),
    "histc of no bins": (lambda t, x: t.histc(x, 0), "x", RuntimeError),
    "histc reversed": (lambda t, x: t.histc(x, 3, 2, 1), "x", RuntimeError),
    "quantile of 2": (lambda t, x: t.quantile(x, 2.0), "x", RuntimeError),
    "quantile of integers": (lambda t, x: t.quantile(x, 0.5), "table", RuntimeError),
    "quantile interpolation": (
        lambda t, x: t.quantile(x, 0.5, interpolation="cubic"),
        "x",
        RuntimeError,
    ),
    "mode of nothing": (lambda t, x: t.mode(x[:, :0]), "x", IndexError),
    "as_strided beyond": (lambda t, x: x.as_strided((5,), (5,)), "x", RuntimeError),
    "put of few": (lambda t, x: x.put(t.tensor([1]), x[0]), "x", IndexError),
    "trace of a line": (lambda t, x: t.trace(x), "line", RuntimeError),
    "hsplit uneven": (lambda t, x: t.hsplit(x, 2), "x", RuntimeError),
    "slice_scatter of more": (lambda t, x: t.slice_scatter(x, x, 0, 1), "x", RuntimeError),
    "renorm of p": (lambda t, x: t.renorm(x, 0, 0, 1), "x", RuntimeError),
    "_assert": (lambda t, x: t._assert(bool((x > 9).any()), "no"), "x", AssertionError),
    "gradient of order 3": (lambda t, x: t.gradient(x, edge_order=3), "x", RuntimeError),
    "combinations of a matrix": (lambda t, x: t.combinations(x), "x", RuntimeError),
    "sum_to_size": (lambda t, x: x.sum_to_size(3, 5), "x", RuntimeError),
}
