"""Making tensors and converting them: values, dtypes, devices, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import flambeau as torch
from flambeau.schedule.flush import STATISTICS


def test_filled(device: str) -> None:
    assert torch.zeros(2, 3).tolist() == [[0.0] * 3] * 2
    assert torch.ones((2,), dtype=torch.int32).dtype is torch.int32
    assert torch.full((2, 2), 7).tolist() == [[7, 7], [7, 7]]
    assert torch.full((2,), 1.5).dtype is torch.float32
    assert torch.full((), True).item() is True
    assert torch.empty(0).shape == (0,)
    assert torch.zeros(size=(2,)).tolist() == [0.0, 0.0]
    assert torch.zeros(2, device=device).device.type == device
    x = torch.ones(2, 3, dtype=torch.int32)
    assert torch.zeros_like(x).dtype is torch.int32
    assert torch.ones_like(x, dtype=torch.float32).tolist() == [[1.0] * 3] * 2
    assert torch.full_like(x, 4).tolist() == [[4] * 3] * 2
    assert x.new_zeros(2).dtype is torch.int32
    assert x.new_full((2,), 3).tolist() == [3, 3]
    assert x.new_tensor([1.7]).tolist() == [1]
    assert torch.eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert torch.zeros(2, requires_grad=True).requires_grad
    target = torch.ones(2)
    assert torch.zeros(2, out=target) is target
    assert target.tolist() == [0.0, 0.0]


def test_a_new_fill_value_makes_no_plan() -> None:
    torch.full((3, 3), 2.0).tolist()
    built = STATISTICS.plans_built
    for value in (3.0, 4.5, -1.0):
        assert torch.full((3, 3), value)[0, 0].item() == value
    assert STATISTICS.plans_built == built


def test_from_data() -> None:
    assert torch.tensor([[1, 2], [3, 4]]).dtype is torch.int64
    assert torch.tensor([1.0, 2]).dtype is torch.float32
    assert torch.tensor([True, 1]).dtype is torch.int64
    assert torch.tensor([]).dtype is torch.float32
    assert tuple(torch.tensor([[], []]).shape) == (2, 0)
    assert torch.tensor(np.float64(1)).dtype is torch.float64
    assert torch.tensor([np.float32(1), 2.0]).dtype is torch.float32
    assert torch.tensor([np.array([1.0, 2.0])]).dtype is torch.float64
    assert torch.tensor([torch.tensor(1.0), torch.tensor(2)]).tolist() == [1.0, 2.0]
    assert torch.tensor(range(3)).tolist() == [0, 1, 2]
    assert torch.tensor([1.7, -1.7], dtype=torch.int64).tolist() == [1, -1]
    assert torch.tensor(3).item() == 3
    assert torch.tensor([1e300], dtype=torch.float64).item() == 1e300
    assert torch.tensor([2**70, 1.5]).dtype is torch.float32
    assert torch.tensor(2**70, dtype=torch.float32).item() == 2.0**70
    assert torch.tensor([-1, 255], dtype=torch.uint8).tolist() == [255, 255]
    assert torch.tensor([70000.0], dtype=torch.float16).item() == math.inf
    source = torch.ones(2)
    assert torch.as_tensor(source) is source
    assert torch.as_tensor(source, dtype=torch.int64).tolist() == [1, 1]
    assert torch.asarray([1, 2]).tolist() == [1, 2]
    array = np.arange(3.0)
    made = torch.from_numpy(array)
    assert made.dtype is torch.float64 and made.tolist() == [0.0, 1.0, 2.0]
    assert torch.frombuffer(b"\x01\x02", dtype=torch.uint8).tolist() == [1, 2]
    assert torch.scalar_tensor(2).dtype is torch.float32


def test_what_was_recorded_does_not_see_later_writes_to_the_array() -> None:
    array = np.ones(3, np.float32)
    y = torch.from_numpy(array) + 1
    array[:] = 100
    assert y.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: torch.tensor([[1, 2], [3]]), ValueError, "expected sequence of length 2 at dim 1"),
        (lambda: torch.tensor([[1, 2], 3]), TypeError, "not a sequence"),
        (lambda: torch.tensor("a"), TypeError, "invalid data type 'str'"),
        (lambda: torch.tensor(None), RuntimeError, "Could not infer dtype of NoneType"),
        (lambda: torch.tensor([None]), RuntimeError, "Could not infer dtype of NoneType"),
        (lambda: torch.tensor(2**70), ValueError, "Overflow"),
        (lambda: torch.tensor([2**63]), ValueError, "Overflow"),
        (lambda: torch.tensor([1, 300], dtype=torch.int8), RuntimeError, "without overflow"),
        (lambda: torch.tensor([-256], dtype=torch.uint8), RuntimeError, "without overflow"),
        (lambda: torch.tensor([math.nan], dtype=torch.int32), RuntimeError, "without overflow"),
        (lambda: torch.zeros(2)["a"], TypeError, "invalid data type 'str'"),
        (lambda: torch.full((), 300, dtype=torch.int8), RuntimeError, "without overflow"),
        (lambda: torch.full((), math.inf, dtype=torch.int8), RuntimeError, "without overflow"),
        (lambda: torch.zeros(-1), RuntimeError, "negative dimension"),
        (lambda: torch.arange(0, 10, 0), RuntimeError, "step must be nonzero"),
        (lambda: torch.arange(10, 0, 1), RuntimeError, "inconsistent with step sign"),
        (lambda: torch.linspace(0, 1, -1), RuntimeError, "number of steps"),
        (lambda: torch.eye(-1), RuntimeError, "greater or equal to 0"),
        (lambda: torch.from_numpy([1]), TypeError, "expected np.ndarray"),
        (lambda: torch.zeros(2, foo=3), TypeError, "unexpected keyword"),
        (lambda: torch.zeros(2).cuda(), AssertionError, "CUDA"),
        (lambda: torch.zeros(2).to("nowhere"), RuntimeError, "Expected one of"),
        (lambda: torch.zeros(2, requires_grad=True).numpy(), RuntimeError, "Can't call numpy"),
        (lambda: torch.zeros(2, dtype=torch.bfloat16).numpy(), TypeError, "BFloat16"),
        (lambda: torch.zeros(2).item(), RuntimeError, "2 elements cannot be converted to Scalar"),
        (lambda: bool(torch.zeros(2)), RuntimeError, "more than one value is ambiguous"),
        (lambda: float(torch.zeros(2)), ValueError, "only one element"),
        (lambda: [1, 2][torch.tensor(1.0)], TypeError, "only integer tensors"),
        (lambda: iter(torch.tensor(1)), TypeError, "iteration over a 0-d tensor"),
        (lambda: len(torch.tensor(1)), TypeError, "len"),
        (lambda: torch.ones(2).fill_(torch.ones(2)), RuntimeError, "0-dimension value tensor"),
    ],
)
def test_errors(call, error, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "arguments", [(5,), (2, 8), (0, 1, 0.1), (10, 0, -3), (1.5, 4.0), (0,), (-3, 3)], ids=str
)
def test_arange(arguments, device: str) -> None:
    wanted = np.arange(*arguments)
    found = torch.arange(*arguments)
    np.testing.assert_allclose(found.cpu().numpy(), wanted, rtol=1e-6)
    whole = all(isinstance(each, int) for each in arguments)
    assert found.dtype is (torch.int64 if whole else torch.float32)
    assert torch.arange(*arguments, dtype=torch.float32).dtype is torch.float32


def test_spaced() -> None:
    np.testing.assert_allclose(torch.linspace(0, 1, 7).numpy(), np.linspace(0, 1, 7), rtol=1e-6)
    assert torch.linspace(3, 10, 1).tolist() == [3.0]
    assert torch.linspace(0, 1, 0).tolist() == []
    assert torch.linspace(-1, 1, 3)[1].item() == 0
    np.testing.assert_allclose(torch.logspace(0, 2, 3).numpy(), [1, 10, 100], rtol=1e-6)


def test_legacy_constructor() -> None:
    assert tuple(torch.Tensor(2, 3).shape) == (2, 3)
    assert torch.Tensor([1, 2]).tolist() == [1.0, 2.0]
    assert tuple(torch.Tensor().shape) == (0,)
    assert torch.Tensor([1]).dtype is torch.float32


def test_to_python(device: str) -> None:
    x = torch.tensor([[1.5, -2.0]])
    assert x.tolist() == [[1.5, -2.0]]
    assert x[0, 0].item() == 1.5
    assert float(x[0, 0]) == 1.5 and int(x[0, 1]) == -2 and bool(x[0, 0])
    assert [1, 2, 3][torch.tensor(1)] == 2
    assert isinstance(torch.tensor(3).item(), int)
    assert isinstance(torch.tensor(True).item(), bool)
    assert [row.tolist() for row in torch.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert np.asarray(x.cpu()).tolist() == [[1.5, -2.0]]
    assert np.asarray(x.cpu(), dtype=np.float64).dtype == np.float64
    assert complex(x[0, 0]) == 1.5


def test_conversions(device: str) -> None:
    x = torch.tensor([1.9, -1.9, 0.0])
    assert x.int().tolist() == [1, -1, 0]
    assert x.bool().tolist() == [True, True, False]
    assert x.long().dtype is torch.int64
    assert x.float() is x
    assert x.to(torch.int32).dtype is torch.int32
    assert x.to(device) is x
    assert x.to(device, torch.int64).dtype is torch.int64
    assert x.to(torch.ones(1, dtype=torch.int32)).dtype is torch.int32
    assert x.to(torch.float32, copy=True) is not x
    assert x.type(torch.int32).dtype is torch.int32
    assert x.type_as(torch.ones(1, dtype=torch.int64)).dtype is torch.int64
    assert x.half().float().tolist() == pytest.approx([1.9, -1.9, 0.0], rel=1e-3)
    assert torch.tensor([1, 0]).type("torch.FloatTensor").dtype is torch.float32
    if device != "webgpu":
        assert x.type() == "torch.FloatTensor"
        assert x.double().dtype is torch.float64


def test_moves_between_devices() -> None:
    with torch.device("reference"):
        x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 2).to("cpu")
    assert y.device.type == "cpu" and y.tolist() == [2.0, 4.0]
    y.sum().backward()
    assert x.grad.device.type == "reference" and x.grad.tolist() == [2.0, 2.0]


def test_copies() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.clone()
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    z = torch.zeros(2, 2)
    z.copy_(torch.tensor([1, 2]))
    assert z.tolist() == [[1.0, 2.0], [1.0, 2.0]]
    w = torch.arange(6).reshape(2, 3)
    assert w.contiguous() is w
    assert w.t().contiguous().is_contiguous() and w.t().contiguous().tolist() == w.t().tolist()
    source = torch.ones(2)
    target = torch.zeros(2)
    target.copy_(source)
    source.add_(1)
    assert target.tolist() == [1.0, 1.0]
    d = (x * 2).detach_()
    assert not d.requires_grad and d.is_leaf


def test_limits() -> None:
    assert torch.finfo(torch.float32).eps == np.finfo(np.float32).eps
    assert torch.finfo(torch.bfloat16).max == 3.3895313892515355e38
    assert torch.finfo(torch.float16).tiny == 6.103515625e-05
    assert torch.iinfo(torch.int8).min == -128 and torch.iinfo(torch.uint8).max == 255
    assert repr(torch.finfo(torch.float32)).startswith("finfo(resolution=1e-06, min=-3.40282e+38")
    with pytest.raises(TypeError, match=r"Use torch\.iinfo"):
        torch.finfo(torch.int32)
    with pytest.raises(TypeError, match=r"Use torch\.finfo"):
        torch.iinfo(torch.float32)


def test_a_copy_leaves_what_is_still_pending_alone() -> None:
    """Values on the way to a copy are pending tensors of their own: their inputs are needed."""
    with torch.device("cpu"):
        first, second = torch.tensor([1.0, 2.0]) + 1, torch.tensor([-10.0, -20.0]) + 1
        total = first + second
        doubled = total * 2
        moved = doubled.to("reference")
        back = moved.to("cpu") + total * 3
    assert moved.tolist() == [-14.0, -32.0]
    assert total.tolist() == [-7.0, -16.0]
    assert first.tolist() == [2.0, 3.0]
    assert second.tolist() == [-9.0, -19.0]
    assert back.tolist() == [-35.0, -80.0]


def test_legacy_types() -> None:
    assert torch.FloatTensor([1, 2]).dtype is torch.float32
    assert tuple(torch.LongTensor(2, 3).shape) == (2, 3)
    assert isinstance(torch.ones(1), torch.FloatTensor)
    assert not isinstance(torch.ones(1), torch.LongTensor)
    assert torch.ones(2).type(torch.LongTensor).dtype is torch.int64
    assert torch.ones(2).layout is torch.strided
    assert repr(torch.channels_last) == "torch.channels_last"
    torch.set_default_tensor_type(torch.DoubleTensor)
    try:
        assert torch.ones(1).dtype is torch.float64
    finally:
        torch.set_default_tensor_type("torch.FloatTensor")
    with pytest.raises(TypeError, match="invalid type object"):
        torch.set_default_tensor_type(3)
