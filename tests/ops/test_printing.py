"""Printing: recorded from PyTorch 2.13."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flambeau as torch

PRINTED = [
    (lambda: torch.tensor(1.0), "tensor(1.)"),
    (lambda: torch.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
    (lambda: torch.tensor([1.0, 2.0]), "tensor([1., 2.])"),
    (lambda: torch.tensor([True, False]), "tensor([ True, False])"),
    (lambda: torch.tensor([[1, -200], [30, 4]]), "tensor([[   1, -200],\n        [  30,    4]])"),
    (lambda: torch.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
    (lambda: torch.tensor([1.0, float("nan")]), "tensor([1., nan])"),
    (lambda: torch.tensor([1.5, float("nan")]), "tensor([1.5000,    nan])"),
    (lambda: torch.tensor([float("inf"), -1.5]), "tensor([    inf, -1.5000])"),
    (lambda: torch.tensor([-0.0, 0.0]), "tensor([-0., 0.])"),
    (lambda: torch.tensor([0.1, 100000.0]), "tensor([1.0000e-01, 1.0000e+05])"),
    (lambda: torch.zeros(0), "tensor([])"),
    (lambda: torch.zeros(0, 3), "tensor([], size=(0, 3))"),
    (lambda: torch.zeros(0, dtype=torch.int64), "tensor([], dtype=torch.int64)"),
    (lambda: torch.ones(2, dtype=torch.float64), "tensor([1., 1.], dtype=torch.float64)"),
    (lambda: torch.ones(1, requires_grad=True), "tensor([1.], requires_grad=True)"),
    (lambda: torch.ones(1, requires_grad=True) * 2, "tensor([2.], grad_fn=<MulBackward0>)"),
    (
        lambda: torch.ones(2, 1, 2),
        "tensor([[[1., 1.]],\n\n        [[1., 1.]]])",
    ),
    (
        lambda: torch.arange(2000),
        "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])",
    ),
    (
        lambda: torch.arange(25.0),
        "tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13.,\n"
        "        14., 15., 16., 17., 18., 19., 20., 21., 22., 23., 24.])",
    ),
    (
        lambda: torch.zeros(1001, 2, dtype=torch.int64),
        "tensor([[0, 0],\n        [0, 0],\n        [0, 0],\n        ...,\n        [0, 0],\n"
        "        [0, 0],\n        [0, 0]])",
    ),
    (
        lambda: torch.tensor([[1.0, 5.0]]).max(1),
        "torch.return_types.max(\nvalues=tensor([5.]),\nindices=tensor([1]))",
    ),
]


@pytest.mark.parametrize(("make", "wanted"), PRINTED, ids=[each[1][:40] for each in PRINTED])
def test_printed(make, wanted: str) -> None:
    assert repr(make()) == wanted
    assert str(make()) == wanted


def test_formats() -> None:
    assert f"{torch.tensor(3.14159):.2f} {torch.tensor(3):d} {torch.tensor(2.5)}" == "3.14 3 2.5"
    assert f"{torch.ones(2)}" == "tensor([1., 1.])"
    with pytest.raises(TypeError, match="unsupported format string"):
        f"{torch.ones(2):.2f}"


@pytest.fixture
def default_options() -> Iterator[None]:
    yield
    torch.set_printoptions(profile="default")


@pytest.mark.usefixtures("default_options")
def test_options() -> None:
    torch.set_printoptions(precision=2, sci_mode=False)
    assert repr(torch.tensor([1e-7, 1.5])) == "tensor([0.00, 1.50])"
    torch.set_printoptions(profile="full")
    assert "..." not in repr(torch.arange(1500))
    torch.set_printoptions(profile="default", threshold=3, edgeitems=1)
    assert repr(torch.arange(5)) == "tensor([0,  ..., 4])"
    torch.set_printoptions(profile="default", linewidth=20)
    assert repr(torch.arange(6)) == "tensor([0, 1, 2, 3,\n        4, 5])"
