"""Every operation of the table side by side with PyTorch: results, dtypes, gradients, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from structure_table import ALL, Case, convert, given, places, real, tensors

import flambeau
from flambeau.nn import functional

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def answers(
    case: Case, library: Any, f: Any, kind: type, to: Callable[..., Any]
) -> tuple[list[Any], list[Any]]:
    """Results and gradients of the sum of their products with fixed numbers."""
    args, kwargs = case.arrays()
    made = [convert(each, to) for each in args]
    named = {name: convert(each, to) for name, each in kwargs.items()}
    wanted = [
        each.requires_grad_()
        for key, value in [*enumerate(made), *named.items()]
        for each in tensors(value, kind)
        if each.is_floating_point() and key not in case.fixed
    ]
    results = tensors(case.function(library, f)(*made, **named), kind)
    total: Any = None
    for each in results:
        if each.requires_grad:
            weights = np.cos(np.arange(each.numel())).reshape(tuple(each.shape))
            term = (each * to(weights.astype(np.float32))).sum()
            total = term if total is None else total + term
    if total is not None:
        total.backward()
    return results, [each.grad for each in wanted]


@pytest.mark.parametrize("case", ALL, ids=str)
def test_results_and_gradients(case: Case, every_device: str) -> None:
    with flambeau.device(every_device):
        found, gradients = answers(case, flambeau, functional, flambeau.Tensor, flambeau.tensor)
    expected, wanted = answers(
        case, torch, torch.nn.functional, torch.Tensor, lambda array: torch.tensor(array)
    )
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert tuple(one.shape) == tuple(other.shape)
        assert repr(one.dtype) == repr(other.dtype)
        near(one, other)
    for one, other in zip(gradients, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            near(one, other)


def near(one: Any, other: Any) -> None:
    np.testing.assert_allclose(
        one.detach().cpu().numpy(), other.detach().numpy(), rtol=2e-5, atol=2e-5
    )


_two = real(2, 3)
_filters = real(4, 3, 3, 3)

ERRORS = [
    Case("transpose", (_two, 0, 5)),
    Case("Tensor.view", (_two, 4)),
    Case("Tensor.view", (_two, -1, 4)),
    Case("Tensor.view", (_two, -1, -1)),
    Case("Tensor.expand", (_two, 3)),
    Case("Tensor.expand", (_two, 2, 4)),
    Case("Tensor.expand", (_two, -1, 2, 3)),
    Case("permute", (_two, (0, 0))),
    Case("permute", (_two, (0,))),
    Case("permute", (_two, (0, 3))),
    Case("t", (real(2, 3, 4),)),
    Case("unflatten", (_two, 1, (2, 2))),
    Case("cat", ([],)),
    Case("cat", ([_two, real(3, 2)],)),
    Case("cat", ([_two, real(3)],)),
    Case("stack", ([_two, real(3, 2)],)),
    Case("stack", ([],)),
    Case("hstack", ([],)),
    Case("split", (_two, 0)),
    Case("split", (_two, [1, 2])),
    Case("chunk", (_two, 0)),
    Case("narrow", (_two, 0, 1, 2)),
    Case("narrow", (_two, 0, 0, -1)),
    Case("select", (_two, 0, 5)),
    Case("select", (_two, 3, 5)),
    Case("squeeze", (real(2), 3)),
    Case("unsqueeze", (real(2), 3)),
    Case("diagonal", (_two, 0, 0, 0)),
    Case("Tensor.unfold", (real(3, 4), 1, 5, 1)),
    Case("Tensor.unfold", (real(3, 4), 1, 2, 0)),
    Case("Tensor.repeat", (real(2, 2), 2)),
    Case("repeat_interleave", (real(2), given(1, 2, 3), 0)),
    Case("roll", (real(2, 2), (1, 2))),
    Case("tril", (real(2),)),
    Case("flip", (real(2, 2), (0, 0))),
    Case("diag", (real(2, 2, 2),)),
    Case("tensor_split", (real(4), 0)),
    Case("rot90", (real(2, 2), 1, [0, 0])),
    Case("movedim", (_two, (0, 1), (0, 0))),
    Case("matmul", (_two, real(4, 5))),
    Case("matmul", (real(2), real(3))),
    Case("matmul", (_two, real(4))),
    Case("matmul", (real(3), real(4, 2))),
    Case("matmul", (real(2, 3, 4), real(2, 5, 6))),
    Case("matmul", (real(2, 3, 4), real(5, 6))),
    Case("matmul", (real(), real(2))),
    Case("matmul", (real(2, 3, 4), real(5))),
    Case("matmul", (real(5), real(2, 3, 4))),
    Case("matmul", (_two, places(3, 3, 2))),
    Case("mm", (_two, real(3))),
    Case("bmm", (_two, real(2, 3, 4))),
    Case("bmm", (real(2, 3, 4), real(2, 3, 4))),
    Case("mv", (_two, real(2))),
    Case("dot", (real(2, 2), real(2))),
    Case("outer", (real(2, 2), real(2))),
    Case("addmm", (real(3), _two, real(4, 5))),
    Case("addmm", (real(3), _two, real(3, 5))),
    Case("einsum", ("ij,jk", _two, real(4, 5))),
    Case("einsum", ("ij,jk->il", _two, real(3, 5))),
    Case("einsum", ("ijk", _two)),
    Case("F.linear", (_two, real(4, 5))),
    Case("F.linear", (_two, real(4, 3), real(5))),
    Case("F.linear", (real(2, 2, 3), real(4, 5))),
    Case("F.conv2d", (real(1, 2, 8, 8), _filters)),
    Case("F.conv2d", (real(8, 8), _filters)),
    Case("F.conv2d", (real(1, 3, 2, 2), _filters)),
    Case("F.conv2d", (real(1, 3, 8, 8), _filters, real(3))),
    Case("F.conv2d", (real(1, 3, 8, 8), _filters), {"stride": 2, "padding": "same"}),
    Case("F.conv2d", (real(1, 3, 8, 8), _filters), {"padding": "x"}),
    Case("F.conv2d", (real(1, 3, 8, 8), _filters), {"padding": -1}),
    Case("F.conv2d", (real(1, 3, 8, 8), _filters), {"stride": 0}),
    Case("F.conv2d", (real(1, 3, 8, 8), _filters), {"stride": (1, 1, 1)}),
    Case("F.conv2d", (real(1, 3, 8, 8), _filters), {"groups": 2}),
    Case("F.conv2d", (real(1, 4, 8, 8), real(3, 2, 3, 3)), {"groups": 2}),
    Case("F.conv_transpose2d", (real(1, 2, 8, 8), _filters)),
    Case("F.conv_transpose2d", (real(1, 4, 8, 8), _filters), {"output_padding": 1}),
    Case("F.max_pool2d", (real(8, 8), 2)),
    Case("F.max_pool2d", (real(1, 1, 8, 8), 2), {"padding": 2}),
    Case("F.max_pool2d", (real(1, 1, 1, 1), 2)),
    Case("F.max_pool2d", (real(1, 1, 8, 8), (1, 2, 3))),
    Case("F.max_pool1d", (real(8), 2)),
    Case("F.avg_pool2d", (real(1, 1, 1, 1), 2)),
    Case("F.adaptive_avg_pool2d", (real(8, 8), 2)),
    Case("F.batch_norm", (_two, real(2), real(2))),
    Case("F.batch_norm", (real(1, 3), real(3), real(3)), {"training": True}),
    Case("F.batch_norm", (_two, None, None)),
    Case("F.batch_norm", (_two, real(3), real(3), real(4))),
    Case("F.layer_norm", (_two, (4,))),
    Case("F.layer_norm", (_two, (3,), real(4))),
    Case("F.layer_norm", (_two, ())),
    Case("F.group_norm", (real(2, 3, 4), 2)),
    Case("F.group_norm", (real(2, 4, 4), 2, real(3))),
    Case("F.instance_norm", (real(2, 3, 1),)),
    Case("F.cross_entropy", (_two, given(0))),
    Case("F.cross_entropy", (_two, real(2, 4))),
    Case("F.cross_entropy", (_two, real(2))),
    Case("F.cross_entropy", (_two, given(0, 1), real(4))),
    Case("F.cross_entropy", (_two, given(0, 1)), {"reduction": "x"}),
    Case("F.cross_entropy", (_two, given(0, 1)), {"label_smoothing": 2.0}),
    Case("F.cross_entropy", (real(2, 3, 4), places(3, 2, 5))),
    Case("F.cross_entropy", (real(3), given(0, 7))),
    Case("F.cross_entropy", (_two, given(0, 5))),
    Case("F.cross_entropy", (_two, given(0, -1))),
    Case("F.nll_loss", (_two, given(0, 7))),
    Case("F.mse_loss", (_two, real(2, 4))),
    Case("F.binary_cross_entropy", (real(2), real(3))),
    Case("F.binary_cross_entropy_with_logits", (real(2), real(3))),
    Case("F.smooth_l1_loss", (real(2), real(2)), {"beta": -1.0}),
    Case("F.embedding", (given(5), real(3, 2))),
    Case("F.embedding", (given(-1), real(3, 2))),
    Case("F.embedding", (real(2), real(3, 2))),
    Case("F.embedding", (given(0), real(3, 2)), {"padding_idx": 5}),
    Case("F.embedding", (given(0), real(3))),
    Case("F.pad", (_two, (1,))),
    Case("F.pad", (_two, (1, 1, 1, 1, 1, 1))),
    Case("F.pad", (_two, (3, 3)), {"mode": "reflect"}),
    Case("F.pad", (_two, (4, 4)), {"mode": "circular"}),
    Case("F.pad", (_two, (1, 1)), {"mode": "x"}),
    Case("F.pad", (_two, (1, 1, 1, 1)), {"mode": "reflect"}),
    Case("F.one_hot", (real(1),)),
    Case("gather", (_two, 1, given(5))),
    Case("gather", (_two, 0, places(1, 2, 4))),
    Case("gather", (_two, 1, real(2, 4))),
    Case("scatter", (_two, 1, given(0, 1).reshape(1, 2), real(1, 1))),
    Case("index_select", (_two, 0, given(5))),
    Case("index_select", (_two, 0, given(1).reshape(1, 1))),
    Case("index_add", (_two, 0, given(0), real(2, 3))),
    Case("take", (_two, given(9))),
    Case("masked_fill", (_two, real(2, 3), 1.0)),
    Case("topk", (real(3), 5)),
    Case("sort", (real(3), 2)),
    Case("kthvalue", (real(3), 4)),
    Case("F.scaled_dot_product_attention", (real(2, 3, 4),) * 3 + (real(3, 3), 0.0, True)),
]


@pytest.mark.parametrize("case", ERRORS, ids=str)
def test_errors(case: Case, every_device: str) -> None:
    """The same exception type, and PyTorch's message with perhaps more behind it."""
    args, kwargs = case.arrays()

    def call(library: Any, f: Any, to: Callable[..., Any]) -> None:
        results = case.function(library, f)(
            *[convert(each, to) for each in args],
            **{name: convert(each, to) for name, each in kwargs.items()},
        )
        for each in tensors(results, library.Tensor):
            each.detach().cpu().numpy()  # what an index refers to is seen when it is computed

    with pytest.raises(Exception) as expected:  # noqa: PT011  # whatever PyTorch raises
        call(torch, torch.nn.functional, lambda array: torch.tensor(array))
    with flambeau.device(every_device), pytest.raises(expected.type) as found:
        call(flambeau, functional, flambeau.tensor)
    message = str(expected.value).split("\n")[0].rstrip(".")
    assert message in str(found.value)
