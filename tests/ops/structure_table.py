"""The table of operations on shapes, indices, matrices, images and rows.

Each case names an operation, its arguments and what they are made of. The table serves three
tests: every device against the reference, gradients against differences, and PyTorch's answers.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Data:
    """An array that a case is made of."""

    kind: str
    shape: tuple[int, ...]
    high: int = 0

    def make(self, generator: np.random.Generator) -> Array:
        if self.kind == "int":
            return generator.integers(0, self.high, self.shape)
        if self.kind == "mask":
            return generator.random(self.shape) < 0.5
        if self.kind == "unit":
            return (0.1 + 0.8 * generator.random(self.shape)).astype(np.float32)
        values = generator.standard_normal(self.shape).astype(np.float32)
        if self.kind == "sign":
            return np.where(values < 0, -1, 1).astype(np.float32)
        if self.kind == "sorted":
            return np.sort(values, -1)
        if self.kind == "positive":
            return np.abs(values) + np.float32(0.1)
        if self.kind == "share":
            values = np.exp(values)
            return values / values.sum(1, keepdims=True)
        return values


def real(*shape: int) -> Data:
    return Data("real", shape)


def places(high: int, *shape: int) -> Data:
    """Integers from 0 to below `high`."""
    return Data("int", shape, high)


def mask(*shape: int) -> Data:
    return Data("mask", shape)


def unit(*shape: int) -> Data:
    return Data("unit", shape)


def positive(*shape: int) -> Data:
    return Data("positive", shape)


def sign(*shape: int) -> Data:
    return Data("sign", shape)


def given(*values: int) -> Array:
    return np.array(values)


@dataclass(frozen=True)
class Case:
    """A call of `name`: a method ("Tensor.x"), a function, or one of nn.functional ("F.x").

    `fixed` numbers the arguments (positions or names) that get no gradient. `smooth` says whether
    gradients agree with differences on this data.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    fixed: tuple[Any, ...] = ()
    smooth: bool = True

    def __str__(self) -> str:
        shown = [*map(_shown, self.args), *(f"{k}={_shown(v)}" for k, v in self.kwargs.items())]
        return f"{self.name}({','.join(shown)})"

    def arrays(self) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, arrays made of the case's own numbers."""
        generator = np.random.default_rng(zlib.crc32(str(self).encode()))
        args = [_made(each, generator) for each in self.args]
        return args, {name: _made(each, generator) for name, each in self.kwargs.items()}

    def function(self, torch: Any, functional: Any) -> Callable[..., Any]:
        kind, _, name = self.name.rpartition(".")
        return getattr({"F": functional, "Tensor": torch.Tensor, "": torch}[kind], name)


def _shown(value: Any) -> str:
    if isinstance(value, Data):
        return f"{value.kind}{'x'.join(map(str, value.shape))}"
    if isinstance(value, np.ndarray):
        return "x".join(map(str, value.ravel()))
    if isinstance(value, (list, tuple)):
        return "(" + ",".join(map(_shown, value)) + ")"
    return str(value)


def _made(value: Any, generator: np.random.Generator) -> Any:
    if isinstance(value, Data):
        return value.make(generator)
    if isinstance(value, (list, tuple)):
        return type(value)([_made(each, generator) for each in value])
    return value


def convert(value: Any, to: Callable[[Array], Any]) -> Any:
    """Arrays within arguments as tensors."""
    if isinstance(value, np.ndarray):
        return to(value)
    if isinstance(value, (list, tuple)):
        return type(value)([convert(each, to) for each in value])
    return value


def tensors(value: Any, kind: type) -> list[Any]:
    """All tensors within arguments or results."""
    if isinstance(value, kind):
        return [value]
    if isinstance(value, (list, tuple)):
        return [found for each in value for found in tensors(each, kind)]
    return []


x3 = real(2, 3, 4)

