"""torch.utils' smaller parts, torch.hub, storages and DLPack."""

from __future__ import annotations

import hashlib
import importlib.util
from collections import OrderedDict, namedtuple

import numpy
import pytest

import flambeau as torch
from flambeau import hub
from flambeau.autograd.function import Function, FunctionCtx, once_differentiable
from flambeau.utils import _pytree as pytree
from flambeau.utils import cpp_extension, model_zoo
from flambeau.utils.benchmark import Compare, Measurement, Timer
from flambeau.utils.checkpoint import checkpoint, checkpoint_sequential
from flambeau.utils.dlpack import from_dlpack, to_dlpack

Pair = namedtuple("Pair", ["first", "second"])


def test_trees_come_apart_and_together():
    tree = {"b": [1, (2, None)], "a": OrderedDict(x=Pair(3, 4)), "c": []}
    leaves, spec = pytree.tree_flatten(tree)
    assert leaves == [1, 2, None, 3, 4] and spec.num_leaves == 5
    assert pytree.tree_unflatten(leaves, spec) == tree
    doubled = pytree.tree_map_only(int, lambda x: 2 * x, tree)
    assert doubled == {"b": [2, (4, None)], "a": OrderedDict(x=Pair(6, 8)), "c": []}
    assert type(doubled["a"]["x"]) is Pair
    assert pytree.tree_map(lambda x, y: x + y, [1, (2,)], [10, (20,)]) == [11, (22,)]
    assert pytree.tree_leaves([1, [2]], is_leaf=lambda x: x == [2]) == [1, [2]]
    assert pytree.tree_structure([1, 2]) == pytree.tree_structure([3, 4]) != spec
    assert isinstance(pytree.tree_structure(1), pytree.LeafSpec)
    assert pytree.tree_all(bool, [1, 2]) and pytree.tree_any_only(int, bool, [0, 1])
    with pytest.raises(ValueError, match="`leaves` has length 1"):
        pytree.tree_unflatten([1], spec)
    with pytest.raises(ValueError, match="Node type mismatch"):
        pytree.tree_map(lambda x, y: x, [1], (1,))


class Box:
    def __init__(self, value):
        self.value = value


def test_own_containers():
    pytree.register_pytree_node(Box, lambda box: ([box.value], None), lambda v, _: Box(*v))
    assert pytree.tree_map(lambda x: x + 1, [Box(1)])[0].value == 2
    with pytest.raises(ValueError, match="already registered"):
        pytree.register_pytree_node(Box, None, None)
    del pytree.SUPPORTED_NODES[Box]


@pytest.mark.parametrize("reentrant", [True, False, None])
def test_checkpointed_gradients(reentrant):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        *[torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh()) for _ in range(4)]
    )
    x = torch.randn(3, 4, requires_grad=True)
    model(x).sum().backward()
    wanted, given = [p.grad.clone() for p in model.parameters()], x.grad.clone()
    model.zero_grad()
    x.grad = None
    y = checkpoint(model[0], x, use_reentrant=reentrant)
    checkpoint_sequential(model[1:], 2, y, use_reentrant=reentrant).sum().backward()
    for parameter, gradient in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    torch.testing.assert_close(x.grad, given)


def test_reentrant_checkpoints_need_a_gradient_among_the_arguments():
    layer = torch.nn.Linear(2, 2)
    with pytest.warns(UserWarning, match="Gradients will be None"):
        assert not checkpoint(layer, torch.ones(1, 2), use_reentrant=True).requires_grad
    assert checkpoint(layer, input=torch.ones(1, 2), use_reentrant=False).requires_grad
    with pytest.raises(ValueError, match="Unexpected keyword"):
        checkpoint(layer, input=torch.ones(1, 2), use_reentrant=True)
    with pytest.raises(ValueError, match="segments=3"):
        checkpoint_sequential([layer], 3, torch.ones(1, 2))


def test_timer_computes_what_it_times():
    seen = []
    timer = Timer(
        "y = f(x)\ny",
        globals={"f": lambda x: seen.append(x * 2) or seen[-1], "x": torch.ones(3)},
        label="twice",
    )
    found = timer.timeit(5)
    assert isinstance(found, Measurement) and found.number_per_run == 5
    assert len(seen) == 7 and all(each._storage.node.buffer is not None for each in seen)
    assert found.mean > 0 and "twice" in repr(found)
    auto = Timer("x + 1", globals={"x": torch.ones(3)}, sub_label="add").blocked_autorange(
        min_run_time=0.01
    )
    assert auto.iqr >= 0 and len(auto.times) >= 1
    table = str(Compare([found, auto]))
    assert "add" in table and "Times are in" in table


def test_extensions_say_what_to_do():
    assert cpp_extension.CUDA_HOME is None and not cpp_extension.is_ninja_available()
    for use in (
        lambda: cpp_extension.load("x", ["x.cpp"]),
        lambda: cpp_extension.load_inline("x", "int x;"),
        lambda: cpp_extension.CUDAExtension("x", []),
        lambda: cpp_extension.CppExtension("x", []),
        lambda: cpp_extension.BuildExtension.with_options(use_ninja=False)(),
        cpp_extension.include_paths,
    ):
        with pytest.raises(RuntimeError, match="Write the operation with tensors"):
            use()


