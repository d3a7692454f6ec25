"""torch._foreach_*, lists as vectors, tensors over other memory, and settings that are kept."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau import _utils


def tensors() -> list[torch.Tensor]:
    return [torch.tensor([4.0, 9.0]), torch.tensor([[1.0], [16.0]])]


def values(found: object) -> list[object]:
    return [each.tolist() for each in found]


def test_foreach() -> None:
    assert values(torch._foreach_sqrt(tensors())) == [[2.0, 3.0], [[1.0], [4.0]]]
    assert values(torch._foreach_add(tensors(), tensors(), alpha=-1)) == [
        [0.0, 0.0],
        [[0.0], [0.0]],
    ]
    assert values(torch._foreach_mul(tensors(), [2.0, 0.5])) == [[8.0, 18.0], [[0.5], [8.0]]]
    assert values(torch._foreach_addcmul(tensors(), tensors(), tensors(), 2)) == [
        [36.0, 171.0],
        [[3.0], [528.0]],
    ]
    assert values(torch._foreach_norm(tensors(), 1)) == [13.0, 17.0]
    assert values(torch._foreach_powsum(tensors(), 2)) == [97.0, 257.0]
    target = tensors()
    assert torch._foreach_div_(target, 2.0) is target
    assert values(target) == [[2.0, 4.5], [[0.5], [8.0]]]
    torch._foreach_copy_(target, tensors())
    torch._foreach_lerp_(target, [each * 0 for each in tensors()], 0.5)
    assert values(target) == [[2.0, 4.5], [[0.5], [8.0]]]
    torch._foreach_zero_(target)
    assert values(target) == [[0.0, 0.0], [[0.0], [0.0]]]
    with pytest.raises(RuntimeError, match="same number of tensors"):
        torch._foreach_add(tensors(), [1.0])
    with pytest.raises(RuntimeError, match="at least one"):
        torch._foreach_abs([])


def test_lists_as_one_vector() -> None:
    flat = _utils._flatten_dense_tensors(tensors())
    assert flat.tolist() == [4, 9, 1, 16]
    assert values(_utils._unflatten_dense_tensors(flat, tensors())) == values(tensors())


def test_other_memory(tmp_path) -> None:
    memory, seer = torch.arange(6.0), torch.zeros(1)
    seer.set_(memory.untyped_storage(), 1, (2, 2), (2, 1))
    assert seer.tolist() == [[1, 2], [3, 4]]
    seer.set_(memory)
    seer[0] = 7
    assert memory[0].item() == 7
    assert seer.set_().shape == (0,)
    with pytest.raises(RuntimeError, match="Could not set tensor of type"):
        seer.set_(torch.arange(2))
    with pytest.raises(RuntimeError, match="leaf Variable"):
        torch.ones(1, requires_grad=True).set_(memory)
    with pytest.raises(TypeError, match="expected a storage"):
        _utils._rebuild_tensor([1.0], 0, (1,), (1,))
    np.arange(4, dtype=np.int64).tofile(tmp_path / "numbers")
    found = torch.from_file(str(tmp_path / "numbers"), size=3, dtype=torch.int64)
    assert found.tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="4 elements"):
        torch.from_file(str(tmp_path / "numbers"), size=9, dtype=torch.int64)


def test_swapping() -> None:
    parameter, other = torch.nn.Parameter(torch.ones(2)), torch.zeros(3)
    parameter.tag = "kept"
    torch.utils.swap_tensors(parameter, other)
    assert isinstance(other, torch.nn.Parameter) and other.tag == "kept"
    assert type(parameter) is torch.Tensor and parameter.tolist() == [0, 0, 0]
    (other * 3).sum().backward()
    assert other.grad.tolist() == [3, 3]


def test_rows_that_no_gradient_reaches_stay() -> None:
    layer = torch.nn.Embedding(4, 2, sparse=True)
    before = layer.weight.detach().clone()
    optimizer = torch.optim.SparseAdam(layer.parameters(), lr=0.1)
    for _ in range(2):
        layer(torch.tensor([2])).sum().backward()
        optimizer.step()
        layer(torch.tensor([1])).sum().backward()
        optimizer.zero_grad()
    moved = (layer.weight.detach() != before).any(1)
    assert moved.tolist() == [False, False, True, False]
    torch.testing.assert_close(layer.weight.detach()[2], before[2] - 0.2)  # steps of lr
    with pytest.raises(ValueError, match="epsilon"):
        torch.optim.SparseAdam(layer.parameters(), eps=0.0)


def test_settings_and_numbers() -> None:
    assert torch.get_deterministic_debug_mode() == 0
    torch.set_deterministic_debug_mode("warn")
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_deterministic_debug_mode(0)
    with pytest.raises(RuntimeError, match="invalid value"):
        torch.set_deterministic_debug_mode("never")
    assert torch.get_device_module("cpu") is torch.cpu and torch.cpu.is_available()
    with pytest.raises(RuntimeError, match="corresponding module"):
        torch.get_device_module("meta")
    assert "Flambeau" in torch.__config__.show()
    assert not isinstance(1, torch.SymInt) and torch.sym_max(1, 2.0) == 2.0
    with pytest.raises(TypeError, match="plain Python numbers"):
        torch.SymInt()
    with torch.cpu.amp.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16
    event = torch.Event()
    event.record()
    assert torch.Stream().query() and isinstance(torch.Future(), torch.futures.Future)


def test_names_of_memory_and_of_other_machines() -> None:
    memory = torch.ones(2).storage()
    assert torch.is_storage(memory) and isinstance(memory, torch.FloatStorage)
    assert not isinstance(memory, torch.ByteStorage)
    assert torch.LongStorage([1, 2]).tolist() == [1, 2] and torch.ByteStorage(3).size() == 3
    first, second = torch.ones(1), torch.ones(1)
    assert first._cdata == first._cdata != second._cdata
    assert torch.version.xpu is None and not torch.mtia.is_available()
    torch.cuda.set_sync_debug_mode("warn")
    assert torch.cuda.get_sync_debug_mode() == 1
    torch.cuda.set_sync_debug_mode(0)
    with torch.cuda.nvtx.range("part {}", 1), torch.cuda.profiler.profile():
        assert torch.cuda.nvtx.range_push("inner") == 1
        assert torch.cuda.nvtx.range_pop() == 1
    with torch.cuda.StreamContext(None), torch.autograd.profiler.emit_nvtx():
        assert torch.cuda.memory_summary() == ""
    assert not torch.profiler.kineto_available()
    attention = torch.backends.cuda.SDPAParams(first, first, first)
    assert not torch.backends.cuda.can_use_flash_attention(attention)
    assert torch.amp.grad_scaler.OptState.READY.value == 0
    assert torch.utils.deterministic.fill_uninitialized_memory
