"""Shapes and joins against numpy; what is a view; errors at the call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch

X = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)

AGAINST_NUMPY: dict[str, tuple[Any, Any]] = {
    "reshape": (lambda x: x.reshape(4, -1), lambda x: x.reshape(4, -1)),
    "permute": (lambda x: x.permute(2, 0, 1), lambda x: x.transpose(2, 0, 1)),
    "movedim": (lambda x: x.movedim(0, -1), lambda x: np.moveaxis(x, 0, -1)),
    "expand": (lambda x: x[:1].expand(5, -1, 4), lambda x: np.broadcast_to(x[:1], (5, 3, 4))),
    "repeat": (lambda x: x.repeat(2, 1, 3), lambda x: np.tile(x, (2, 1, 3))),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, 1), lambda x: np.repeat(x, 2, 1)),
    "cat": (lambda x: torch.cat([x, x[:, :1]], 1), lambda x: np.concatenate([x, x[:, :1]], 1)),
    "stack": (lambda x: torch.stack([x, x], 1), lambda x: np.stack([x, x], 1)),
    "flip": (lambda x: x.flip(0, 2), lambda x: np.flip(x, (0, 2))),
    "roll": (lambda x: x.roll((1, -1), (0, 2)), lambda x: np.roll(x, (1, -1), (0, 2))),
    "rot90": (lambda x: x.rot90(3, (1, 2)), lambda x: np.rot90(x, 3, (1, 2))),
    "tril": (lambda x: x.tril(-1), lambda x: np.tril(x, -1)),
    "triu": (lambda x: x.triu(1), lambda x: np.triu(x, 1)),
    "diagonal": (lambda x: x.diagonal(1, 1, 2), lambda x: x.diagonal(1, 1, 2)),
    "diag": (lambda x: torch.diag(x[0, 0], 1), lambda x: np.diag(x[0, 0], 1)),
    "unfold": (
        lambda x: x.unfold(2, 3, 1),
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 3, 2),
    ),
    "tensor_split": (
        lambda x: torch.cat([each.sum(2) for each in x.tensor_split(3, 2)]),
        lambda x: np.concatenate([each.sum(2) for each in np.array_split(x, 3, 2)]),
    ),
    "meshgrid": (
        lambda x: torch.stack(torch.meshgrid(x[0, 0], x[1, 0], indexing="xy")),
        lambda x: np.stack(np.meshgrid(x[0, 0], x[1, 0])),
    ),
}


@pytest.mark.parametrize("name", AGAINST_NUMPY)
def test_against_numpy(name: str, device: str) -> None:
    ours, theirs = AGAINST_NUMPY[name]
    np.testing.assert_array_equal(ours(torch.tensor(X)).cpu().numpy(), theirs(X))


@pytest.mark.parametrize(
    ("mode", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
def test_padding_modes(mode: str, numpy_mode: str, device: str) -> None:
    found = torch.nn.functional.pad(torch.tensor(X), (2, 1), mode=mode)
    expected = np.pad(X, [(0, 0), (0, 0), (2, 1)], mode=numpy_mode)  # type: ignore[call-overload]  # a name
    np.testing.assert_array_equal(found.cpu().numpy(), expected)


def test_padding_with_a_constant_and_taking_away(device: str) -> None:
    found = torch.nn.functional.pad(torch.tensor(X), (1, -1, 0, 2), value=7.0)
    expected = np.full((2, 5, 4), 7.0)
    expected[:, :3, 1:] = X[:, :, :3]
    np.testing.assert_array_equal(found.cpu().numpy(), expected)


def test_joins_promote(device: str) -> None:
    mixed = torch.cat([torch.tensor([1, 2]), torch.tensor([0.5])])
    assert mixed.dtype is torch.float32
    assert mixed.tolist() == [1.0, 2.0, 0.5]
    assert torch.stack([torch.tensor([True]), torch.tensor([3])]).dtype is torch.int64
    empty = torch.cat([torch.zeros(0), torch.ones(2, 2)])  # PyTorch leaves (0,) out
    assert tuple(empty.shape) == (2, 2)


def test_a_join_is_a_copy(device: str) -> None:
    x = torch.ones(2)
    for joined in (torch.cat([x]), torch.stack([x]), x.repeat(1), x.flip(0), torch.cat([x, x])):
        joined.zero_()
    assert x.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_empty(shape: tuple[int, ...], device: str) -> None:
    x = torch.zeros(shape)
    assert tuple(x.flip(0).shape) == shape
    assert tuple(x.roll(1, 0).shape) == shape
    assert torch.cat([x, x]).size(0) == 2 * shape[0]
    assert tuple(x.reshape(-1).shape) == (0,)
    assert x.unsqueeze(0).squeeze(0).cpu().numpy().shape == shape


def test_sizes_in_all_forms() -> None:
    x = torch.tensor(X)
    assert x.size() == (2, 3, 4)
    assert (x.size(-1), x.dim(), len(x)) == (4, 3, 2)
    assert x.view(6, 4).shape == x.view((6, 4)).shape == x.view(torch.Size([6, 4])).shape
    assert x.permute(0, 2, 1).shape == x.permute([0, 2, 1]).shape == (2, 4, 3)
    assert torch.permute(x, dims=(2, 1, 0)).shape == (4, 3, 2)
    row = x[0, :1]
    assert row.broadcast_to(5, 3, 4).shape == row.broadcast_to(size=(5, 3, 4)).shape == (5, 3, 4)


def test_bits_as_another_dtype() -> None:
    assert torch.ones(1).view(torch.int32).item() == 0x3F800000
    with pytest.raises(RuntimeError, match="divisible by 2"):
        torch.ones(1).view(torch.int64)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x.view(5), RuntimeError, r"shape '\[5\]' is invalid for input of size 24"),
        (lambda x: x.transpose(0, 3), IndexError, r"range of \[-3, 2\], but got 3"),
        (lambda x: x.t(), RuntimeError, "<= 2 dimensions"),
        (lambda x: torch.cat([x, x[0]]), RuntimeError, "same number of dimensions"),
        (lambda x: torch.cat([x, 1]), TypeError, "expected Tensor as element 1"),
        (lambda x: x.split([1, 2]), RuntimeError, "sum exactly to 2"),
        (lambda x: x.permute(0, 0, 1), RuntimeError, "duplicate dims"),
        (lambda x: x.permute(0, 2, 1).view(24), RuntimeError, "view size is not compatible"),
        (lambda x: torch.zeros(0).reshape(0, -1), RuntimeError, "ambiguous"),
    ],
)
def test_errors_at_the_call(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(torch.tensor(X))
