"""What libraries written for PyTorch reach for beside its documented names."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import numpy
import pytest

import flambeau as torch
from flambeau import distributed as dist


def test_bits_as_elements_of_another_size() -> None:
    x = torch.tensor([[1, 0, 0, 0, 0, 0, 128, 63]], dtype=torch.uint8)
    assert x.view(torch.float32).tolist() == numpy.array(x.numpy()).view("float32").tolist()
    assert x.view(dtype=torch.int64).shape == (1, 1)
    assert torch.tensor([1.5, 2.0]).view(torch.int16).tolist() == [0, 16320, 0, 16384]
    with pytest.raises(RuntimeError, match=r"divisible by 4 to view uint8 as float32"):
        torch.zeros(6, dtype=torch.uint8).view(torch.float32)
    with pytest.raises(RuntimeError, match=r"self\.dim\(\) cannot be 0"):
        torch.tensor(1.0).view(torch.uint8)


def test_dtypes_that_are_only_named() -> None:
    assert torch.float8_e4m3fn != torch.float8_e5m2
    assert torch.finfo(torch.float8_e4m3fn).max == 448
    assert torch.uint16.itemsize == 2 and repr(torch.uint64) == "torch.uint64"
    for use in (
        lambda: torch.zeros(2, dtype=torch.uint16),
        lambda: torch.zeros(2).to(torch.float8_e5m2),
        lambda: torch.full((2,), 1, dtype=torch.uint64),
    ):
        with pytest.raises(TypeError, match="no device has tensors of it"):
            use()


def test_storages_of_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(8)))
    storage = torch.UntypedStorage.from_file(str(tmp_path / "a"), nbytes=6)
    assert storage.tolist() == [0, 1, 2, 3, 4, 5] and storage[2] == 2
    part = torch.asarray(storage[1:5], dtype=torch.uint8)
    assert part.tolist() == [1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="not shared"):
        torch.UntypedStorage.from_file(str(tmp_path / "a"), shared=True)


def test_records_of_a_checkpoint(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(2.0)}, tmp_path / "a.pt")
    reader = torch.PyTorchFileReader(str(tmp_path / "a.pt"))
    assert numpy.frombuffer(reader.get_record("data/0"), "float32").tolist() == [0.0, 1.0]
    assert reader.has_record("data.pkl") and not reader.has_record("data/1")


def test_an_optimizer_around_another() -> None:
    class Around(torch.optim.Optimizer):
        def __init__(self, inner) -> None:
            self.inner = inner

        def step(self, closure=None):
            return self.inner.step(closure)

    weight = torch.nn.Parameter(torch.ones(2))
    weight.sum().backward()
    Around(torch.optim.SGD([weight], 0.5)).step()
    assert weight.tolist() == [0.5, 0.5]


def test_kinds_of_iterators() -> None:
    from flambeau.utils.data import dataloader

    loader = torch.utils.data.DataLoader(range(3))
    made = iter(loader)
    assert isinstance(made, dataloader._SingleProcessDataLoaderIter)
    assert isinstance(made, dataloader._BaseDataLoaderIter)
    assert issubclass(dataloader._MultiProcessingDataLoaderIter, dataloader._BaseDataLoaderIter)


def test_places_of_leaves() -> None:
    from flambeau.utils import _pytree

    assert _pytree._dict_flatten_with_keys({"a": 1}) == ([(_pytree.MappingKey("a"), 1)], ["a"])
    assert _pytree._get_node_type({}) is dict
    kind = _pytree._get_node_type(torch.ones(2, 2).max(0))
    assert kind is namedtuple and kind in _pytree.SUPPORTED_NODES


def test_one_process_has_nobody_to_wait_for(tmp_path: Path) -> None:
    from flambeau.distributed._functional_collectives import all_reduce, wait_tensor
    from flambeau.distributed.algorithms.join import Join
    from flambeau.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from flambeau.distributed.tensor import Shard
    from flambeau.distributed.tensor._utils import compute_local_shape_and_global_offset
    from flambeau.distributed.tensor.placement_types import _StridedShard

    x = torch.ones(2)
    assert wait_tensor(all_reduce(x, "sum", None)) is x
    with Join([]):
        Join.notify_join_context(None)
    assert compute_local_shape_and_global_offset((2, 3), None, [Shard(0)]) == ((2, 3), (0, 0))
    assert _StridedShard(0, 2).is_shard(0)
    with pytest.raises(NotImplementedError, match="safetensors"):
        HuggingFaceStorageWriter("folder")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/r", rank=0, world_size=1)
    try:
        into = torch.zeros(2)
        dist.all_to_all_single(into, x)
        assert into.tolist() == [1.0, 1.0]
    finally:
        dist.destroy_process_group()


def test_graphs_of_cuda_can_be_named_and_not_made() -> None:
    for name in ("CUDAGraph", "graph"):
        with pytest.raises(RuntimeError, match=f"torch.cuda.{name}.*webgpu"):
            getattr(torch.cuda, name)(None)
    with torch.cuda.StreamContext(None), torch.cuda.stream(torch.cuda.Stream()):
        pass
