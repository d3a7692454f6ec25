"""Bad input: a clear error of PyTorch's type, at the call, the process alive, nothing lost."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import run, start

import flambeau as torch
from flambeau import nn


def _ones(*shape: int) -> Any:
    return torch.ones(shape)


AT_THE_CALL: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "shapes that do not broadcast": (
        lambda: _ones(2, 3) + _ones(4),
        RuntimeError,
        r"size of tensor a \(3\) must match the size of tensor b \(4\)",
    ),
    "matmul": (
        lambda: _ones(2, 3) @ _ones(2, 3),
        RuntimeError,
        r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x3\)",
    ),
    "a layer": (lambda: nn.Linear(4, 2)(_ones(3, 5)), RuntimeError, r"3x5"),
    "a convolution's channels": (
        lambda: nn.Conv2d(3, 8, 3)(_ones(1, 4, 8, 8)),
        RuntimeError,
        r"channels",
    ),
    "view": (lambda: _ones(2, 3).view(4), RuntimeError, r"shape '\[4\]' is invalid"),
    "reshape": (lambda: _ones(6).reshape(4, -1), RuntimeError, r"invalid for input of size 6"),
    "view of what is not contiguous": (
        lambda: _ones(2, 3).t().view(6),
        RuntimeError,
        r"view size is not compatible",
    ),
    "a dimension": (lambda: _ones(2).sum(3), IndexError, r"Dimension out of range"),
    "an index": (lambda: _ones(2, 3)[5], IndexError, r"index 5 is out of bounds"),
    "too many indices": (lambda: _ones(2)[0, 0], IndexError, r"too many indices"),
    "cat": (lambda: torch.cat([_ones(2, 3), _ones(2, 4)]), RuntimeError, r"[Ss]izes of tensors"),
    "stack": (lambda: torch.stack([_ones(2), _ones(3)]), RuntimeError, r"equal size"),
    "dtypes of a product": (
        lambda: _ones(2, 2) @ torch.ones(2, 2, dtype=torch.float64),
        RuntimeError,
        r"dtype",
    ),
    "a float into an integer": (
        lambda: torch.ones(2, dtype=torch.int64).add_(1.5),
        RuntimeError,
        r"result type Float can't be cast to the desired output type Long",
    ),
    "a label of float": (
        lambda: nn.functional.nll_loss(_ones(2, 3), _ones(2)),
        RuntimeError,
        r"expected target dtype to be Long or Byte, but got Float",
    ),
    "a gradient of an integer": (
        lambda: torch.ones(2, dtype=torch.int64).requires_grad_(),
        RuntimeError,
        r"only Tensors of floating point",
    ),
    "backward of many": (
        lambda: _ones(2).requires_grad_().mul(2).backward(),
        RuntimeError,
        r"grad can be implicitly created only for scalar outputs",
    ),
    "backward of nothing": (
        lambda: _ones(1).sum().backward(),
        RuntimeError,
        r"does not require grad",
    ),
    "item of many": (lambda: _ones(2).item(), RuntimeError, r"2 elements"),
    "truth of many": (lambda: bool(_ones(2)), RuntimeError, r"Boolean value of Tensor"),
    "a string": (lambda: _ones(2) + "a", TypeError, r"str"),
    "an unknown device": (lambda: torch.device("gpu"), RuntimeError, r"webgpu"),
    "a device of other machines": (lambda: torch.ones(1, device="cuda"), AssertionError, r"webgpu"),
    "an unknown name": (lambda: torch.reshap, AttributeError, r"Near: reshape"),
    "numpy of what needs a gradient": (
        lambda: _ones(2).requires_grad_().numpy(),
        RuntimeError,
        r"detach\(\)",
    ),
    "expand": (lambda: _ones(2, 3).expand(4, 3), RuntimeError, r"expanded size"),
    "an in-place change of a leaf": (
        lambda: _ones(2).requires_grad_().add_(1),
        RuntimeError,
        r"leaf Variable that requires grad",
    ),
}


@pytest.mark.parametrize("name", AT_THE_CALL)
def test_an_error_is_raised_by_the_call_that_caused_it(name: str) -> None:
    call, kind, message = AT_THE_CALL[name]
    with pytest.raises(kind, match=message) as caught:
        call()
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert any(each.filename == __file__ for each in frames[1:])
    assert (_ones(2) * 2).tolist() == [2.0, 2.0]


def test_wrong_mix_of_devices(webgpu: str) -> None:
    there = torch.ones(3, device=webgpu)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        there + torch.ones(3)
    assert there.sum().item() == 3


LOOKUPS: dict[str, Callable[[Any], Any]] = {
    "gather": lambda index: torch.arange(5.0)[index],
    "embedding": lambda index: nn.functional.embedding(index, torch.rand(5, 2)),
    "cross_entropy": lambda index: nn.functional.cross_entropy(torch.rand(2, 10), index),
}


@pytest.mark.parametrize(
    ("name", "value"), [("gather", 7), ("gather", -9), ("embedding", 5), ("cross_entropy", 10)]
)
def test_an_index_out_of_range_in_a_tensor(name: str, value: int, every_device: str) -> None:
    """Not known yet: raised when it is computed, naming the line that recorded it.

    On the reference device, which computes at once, it is raised by that line itself.
    """
    with torch.device(every_device):
        good = torch.ones(4).cumsum(0)
        index = torch.tensor([0, value]) + 0
        with pytest.raises(IndexError, match=r"out of (range|bounds)") as caught:
            LOOKUPS[name](index).tolist()
        if every_device != "reference":
            assert "test_bad_input.py" in str(caught.value)
        assert good.tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("name", LOOKUPS)
def test_an_index_that_is_known_is_checked_at_the_call(name: str) -> None:
    with pytest.raises(IndexError, match=r"out of (range|bounds)"):
        LOOKUPS[name](torch.tensor([0, 12]))


def test_a_bad_label_leaves_the_model_as_it_was() -> None:
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model.weight.tolist()

    def step() -> None:
        loss = nn.functional.cross_entropy(model(torch.ones(2, 4)), torch.tensor([1, 3]))
        loss.backward()
        optimizer.step()

    with pytest.raises(IndexError, match="Target 3 is out of bounds"):
        step()
    assert model.weight.tolist() == before


def test_an_ignored_label_may_be_out_of_range() -> None:
    scores = torch.ones(2, 4)
    assert nn.functional.cross_entropy(scores, torch.tensor([1, -100])).isfinite()
    with pytest.raises(IndexError, match="Target -1 is out of bounds"):
        nn.functional.cross_entropy(scores, torch.tensor([1, -1]))


@pytest.mark.parametrize("operation", ["//", "%"])
def test_integer_division_by_zero(operation: str) -> None:
    top, bottom = torch.tensor([4, 5, 6]), torch.tensor([2, 0, 3])
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        (top // bottom if operation == "//" else top % bottom).tolist()
    assert (top + bottom).tolist() == [6, 5, 9]


def test_a_corrupt_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = nn.Linear(3, 2)
    torch.save(model.state_dict(), path)
    content = path.read_bytes()
    for damaged in (b"", content[:10], content[:-3], b"\xff" * len(content)):
        path.write_bytes(damaged)
        with pytest.raises((RuntimeError, ValueError, EOFError), match=r"model\.safetensors"):
            torch.load(path)
    path.write_bytes(content)
    model.load_state_dict(torch.load(path))


def test_a_checkpoint_of_another_model() -> None:
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        nn.Linear(3, 2).load_state_dict(nn.Linear(3, 4).state_dict())


NO_ADAPTER = """
import flambeau as torch
print(torch.accelerator.is_available())
for attempt in (lambda: torch.ones(2, device="webgpu"), lambda: torch.ones(2).to("webgpu")):
    try:
        attempt()
    except RuntimeError as error:
        print(str(error).count("\\n"), error)