SHAPE = [
    Case("reshape", (x3, (3, 8))),
    Case("reshape", (x3, (-1,))),
    Case("flatten", (x3, 1)),
    Case("squeeze", (real(1, 3, 1),)),
    Case("squeeze", (real(1, 3, 1), 0)),
    Case("unsqueeze", (x3, -2)),
    Case("permute", (x3, (2, 0, 1))),
    Case("transpose", (x3, 0, 2)),
    Case("movedim", (x3, 0, 2)),
    Case("Tensor.expand", (real(3, 1), 2, 3, 4)),
    Case("broadcast_to", (real(3, 1), (2, 3, 4))),
    Case("unflatten", (x3, 2, (2, -1))),
    Case("Tensor.repeat", (x3, 2, 1, 1, 2)),
    Case("repeat_interleave", (x3, 3, 1)),
    Case("repeat_interleave", (real(3, 2), given(2, 0, 1), 0)),
    Case("tile", (x3, (2,))),
    Case("cat", ([x3, real(2, 1, 4)], 1)),
    Case("stack", ([real(2, 3), real(2, 3)], -1)),
    Case("hstack", ([real(2), real(3)],)),
    Case("vstack", ([real(3), real(3)],)),
    Case("dstack", ([real(2, 3), real(2, 3)],)),
    Case("column_stack", ([real(2), real(2, 3)],)),
    Case("split", (x3, 3, 2)),
    Case("split", (x3, [1, 3], 2)),
    Case("chunk", (x3, 3, 2)),
    Case("tensor_split", (x3, 3, 2)),
    Case("tensor_split", (x3, (1, 3), 2)),
    Case("unbind", (x3, 1)),
    Case("narrow", (x3, 1, 1, 2)),
    Case("select", (x3, 2, -1)),
    Case("flip", (x3, (0, 2))),
    Case("roll", (x3, 5, 1)),
    Case("roll", (x3, (1, -2), (0, 2))),
    Case("roll", (x3, 5)),
    Case("rot90", (x3, 1, (0, 2))),
    Case("rot90", (x3, 2, (0, 1))),
    Case("rot90", (x3, 3, (2, 1))),
    Case("tril", (x3,)),
    Case("tril", (x3, -1)),
    Case("triu", (x3, 1)),
    Case("diag", (real(3),)),
    Case("diag", (real(3, 4), 1)),
    Case("diagonal", (x3, 1, 1, 2)),
    Case("diagonal", (x3, -1, 2, 0)),
    Case("diag_embed", (real(2, 3), 1)),
    Case("diag_embed", (real(2, 3), -1, 0, 2)),
    Case("block_diag", (real(2, 3), real(1, 2))),
    Case("meshgrid", (real(2), real(3)), {"indexing": "xy"}),
    Case("cartesian_prod", (real(2), real(3))),
    Case("Tensor.unfold", (x3, 2, 2, 1)),
    Case("Tensor.unfold", (real(7), 0, 3, 2)),
    Case("F.pad", (x3, (1, 2))),
    Case("F.pad", (x3, (1, -1, 2, 0)), {"value": 2.5}),
    Case("F.pad", (x3, (2, 1)), {"mode": "reflect"}),
    Case("F.pad", (real(1, 2, 3, 4), (2, 1, 0, 2)), {"mode": "reflect"}),
    Case("F.pad", (x3, (2, 1)), {"mode": "replicate"}),
    Case("F.pad", (real(1, 2, 3, 4), (2, 0, 1, 2)), {"mode": "replicate"}),
    Case("F.pad", (x3, (-4, 5)), {"mode": "replicate"}),
    Case("F.pad", (x3, (2, -3)), {"mode": "replicate"}),
    Case("F.pad", (x3, (2, 3)), {"mode": "circular"}),
]

