"""set_detect_anomaly names the operation and the line that first made a NaN."""

import re

import pytest

import flambeau as torch


def test_the_backward_that_makes_a_nan_is_named() -> None:
    x = torch.zeros(2, requires_grad=True)
    with torch.autograd.detect_anomaly():
        y = torch.sqrt(x)
        z = y * 0.0  # the gradient of the root at 0 is inf, inf * 0 is a NaN
        with pytest.raises(RuntimeError, match="SqrtBackward0' returned nan") as caught:
            z.sum().backward()
    assert re.search(r"test_anomaly\.py:13", str(caught.value))


def test_the_forward_that_made_the_first_nan_is_named() -> None:
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    with torch.autograd.set_detect_anomaly(True):
        y = torch.log(x)
        z = torch.exp(y)
        with pytest.raises(RuntimeError, match=r"first nan was made by \w*LOG\w* \(at .*:23\)"):
            z.sum().backward()


def test_every_block_starts_anew() -> None:
    bad = torch.tensor([-1.0], requires_grad=True)
    with torch.autograd.detect_anomaly():
        torch.log(bad)
    x = torch.zeros(1, requires_grad=True)
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError) as caught:
        (torch.sqrt(x) * 0.0).sum().backward()
    assert "first nan" not in str(caught.value)


def test_off_nothing_is_raised() -> None:
    x = torch.zeros(2, requires_grad=True)
    (torch.sqrt(x) * 0.0).sum().backward()
    assert x.grad.isnan().all()


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_numbers_are_no_anomaly(device: str) -> None:
    with torch.device(device), torch.autograd.detect_anomaly():
        x = torch.linspace(0.1, 1.0, 5, requires_grad=True)
        torch.softmax(x.log(), 0).max().backward()
        assert x.grad.isfinite().all()
