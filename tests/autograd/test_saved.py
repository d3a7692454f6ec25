"""Which in-place changes between forward and backward are errors: PyTorch 2.13's answers."""

from __future__ import annotations

import pytest

import flambeau as torch

# operation: is it an error to change w (requires grad) where c requires none, where c requires
# one, and to change c (where it requires none)?
TABLE = {
    "mul": (lambda w, c: w * c, False, True, True),
    "mul_number": (lambda w, c: w * 2, False, False, False),
    "div": (lambda w, c: w / c, False, True, True),
    "div_number": (lambda w, c: w / 2, False, False, False),
    "matmul": (lambda w, c: w @ c, False, True, True),
    "linear": (lambda w, c: torch.nn.functional.linear(c, w), False, True, True),
    "bias": (lambda w, c: torch.nn.functional.linear(c, c.detach(), w[0]), False, False, False),
    "add": (lambda w, c: w + c, False, False, False),
    "sub": (lambda w, c: w - c, False, False, False),
    "pow": (lambda w, c: w**2, True, True, False),
    "lerp": (lambda w, c: w.lerp(c, 0.5), False, False, False),
    "addcmul": (lambda w, c: w.addcmul(c, c), False, False, False),
    "clamp": (lambda w, c: w.clamp(0, 2), True, True, False),
    "abs": (lambda w, c: w.abs(), True, True, False),
    "where": (lambda w, c: torch.where(c > 6, w, c), False, False, False),
    "sum": (lambda w, c: w.sum(0), False, False, False),
    "mean": (lambda w, c: w.mean(), False, False, False),
    "var": (lambda w, c: w.var(), True, True, False),
    "amax": (lambda w, c: w.amax(0), True, True, False),
    "maximum": (torch.maximum, True, True, True),
    "relu": (lambda w, c: w.relu(), False, False, False),
    "tanh": (lambda w, c: w.tanh(), False, False, False),
    "exp": (lambda w, c: w.exp(), False, False, False),
    "log": (lambda w, c: w.log(), True, True, False),
    "sqrt": (lambda w, c: w.sqrt(), False, False, False),
    "softmax": (lambda w, c: w.softmax(0), False, False, False),
    "cumsum": (lambda w, c: w.cumsum(0), False, False, False),
    "prod": (lambda w, c: w.prod(), True, True, False),
    "neg": (lambda w, c: -w, False, False, False),
    "remainder": (lambda w, c: w.remainder(c), False, True, False),
}


def changed(function, change: str, both: bool) -> None:
    w = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    c = torch.tensor([[5.0, 6.0], [7.0, 8.0]], requires_grad=both)
    y = function(w, c)
    with torch.no_grad():
        (w if change == "w" else c).add_(1)
    y.sum().backward()


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("which", [0, 1, 2], ids=["w", "w where both require grad", "c"])
def test_changes_between_forward_and_backward(name: str, which: int) -> None:
    function, *errors = TABLE[name]
    arguments = ("c" if which == 2 else "w", which == 1)
    if errors[which]:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            changed(function, *arguments)
    else:
        changed(function, *arguments)


@pytest.mark.parametrize("name", ["exp", "tanh", "sqrt", "relu", "softmax"])
def test_a_result_that_is_needed_must_stay(name: str) -> None:
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    y = TABLE[name][0](w, None)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_gradients_made_of_the_result_let_go_of_the_input() -> None:
    """tanh keeps its result, not what it was made of."""
    w = torch.tensor([0.5], requires_grad=True)
    y = (w * 1).tanh()
    y.backward()
    assert w.grad.item() == pytest.approx(1 - torch.tensor(0.5).tanh().item() ** 2)