INDEX = [
    Case("gather", (real(3, 4), 0, places(3, 2, 2))),
    Case("gather", (x3, 2, places(4, 2, 2, 5))),
    Case("take", (real(3, 4), given(0, -1, 5))),
    Case("take_along_dim", (real(3, 4), places(4, 3, 2), 1)),
    Case("take_along_dim", (real(3, 4), given(-1, 0, -4).reshape(3, 1), 1)),
    Case("index_select", (real(3, 4), 1, given(3, 0, 0))),
    Case("scatter", (real(3, 4), 1, given(1, 0, 3).reshape(3, 1), real(3, 1))),
    Case("scatter", (real(3, 4), 0, given(1, 0).reshape(1, 2), 1.5)),
    Case(
        "scatter",
        (real(3, 4), 1, given(0, 2).reshape(1, 2), real(1, 2)),
        {"reduce": "add"},
        fixed=(0, 3),
    ),
    Case("scatter_add", (real(3, 4), 1, places(4, 3, 6), real(3, 6))),
    Case("scatter_reduce", (real(3, 4), 1, places(4, 3, 6), real(3, 6), "sum")),
    Case("scatter_reduce", (real(3, 4), 1, places(4, 3, 6), real(3, 6), "mean")),
    Case("scatter_reduce", (real(3, 4), 1, places(4, 3, 6), real(3, 6), "prod")),
    Case("scatter_reduce", (places(2, 3, 4), 1, places(4, 3, 6), places(2, 3, 6), "prod")),
    Case("scatter_reduce", (places(9, 3, 4), 1, places(4, 3, 6), places(9, 3, 6), "amin")),
    Case("scatter_reduce", (real(3, 4), 1, places(4, 3, 6), real(3, 6), "amax")),
    Case("scatter_reduce", (real(3, 4), 1, places(4, 3, 6), real(3, 6), "amin")),
    Case(
        "scatter_reduce",
        (real(3, 4), 1, places(4, 3, 6), real(3, 6), "prod"),
        {"include_self": False},
        fixed=(0, 3),
    ),
    Case("index_add", (real(3, 4), 0, given(0, 2, 0), real(3, 4)), {"alpha": 2.0}),
    Case("index_copy", (real(3, 4), 1, given(0, 2), real(3, 2))),
    Case("index_fill", (real(3, 4), 1, given(0, 2), 7.0)),
    Case("index_put", (real(3, 4), (given(0, 2), given(1, 1)), real(2))),
    Case("index_put", (real(3, 4), (given(0, 0), given(1, 1)), real(2)), {"accumulate": True}),
    Case("masked_fill", (real(3, 4), mask(4), 2.0)),
    Case("masked_fill", (places(5, 3, 4), mask(4), 2.7)),
    Case("masked_select", (real(3, 4), mask(3, 4))),
    Case("masked_scatter", (real(3, 4), mask(3, 4), real(12))),
    Case("masked_scatter", (real(4), mask(3, 4), real(12))),
    Case("nonzero", (places(2, 3, 4),)),
    Case("argwhere", (places(2, 3, 4),)),
    Case("F.embedding", (places(5, 2, 3), real(5, 4))),
    Case("F.embedding", (places(5, 2, 3), real(5, 4)), {"padding_idx": 1}, smooth=False),
    Case("F.one_hot", (places(4, 3, 2), 6)),
]

