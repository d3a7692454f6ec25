"""Sharding, meshes and folders of checkpoints in a world of one: the results of one machine."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau.distributed import checkpoint, distributed_c10d
from flambeau.distributed.algorithms._checkpoint import checkpoint_wrapper as wrappers
from flambeau.distributed.checkpoint import state_dict as states
from flambeau.distributed.device_mesh import init_device_mesh
from flambeau.distributed.fsdp import (
    FSDPModule,
    FullyShardedDataParallel,
    MixedPrecisionPolicy,
    ShardingStrategy,
    StateDictType,
    fully_shard,
)
from flambeau.distributed.fsdp.wrap import ModuleWrapPolicy, transformer_auto_wrap_policy
from flambeau.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from flambeau.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)


def _model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))


def _trained(model):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (model(torch.ones(5, 3)) ** 2).mean().backward()
        optimizer.step()
    return optimizer


def _wrapped(kind):
    model = _model()
    if kind == "fully_shard":
        assert fully_shard(model[0], mp_policy=MixedPrecisionPolicy()) is model[0]
        return fully_shard(fully_shard(model))
    if kind == "fsdp":
        model[0] = FullyShardedDataParallel(model[0])
        return FullyShardedDataParallel(model, sharding_strategy=ShardingStrategy.FULL_SHARD)
    if kind == "checkpoint":
        layers = lambda part: isinstance(part, torch.nn.Linear)  # noqa: E731  # used only here
        wrappers.apply_activation_checkpointing(model, check_fn=layers)
        return wrappers.checkpoint_wrapper(model, wrappers.CheckpointImpl.NO_REENTRANT)
    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    return parallelize_module(model, init_device_mesh("cpu", (1,)), plan)


@pytest.mark.parametrize("kind", ["fully_shard", "fsdp", "checkpoint", "parallel"])
def test_wrapped_models_train_as_they_do_alone(kind):
    alone, wrapped = _model(), _wrapped(kind)
    _trained(alone)
    _trained(wrapped)
    assert list(wrapped.state_dict()) == list(alone.state_dict())
    assert [name for name, _ in wrapped.named_parameters()] == list(alone.state_dict())
    for name, value in alone.state_dict().items():
        assert wrapped.state_dict()[name].tolist() == value.tolist()
    fresh = _wrapped(kind)
    assert str(fresh.load_state_dict(alone.state_dict())) == "<All keys matched successfully>"
    x = torch.randn(2, 3)
    assert fresh(x).tolist() == alone(x).tolist()


def test_what_steers_sharding_is_accepted():
    model = _wrapped("fully_shard")
    assert isinstance(model, FSDPModule) and isinstance(model, torch.nn.Sequential)
    model.set_requires_gradient_sync(False)
    model.unshard()
    model.reshard()
    wrapped = _wrapped("fsdp")
    optimizer = _trained(wrapped)
    with wrapped.no_sync(), FullyShardedDataParallel.summon_full_params(wrapped):
        wrapped(torch.ones(1, 3)).sum().backward()
    with FullyShardedDataParallel.state_dict_type(wrapped, StateDictType.FULL_STATE_DICT):
        assert len(wrapped.state_dict()) == 4
    assert wrapped.clip_grad_norm_(1.0) > 0 and wrapped[2].out_features == 2
    assert len(FullyShardedDataParallel.fsdp_modules(wrapped)) == 2
    found = FullyShardedDataParallel.optim_state_dict(wrapped, optimizer)
    assert found["state"].keys() == {0, 1, 2, 3}
    assert transformer_auto_wrap_policy(model[0], False, 1, {torch.nn.Linear})
    assert not ModuleWrapPolicy([torch.nn.Linear])(torch.nn.ReLU(), False)


def test_meshes():
    mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("dp", "tp"))
    assert mesh.size() == 1 and mesh.ndim == 2 and mesh["tp"].mesh_dim_names == ("tp",)
    assert mesh.get_coordinate() == [0, 0] and mesh.mesh.tolist() == [[0]]
    with pytest.raises(RuntimeError, match="world of one"):
        init_device_mesh("cpu", (2, 4))
    with pytest.raises(KeyError, match="pp"):
        mesh["pp"]


def test_distributed_tensors():
    mesh = init_device_mesh("cpu", (1,))
    x = torch.arange(4.0, requires_grad=True)
    made = distribute_tensor(x, mesh, [Shard(0)])
    assert isinstance(made, DTensor) and made.placements[0].is_shard(0) and made.requires_grad
    (made.full_tensor() ** 2).sum().backward()
    assert made.grad.tolist() == [0, 2, 4, 6] and x.grad is None
    local = DTensor.from_local(x * 2, mesh, [Replicate()])
    (local.redistribute(placements=[Shard(0)]).to_local() * 3).sum().backward()
    assert x.grad.tolist() == [6] * 4


def test_folders(tmp_path):
    model = _model()
    optimizer = _trained(model)
    state = {
        "model": states.get_model_state_dict(model),
        "optimizer": states.get_optimizer_state_dict(model, optimizer),
        "step": 3,
    }
    assert "0.weight" in state["optimizer"]["state"]
    checkpoint.save(state, checkpoint_id=tmp_path / "a")
    other = _model()
    second = _trained(other)
    for parameter in other.parameters():
        parameter.data.zero_()
    wanted = {
        "model": states.get_model_state_dict(other),
        "optimizer": states.get_optimizer_state_dict(other, second),
        "step": 0,
    }
    checkpoint.load(wanted, storage_reader=checkpoint.FileSystemReader(tmp_path / "a"))
    assert wanted["step"] == 3
    options = states.StateDictOptions(strict=True)
    states.set_model_state_dict(other, wanted["model"], options=options)
    states.set_optimizer_state_dict(other, second, wanted["optimizer"])
    for name, value in model.state_dict().items():
        assert other.state_dict()[name].tolist() == value.tolist()
    assert second.state_dict()["state"][0]["exp_avg"].tolist() == (
        optimizer.state_dict()["state"][0]["exp_avg"].tolist()
    )
    with pytest.raises(RuntimeError, match=r"Missing key .* more\."):
        checkpoint.load({"more": 1}, checkpoint_id=tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="save wrote"):
        checkpoint.load({}, checkpoint_id=tmp_path / "b")
    with pytest.raises(RuntimeError, match="Size mismatch"):
        checkpoint.load({"model": {"0.weight": torch.ones(1)}}, checkpoint_id=tmp_path / "a")
    assert checkpoint.async_save({"m": model}, checkpoint_id=tmp_path / "c").done()


def test_stores_and_the_default_group():
    store = torch.distributed.TCPStore("localhost", 29500, 1, True)
    store.set("a", "text")
    assert store.get("a") == b"text" and store.add("n", 2) == 2 and store.num_keys() == 2
    with pytest.raises(RuntimeError, match="nobody else"):
        store.get("b")
    with pytest.raises(RuntimeError, match="world of one"):
        torch.distributed.TCPStore("localhost", 29500, 2)
    if not torch.distributed.is_initialized():
        with pytest.raises(ValueError, match="init_process_group"):
            distributed_c10d._get_default_group()