def test_dlpack_both_ways():
    x = torch.arange(6.0).reshape(2, 3)
    assert numpy.from_dlpack(x).tolist() == x.tolist() and x.__dlpack_device__() == (1, 0)
    assert from_dlpack(to_dlpack(x[:, 1])).tolist() == [1, 4]
    found = torch.from_dlpack(numpy.arange(3, dtype=numpy.int16))
    assert found.dtype is torch.int16 and found.tolist() == [0, 1, 2]
    with pytest.raises(BufferError, match="detach"):
        to_dlpack(torch.ones(1, requires_grad=True))
    with pytest.raises(BufferError, match="bfloat16"):
        to_dlpack(torch.ones(1, dtype=torch.bfloat16))


def test_storages():
    x = torch.arange(6.0)
    view = x.view(2, 3)[1]
    assert x.storage().size() == len(view.storage()) == 6 and view.untyped_storage().nbytes() == 24
    assert x.untyped_storage() == view.untyped_storage() != x.clone().untyped_storage()
    assert x.storage().data_ptr() == view.storage().data_ptr() == x.data_ptr()
    assert view.storage()[4] == 4 and x.storage().tolist() == x.tolist()
    assert x.storage().untyped().tolist() == list(x.numpy().tobytes())
    with pytest.warns(UserWarning, match="shares nothing"):
        assert x.share_memory_() is x
    assert isinstance(x.storage(), torch.TypedStorage)


def test_functions_contexts_and_variables():
    assert isinstance(torch.ones(1), torch.autograd.Variable)
    assert torch.autograd.Variable(torch.ones(1), requires_grad=True).requires_grad

    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            assert isinstance(ctx, FunctionCtx)
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2 * x

    x = torch.tensor(3.0, requires_grad=True)
    (found,) = torch.autograd.grad(Square.apply(x), x, create_graph=True)
    assert found.item() == 6 and not found.requires_grad
    with torch.autograd.profiler.record_function("part"):
        pass
    assert not torch.onnx.is_in_onnx_export()
    with pytest.raises(AssertionError, match="no"):
        torch._assert(torch.tensor(False), "no")


def test_weights_by_address(tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pt")
    data = (tmp_path / "a.pt").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    good, bad = tmp_path / f"net-{digest[:8]}.pth", tmp_path / "net-00000000.pth"
    good.write_bytes(data)
    bad.write_bytes(data)
    cache = tmp_path / "cache"
    found = model_zoo.load_url(good.as_uri(), str(cache), check_hash=True)
    assert found["w"].tolist() == [1, 1]
    good.unlink()  # from here on it is the kept file
    again = hub.load_state_dict_from_url(good.as_uri(), str(cache), map_location="cpu")
    assert again["w"].tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="invalid hash value"):
        hub.load_state_dict_from_url(bad.as_uri(), str(cache), check_hash=True)
    assert [each.name for each in cache.iterdir()] == [good.name]


def test_models_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "_folder", None)
    hub.set_dir(tmp_path / "hub")
    assert hub.get_dir() == str(tmp_path / "hub")
    (tmp_path / "hubconf.py").write_text(
        'dependencies = ["numpy"]\ndef net(n, scale=1):\n    "A net."\n    return n * scale\n'
    )
    where = str(tmp_path)
    assert hub.load(where, "net", 3, scale=2, source="local") == 6
    assert hub.list(where, source="local") == ["net"]
    assert hub.help(where, "net", source="local") == "A net."
    with pytest.raises(RuntimeError, match="Cannot find callable none"):
        hub.load(where, "none", source="local")
    (tmp_path / "hubconf.py").write_text('dependencies = ["no_such_module"]\n')
    with pytest.raises(RuntimeError, match="no_such_module"):
        hub.list(where, source="local")
    with pytest.raises(RuntimeError, match="trust_repo=True"):
        hub.load("owner/name", "net")
    with pytest.raises(ValueError, match="Unknown source"):
        hub.load("owner/name", "net", source="ftp")


def test_tensorboard(tmp_path):
    from flambeau.utils.tensorboard import SummaryWriter
    from flambeau.utils.tensorboard.summary import hparams

    if importlib.util.find_spec("tensorboardX") is None:
        with pytest.raises(ModuleNotFoundError, match=r"pip install flambeau\[tensorboard\]"):
            SummaryWriter(tmp_path)
        with pytest.raises(ModuleNotFoundError, match="tensorboardX"):
            hparams({}, {})
        return
    with SummaryWriter(tmp_path, flush_secs=1) as writer:
        writer.add_scalar("loss", torch.tensor(0.5), torch.tensor(1))
        writer.add_scalars("both", {"a": torch.tensor(1.0), "b": 2}, 1)
        writer.add_histogram("weights", torch.randn(10), 1)
        writer.add_image("image", torch.rand(3, 4, 4), 1)
        writer.add_text("text", "words")
        writer.add_hparams({"lr": 0.1}, {"loss": torch.tensor(1.0)})
        for each in hparams({"lr": 0.1}, {"loss": 1.0}):
            writer.file_writer.add_summary(each)
        with pytest.warns(UserWarning, match="not drawn"):
            writer.add_graph(None)
        writer.flush()
    data = b"".join(each.read_bytes() for each in tmp_path.glob("events*"))
    assert b"loss" in data and b"weights" in data and b"image" in data