MATMUL = [
    *[
        Case("matmul", (real(*left), real(*right)))
        for left, right in (
            ((2, 3), (3, 4)),
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 4)),
            ((2, 5, 3), (3, 4)),
            ((2, 5, 3), (2, 3, 4)),
            ((5, 3), (2, 3, 4)),
            ((3,), (2, 3, 4)),
            ((2, 5, 3), (3,)),
            ((2, 1, 5, 3), (4, 3, 2)),
        )
    ],
    Case("matmul", (places(5, 2, 3), places(5, 3, 2))),
    Case("bmm", (real(2, 3, 4), real(2, 4, 5))),
    Case("mv", (real(2, 3), real(3))),
    Case("dot", (real(3), real(3))),
    Case("outer", (real(2), real(3))),
    Case("inner", (real(2, 3), real(4, 3))),
    Case("addmm", (real(4), real(2, 3), real(3, 4)), {"beta": 0.5, "alpha": 2.0}),
    Case("addmv", (real(2), real(2, 3), real(3))),
    Case("baddbmm", (real(2, 3, 5), real(2, 3, 4), real(2, 4, 5))),
    Case("addbmm", (real(3, 5), real(2, 3, 4), real(2, 4, 5))),
    Case("addr", (real(2, 3), real(2), real(3))),
    Case("tensordot", (x3, real(4, 3, 5), ([1, 2], [1, 0]))),
    Case("tensordot", (real(2, 1), real(3, 4), ([1], [0]))),
    Case("kron", (real(2, 3), real(3, 2))),
    Case("F.linear", (real(2, 5, 3), real(4, 3), real(4))),
    Case("F.linear", (real(3), real(4, 3))),
    Case("F.bilinear", (real(2, 3), real(2, 4), real(5, 3, 4), real(5))),
    *[
        Case("einsum", (equation, *[real(*shape) for shape in shapes]))
        for equation, *shapes in (
            ("ij,jk->ik", (2, 3), (3, 4)),
            ("bhid,bhjd->bhij", (2, 2, 3, 4), (2, 2, 5, 4)),
            ("ii->i", (3, 3)),
            ("ii", (3, 3)),
            ("ij->ji", (2, 3)),
            ("ij->", (2, 3)),
            ("i,j->ij", (2,), (3,)),
            ("...ij,...jk->...ik", (2, 3, 4), (4, 5)),
            ("ij,j,ik->ik", (2, 3), (3,), (2, 4)),
            ("bn,anm,bm->ba", (2, 3), (5, 3, 4), (2, 4)),
            ("ij,ij->ij", (2, 3), (1, 3)),
        )
    ],
]

_image, _taps = real(2, 4, 6, 5), real(6, 4, 3, 3)

CONV = [
    Case("F.conv2d", (_image, _taps, real(6))),
    Case("F.conv2d", (_image, _taps), {"stride": 2, "padding": 1}),
    Case("F.conv2d", (_image, _taps), {"dilation": 2, "padding": (2, 1)}),
    Case("F.conv2d", (_image, _taps), {"padding": "same", "dilation": 2}),
    Case("F.conv2d", (_image, real(6, 2, 3, 2)), {"groups": 2}),
    Case("F.conv2d", (_image, real(4, 1, 3, 3)), {"groups": 4, "padding": 1}),
    Case("F.conv2d", (real(4, 6, 5), _taps, real(6))),
    Case("F.conv1d", (real(2, 4, 9), real(3, 4, 3), real(3)), {"stride": 2, "padding": 1}),
    Case("F.conv3d", (real(1, 2, 3, 4, 3), real(3, 2, 2, 3, 2)), {"padding": 1}),
    Case("F.conv_transpose2d", (real(2, 4, 3, 4), real(4, 3, 3, 3), real(3)), {"stride": 2}),
    Case(
        "F.conv_transpose2d",
        (real(2, 4, 3, 4), real(4, 3, 3, 3)),
        {"stride": 2, "padding": 1, "output_padding": 1},
    ),
    Case(
        "F.conv_transpose2d",
        (real(1, 2, 3, 3), real(2, 3, 3, 3)),
        {"dilation": 3, "output_padding": 2},
    ),
    Case("F.conv_transpose2d", (real(2, 4, 3, 4), real(4, 3, 3, 3)), {"groups": 2}),
    Case("F.conv_transpose1d", (real(2, 4, 5), real(4, 3, 3)), {"stride": 2}),
    Case("F.conv_transpose3d", (real(1, 2, 2, 2, 2), real(2, 2, 2, 2, 2)), {"stride": 2}),
]

_WINDOWS: list[dict[str, Any]] = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 2, "stride": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True, "padding": 1},
    {"kernel_size": (2, 3)},
    {"kernel_size": 2, "stride": 3, "ceil_mode": True},
]