print(torch.ones(2).sum().item())
"""


def test_no_webgpu_adapter_is_one_line_that_says_what_to_install() -> None:
    printed = run(NO_ADAPTER, VK_DRIVER_FILES="/nowhere", VK_ICD_FILENAMES="/nowhere").splitlines()
    assert printed[0] == "False"
    for line in printed[1:3]:
        assert line.startswith("0 no WebGPU adapter was found")
        assert "install" in line
    assert printed[3] == "2.0"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("FLAMBEAU_THREADS", "two", "FLAMBEAU_THREADS=two: expected a whole number, 0 or more"),
        ("FLAMBEAU_CACHE_BYTES", "-1", "FLAMBEAU_CACHE_BYTES=-1: expected a whole number"),
        ("FLAMBEAU_PENDING", "0", "FLAMBEAU_PENDING=0: expected a whole number, 1 or more"),
        ("FLAMBEAU_DEVICE", "gpu", "FLAMBEAU_DEVICE=gpu: Expected one of cpu"),
        ("FLAMBEAU_DEVICE", "cuda", "FLAMBEAU_DEVICE=cuda: Torch not compiled with CUDA"),
    ],
)
def test_a_setting_that_means_nothing(name: str, value: str, told: str) -> None:
    process = start("import flambeau; flambeau.ones(2)", **{name: value})
    _, errors = process.communicate()
    assert process.returncode == 1
    assert told in errors.splitlines()[-1]
