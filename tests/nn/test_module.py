"""Module: registration, traversal, hooks, state, conversion, copies."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy
import pytest

import flambeau as torch
from flambeau import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.norm(self.first(x)).relu())


def _values(tensor):
    return tensor.detach().numpy().copy()


def test_parameter():
    data = torch.ones(2)
    parameter = nn.Parameter(data)
    assert parameter.requires_grad and parameter.is_leaf and isinstance(parameter, torch.Tensor)
    assert repr(parameter).startswith("Parameter containing:\ntensor([1., 1.], requires_grad=True)")
    assert str(parameter) == f"{parameter}" == repr(parameter)
    with torch.no_grad():
        parameter.add_(1)
    assert data.tolist() == [2, 2]  # the storage is shared
    assert not isinstance(parameter + 1, nn.Parameter)
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    with pytest.raises(RuntimeError, match="floating point"):
        nn.Parameter(torch.arange(3))
    assert nn.Parameter(torch.arange(3), requires_grad=False).dtype is torch.int64
    assert tuple(nn.Parameter().shape) == (0,)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_of_parameters_and_modules(way):
    parameter = nn.Parameter(torch.ones(2))
    other = way(parameter)
    assert type(other) is nn.Parameter and other.requires_grad and other.tolist() == [1, 1]
    net = Net()
    net.tied = net.last
    twin = way(net)
    assert twin.tied is twin.last
    x = torch.randn(5, 3)
    assert _values(net(x)).tobytes() == _values(twin(x)).tobytes()
    with torch.no_grad():
        twin.first.weight.zero_()
    assert _values(net.first.weight).any()


def test_assignment_moves_a_name_between_kinds():
    module = nn.Module()
    module.x = 3
    module.x = nn.Parameter(torch.ones(1))
    assert list(module._parameters) == ["x"] and "x" not in module.__dict__
    module.x = None
    assert module.x is None and list(dict(module.named_parameters())) == []
    del module.x
    module.x = nn.Identity()
    assert list(dict(module.named_children())) == ["x"]
    module.x = nn.Parameter(torch.ones(1))
    assert not module._modules and list(module._parameters) == ["x"]
    module.register_buffer("b", torch.ones(1), persistent=False)
    module.b = torch.zeros(1)
    assert module.b.item() == 0 and list(module.state_dict()) == ["x"]
    module.c = nn.Buffer(torch.ones(1))
    assert list(module.state_dict()) == ["x", "c"]
    assert isinstance(module.c, nn.Buffer) and not isinstance(module.b, nn.Buffer)
    assert "x" in dir(module)


def test_members_before_init():
    class Early(nn.Module):
        def __init__(self):
            self.x = nn.Parameter(torch.ones(1))

    with pytest.raises(AttributeError, match=r"before Module\.__init__"):
        Early()


def test_shared_members_are_listed_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_forward_hooks():
    linear = nn.Linear(2, 2)
    x = torch.ones(1, 2)
    plain = _values(linear(x))
    seen = []
    first = linear.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    second = linear.register_forward_hook(lambda m, args, out: seen.append(args) or out + 1)
    expected = (x * 2) @ linear.weight.t() + linear.bias + 1
    numpy.testing.assert_allclose(_values(linear(x)), _values(expected), rtol=1e-6)
    assert seen[0][0].tolist() == [[2, 2]]
    first.remove()
    second.remove()
    assert _values(linear(x)).tobytes() == plain.tobytes()
    with linear.register_forward_hook(
        lambda m, args, kwargs, out: kwargs["input"], with_kwargs=True
    ):
        assert linear(input=x) is x
    order = []
    linear.register_forward_hook(lambda *_: order.append(1))
    linear.register_forward_hook(lambda *_: order.append(0), prepend=True)
    linear(x)
    assert order == [0, 1]


def test_hooks_that_are_always_called():
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    module, seen = Fails(), []
    module.register_forward_hook(lambda m, a, out: seen.append(out), always_call=True)
    with pytest.raises(ValueError, match="no"):
        module(1)
    assert seen == [None]


def test_full_backward_hooks():
    linear = nn.Linear(2, 2)
    x = torch.ones(3, 2, requires_grad=True)
    linear(x).sum().backward()
    plain = _values(x.grad)
    seen = []
    x.grad = None
    pre = linear.register_full_backward_pre_hook(lambda m, out: (out[0] * 3,))
    full = linear.register_full_backward_hook(
        lambda m, given, out: seen.append((given, out)) or (given[0] * 10,)
    )
    linear(x).sum().backward()
    numpy.testing.assert_allclose(_values(x.grad), 30 * plain, rtol=1e-6)
    ((given, out),) = seen
    assert out[0].tolist() == [[3, 3]] * 3
    numpy.testing.assert_allclose(_values(given[0]), 3 * plain, rtol=1e-6)
    pre.remove()
    full.remove()
    x.grad = None
    linear(x).sum().backward()
    assert _values(x.grad).tobytes() == plain.tobytes()
    # without an input that needs a gradient
    linear.register_full_backward_hook(lambda m, given, out: seen.append((given, out)))
    linear(torch.ones(3, 2)).sum().backward()
    assert seen[-1][0] == (None,) and seen[-1][1][0].tolist() == [[1, 1]] * 3


def test_state_dict_shares_storage_and_load_copies():
    net, other = Net(), Net()
    state = net.state_dict()
    assert not state["first.weight"].requires_grad
    assert state._metadata["norm"] == {"version": 2}
    with torch.no_grad():
        net.first.weight.fill_(3)
    assert state["first.weight"].sum().item() == 36
    before = other.first.weight
    assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
    assert other.first.weight is before and before.sum().item() == 36
    with torch.no_grad():
        net.first.weight.fill_(0)
    assert before.sum().item() == 36
    x = torch.randn(4, 3)
    other.load_state_dict(net.state_dict())
    assert _values(net.eval()(x)).tobytes() == _values(other.eval()(x)).tobytes()
    assert next(iter(net.state_dict(keep_vars=True).values())) is net.first.weight
    assert "p.first.bias" in net.state_dict(prefix="p.")


def test_load_state_dict_keys():
    net = Net()
    state = net.state_dict()
    del state["last.bias"]
    state["extra.weight"] = torch.ones(1)
    found = net.load_state_dict(state, strict=False)
    assert found.missing_keys == ["last.bias"] and found.unexpected_keys == ["extra.weight"]
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Net:\n"
        '\tMissing key(s) in state_dict: "last.bias". \n'
        '\tUnexpected key(s) in state_dict: "extra.weight". '
    )
    state = net.state_dict()
    state["first.weight"] = torch.ones(2, 2)
    with pytest.raises(RuntimeError, match=r"size mismatch for first.weight: .*\[2, 2\].*\[4, 3\]"):
        net.load_state_dict(state, strict=False)


def test_load_converts_or_assigns():
    linear = nn.Linear(2, 2)
    state = {key: value.double() for key, value in linear.state_dict().items()}
    weight = linear.weight
    linear.load_state_dict(state)
    assert linear.weight is weight and weight.dtype is torch.float32
    linear.load_state_dict(state, assign=True)
    assert linear.weight is not weight and linear.weight.dtype is torch.float64
    assert isinstance(linear.weight, nn.Parameter) and linear.weight.requires_grad


def test_old_batch_norm_checkpoints():
    norm = nn.BatchNorm1d(3)
    norm(torch.randn(4, 3))
    state = OrderedDict(norm.state_dict())
    del state["num_batches_tracked"]
    norm.load_state_dict(state)
    assert norm.num_batches_tracked.item() == 1


def test_state_dict_hooks_and_extra_state():
    class Extra(nn.Linear):
        seen = None

        def get_extra_state(self):
            return {"a": 1}

        def set_extra_state(self, state):
            self.seen = state

    module = Extra(2, 2)
    calls = []
    module.register_state_dict_pre_hook(lambda m, prefix, keep: calls.append(prefix))
    module.register_state_dict_post_hook(lambda m, state, prefix, local: calls.append(len(state)))
    module.register_load_state_dict_pre_hook(lambda m, state, *_: calls.append(m))
    module.register_load_state_dict_post_hook(lambda m, keys: calls.append(keys))
    state = module.state_dict()
    assert list(state) == ["weight", "bias", "_extra_state"]
    module.load_state_dict(state)
    assert module.seen == {"a": 1}
    assert calls[:3] == ["", 3, module] and calls[3].missing_keys == []


def test_training_mode_freezing_and_apply():
    net = Net()
    assert net.training and net.norm.training
    assert net.eval() is net and not net.norm.training
    net.requires_grad_(False)
    assert not any(each.requires_grad for each in net.parameters())
    names = []
    net.apply(lambda module: names.append(type(module).__name__))
    assert names == ["Linear", "BatchNorm1d", "Linear", "Net"]


def test_conversion_keeps_parameters_and_their_gradients():
    net = Net()
    weight = net.first.weight
    net(torch.randn(4, 3)).sum().backward()
    gradient = _values(weight.grad)
    assert net.double() is net
    assert net.first.weight is weight and weight.dtype is torch.float64
    assert weight.grad.dtype is torch.float64 and weight.requires_grad and weight.is_leaf
    numpy.testing.assert_array_equal(_values(weight.grad), gradient)
    assert net.norm.num_batches_tracked.dtype is torch.int64
    net(torch.randn(4, 3).double()).sum().backward()
    assert net.to(torch.float32).norm.running_mean.dtype is torch.float32
    assert net.to(device="cpu", dtype=torch.float16).last.bias.dtype is torch.float16
    assert net.float().to(torch.ones(1)).last.bias.dtype is torch.float32
    with pytest.raises(TypeError, match="only accepts floating point"):
        net.to(torch.int64)


def test_zero_grad():
    net = Net()
    net(torch.randn(4, 3)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.first.weight.grad.abs().sum().item() == 0
    net.zero_grad()
    assert net.first.weight.grad is None


def test_sequential():
    one, two, three = nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)
    net = nn.Sequential(one, two)
    net.append(three)
    assert len(net) == 3 and net[-1] is three and list(net) == [one, two, three]
    assert type(net[:2]) is nn.Sequential and list(net[:2]) == [one, two]
    net.insert(1, nn.Tanh())
    assert [*net._modules] == ["0", "1", "2", "3"] and type(net[1]) is nn.Tanh
    del net[1]
    assert list(net) == [one, two, three]
    assert net.pop(1) is two and list(net._modules) == ["0", "1"]
    named = nn.Sequential(OrderedDict(a=one, b=two))
    assert named.a is one and len(named + net) == 4
    net[0] = two
    assert net[0] is two


def test_module_list_and_dict():
    modules = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert len(modules[1:]) == 2 and type(modules[1:]) is nn.ModuleList
    modules += [nn.ReLU()]
    modules.insert(0, nn.Tanh())
    assert len(modules) == 5 and type(modules[0]) is nn.Tanh
    with pytest.raises(NotImplementedError):
        modules(1)
    named = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()})
    assert list(named) == ["b", "a"] and "b" in named and len(named) == 2
    assert type(named.pop("b")) is nn.ReLU
    named["c"] = nn.Linear(1, 1)
    assert [key for key, _ in named.items()] == ["a", "c"]


def test_parameter_containers():
    values = nn.ParameterList([torch.ones(2), nn.Parameter(torch.zeros(1)), 5])
    assert isinstance(values[0], nn.Parameter) and values[2] == 5 and len(values) == 3
    assert list(values.state_dict()) == ["0", "1"]
    values[0] = torch.zeros(3)
    assert values[0].numel() == 3 and len(values[1:]) == 2
    named = nn.ParameterDict({"a": torch.ones(2)})
    named["b"] = nn.Parameter(torch.ones(1))
    assert list(named) == ["a", "b"] and isinstance(named["a"], nn.Parameter)
    assert len(list(named.parameters())) == 2
    del named["a"]
    assert named.get("a") is None and list(named.state_dict()) == ["b"]


def test_embedding():
    table = nn.Embedding(5, 3, padding_idx=1)
    assert table.weight[1].abs().sum().item() == 0
    out = table(torch.tensor([[0, 1], [4, 0]]))
    assert tuple(out.shape) == (2, 2, 3)
    out.sum().backward()
    assert table.weight.grad.sum(1).tolist() == [6, 0, 0, 0, 3]
    given = nn.Embedding.from_pretrained(torch.arange(6.0).reshape(3, 2))
    assert not given.weight.requires_grad and given(torch.tensor([2])).tolist() == [[4, 5]]


def test_dropout_by_mode():
    torch.manual_seed(0)
    dropout = nn.Dropout(0.25)
    x = torch.ones(1000)
    kept = dropout(x)
    assert set(kept.tolist()) == {0.0, float(numpy.float32(1 / 0.75))}
    assert 0.15 < (kept == 0).float().mean().item() < 0.35
    assert dropout.eval()(x).tolist() == x.tolist()


def test_batch_norm_statistics():
    norm = nn.BatchNorm1d(2, momentum=0.5)
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    norm(x)
    assert norm.running_mean.tolist() == [1, 2]  # half of the means 2 and 4
    assert norm.running_var.tolist() == [1.5, 4.5]  # half of 1, half of the unbiased 2 and 8
    assert norm.num_batches_tracked.item() == 1
    norm.reset_running_stats()
    assert norm.running_var.tolist() == [1, 1] and norm.num_batches_tracked.item() == 0


def test_parameters_as_a_vector():
    net = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert tuple(vector.shape) == (9,)
    nn.utils.vector_to_parameters(torch.arange(9.0), net.parameters())
    assert net.weight.tolist() == [[0, 1], [2, 3], [4, 5]] and net.bias.tolist() == [6, 7, 8]


def test_clipping_that_meets_infinity():
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([float("inf"), 1.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([parameter], 1.0, error_if_nonfinite=True)
    with pytest.warns(UserWarning, match="no gradient clipping"):
        assert nn.utils.clip_grad_norm_([], 1.0).item() == 0


def test_a_copied_parameter_has_no_gradient():
    layer = nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    assert copy.deepcopy(layer).weight.grad is None and layer.weight.grad is not None
    tensor = torch.ones(2, requires_grad=True)
    tensor.sum().backward()
    assert copy.deepcopy(tensor).grad.tolist() == [1.0, 1.0]


def test_the_old_backward_hook_is_called():
    layer, seen = nn.Linear(2, 2), []
    layer.register_backward_hook(lambda module, given, out: seen.append((given, out)))
    layer(torch.ones(1, 2, requires_grad=True)).sum().backward()
    assert seen[0][1][0].tolist() == [[1.0, 1.0]]


def test_settings_of_attention_are_kept_within_the_block():
    with torch.backends.cuda.sdp_kernel(enable_flash=False):
        assert not torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()