POOL = [
    *[Case("F.max_pool2d", (real(2, 3, 6, 6),), each) for each in _WINDOWS],
    *[Case("F.max_pool2d", (real(3, 7, 5),), each | {"return_indices": True}) for each in _WINDOWS],
    *[Case("F.avg_pool2d", (real(2, 3, 7, 6),), each) for each in _WINDOWS],
    Case("F.avg_pool2d", (real(1, 2, 7, 6), 3, 2, 1, True, False)),
    Case("F.avg_pool2d", (real(1, 2, 4, 4), 2), {"divisor_override": 3}),
    Case("F.max_pool2d", (real(1, 2, 7, 7), 3, 2, 1, 2)),
    Case("F.max_pool2d", (places(3, 1, 2, 4, 4), 2)),
    Case("F.max_pool1d", (real(2, 3, 8), 3, 2, 1)),
    Case("F.avg_pool1d", (real(2, 3, 8), 3, 2, 1)),
    Case("F.max_pool3d", (real(1, 2, 4, 4, 4), 2)),
    Case("F.avg_pool3d", (real(1, 2, 4, 4, 4), 2)),
    *[
        Case(f"F.adaptive_{kind}_pool2d", (real(2, 3, 6, 8), size))
        for kind in ("avg", "max")
        for size in (1, 2, (2, 4), (None, 3), 5, 7)
    ],
    Case("F.adaptive_avg_pool1d", (real(2, 3, 7), 3)),
]

NORM = [
    *[
        Case("F.batch_norm", (real(*shape), None, None, real(3), real(3), True))
        for shape in ((4, 3), (4, 3, 5), (2, 3, 4, 4))
    ],
    Case("F.batch_norm", (real(4, 3, 5), real(3), positive(3), real(3), real(3)), fixed=(1, 2)),
    Case("F.layer_norm", (x3, (4,), real(4), real(4))),
    Case("F.layer_norm", (x3, (3, 4), real(3, 4))),
    Case("F.layer_norm", (x3, (4,))),
    Case("F.rms_norm", (x3, (4,), real(4))),
    Case("F.rms_norm", (x3, (4,), None, 1e-5)),
    Case("F.group_norm", (real(2, 4, 5), 2, real(4), real(4))),
    Case("F.group_norm", (real(2, 4, 3, 3), 4)),
    Case("F.instance_norm", (real(2, 3, 4, 5),), {"weight": real(3), "bias": real(3)}),
    Case("F.local_response_norm", (real(2, 5, 4), 3)),
    Case("F.normalize", (real(3, 4),)),
    Case("F.normalize", (real(3, 4),), {"p": 1.0, "dim": 0}),
    Case("F.cosine_similarity", (real(3, 4), real(1, 4))),
    Case("F.pairwise_distance", (real(3, 4), real(3, 4))),
    Case("F.pairwise_distance", (real(3, 4), real(3, 4)), {"p": 1.0, "keepdim": True}),
]


def _losses(reduction: str) -> list[Case]:
    how = {"reduction": reduction}
    rows, classes = real(4, 5), places(5, 4)
    weighted = how | {"weight": positive(5)}
    return [
        Case("F.cross_entropy", (rows, classes), how),
        Case("F.cross_entropy", (real(2, 5, 3), places(5, 2, 3)), how),
        Case("F.cross_entropy", (real(5), places(5)), how),
        Case("F.cross_entropy", (rows, classes), weighted, fixed=("weight",)),
        Case("F.cross_entropy", (rows, classes), how | {"ignore_index": 2}),
        Case("F.cross_entropy", (rows, classes), how | {"label_smoothing": 0.1}),
        Case(
            "F.cross_entropy",
            (rows, classes),
            weighted | {"label_smoothing": 0.2, "ignore_index": 1},
            fixed=("weight",),
        ),
        Case("F.cross_entropy", (rows, Data("share", (4, 5))), how),
        Case("F.cross_entropy", (rows, Data("share", (4, 5))), weighted | {"label_smoothing": 0.1}),
        Case("F.nll_loss", (rows, classes), how),
        Case(
            "F.nll_loss",
            (real(4, 5, 2), places(5, 4, 2)),
            weighted | {"ignore_index": 0},
            fixed=("weight",),
        ),
        Case("F.mse_loss", (real(3, 4), real(3, 4)), how),
        Case("F.l1_loss", (real(3, 4), real(3, 4)), how),
        Case("F.smooth_l1_loss", (real(3, 4), real(3, 4)), how | {"beta": 0.5}),
        Case("F.huber_loss", (real(3, 4), real(3, 4)), how | {"delta": 0.5}),
        Case("F.soft_margin_loss", (real(3, 4), sign(3, 4)), how, fixed=(1,)),
        Case("F.binary_cross_entropy", (unit(3, 4), unit(3, 4)), how),
        Case("F.binary_cross_entropy_with_logits", (real(3, 4), unit(3, 4)), how),
        Case(
            "F.binary_cross_entropy_with_logits",
            (real(3, 4), unit(3, 4)),
            how | {"pos_weight": positive(4), "weight": positive(3, 4)},
            fixed=("pos_weight", "weight"),
        ),
        Case("F.kl_div", (real(3, 4), unit(3, 4)), how),
        Case("F.kl_div", (real(3, 4), real(3, 4)), how | {"log_target": True}),
        Case("F.margin_ranking_loss", (real(4), real(4), sign(4)), how | {"margin": 0.3}),
        Case("F.hinge_embedding_loss", (real(4), sign(4)), how, fixed=(1,)),
        Case("F.cosine_embedding_loss", (real(4, 3), real(4, 3), sign(4)), how, fixed=(2,)),
        Case("F.triplet_margin_loss", (real(4, 3), real(4, 3), real(4, 3)), how),
        Case("F.triplet_margin_loss", (real(4, 3), real(4, 3), real(4, 3)), how | {"swap": True}),
        Case("F.poisson_nll_loss", (real(4), positive(4)), how | {"full": True}, fixed=(1,)),
        Case("F.gaussian_nll_loss", (real(4), real(4), positive(4)), how | {"full": True}),
    ]


LOSS = [
    *_losses("mean"),
    *_losses("sum"),
    *_losses("none"),
    Case("F.kl_div", (real(3, 4), unit(3, 4)), {"reduction": "batchmean"}),
]

SORT = [
    Case("sort", (real(3, 4),)),
    Case("sort", (x3, 1, True)),
    Case("argsort", (real(3, 4), 0)),
    Case("topk", (real(3, 5), 2)),
    Case("topk", (x3, 2, 1, False)),
    Case("kthvalue", (x3, 2, 1)),
    Case("median", (real(3, 5),)),
    Case("median", (real(3, 4), 1, True)),
    Case("unique", (places(4, 10),), {"return_inverse": True, "return_counts": True}),
    Case("unique_consecutive", (places(2, 10),), {"return_counts": True}),
    Case("searchsorted", (Data("sorted", (2, 6)), real(2, 3)), fixed=(0, 1)),
    Case("bucketize", (real(4), Data("sorted", (5,))), {"right": True}, fixed=(0, 1)),
]

_attention = "F.scaled_dot_product_attention"

ATTENTION = [
    Case(_attention, (real(2, 3, 4, 5), real(2, 3, 6, 5), real(2, 3, 6, 7))),
    Case(_attention, (real(2, 4, 5), real(2, 4, 5), real(2, 4, 5)), {"is_causal": True}),
    Case(_attention, (real(2, 4, 5), real(2, 6, 5), real(2, 6, 7), real(4, 6)), {"scale": 0.3}),
    Case(_attention, (real(2, 4, 5), real(2, 6, 5), real(2, 6, 7), mask(4, 6))),
    Case(_attention, (real(2, 4, 4, 5), real(2, 2, 6, 5), real(2, 2, 6, 7)), {"enable_gqa": True}),
]

FAMILIES = {
    "shape": SHAPE,
    "index": INDEX,
    "matmul": MATMUL,
    "conv": CONV,
    "pool": POOL,
    "norm": NORM,
    "loss": LOSS,
    "sort": SORT,
    "attention": ATTENTION,
}
ALL = [case for family in FAMILIES.values() for case in family]
