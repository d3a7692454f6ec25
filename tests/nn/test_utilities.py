"""nn.utils and lazy modules by what they promise, without PyTorch."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.nn.utils import parametrizations, parametrize, prune


def close(one: Any, other: Any, tolerance: float = 1e-5) -> None:
    values = [each.detach().numpy() if hasattr(each, "detach") else each for each in (one, other)]
    np.testing.assert_allclose(*values, rtol=tolerance, atol=tolerance)


def lengths(weight: Any) -> Any:
    return np.linalg.norm(weight.detach().numpy().reshape(weight.shape[0], -1), axis=1)


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(4, 3, 2)])
def test_weight_norm(layer: Any) -> None:
    before = layer.weight.detach().clone()
    module = parametrizations.weight_norm(layer)
    close(module.weight, before)
    close(module.parametrizations.weight.original0.flatten(), lengths(before))
    with torch.no_grad():
        module.parametrizations.weight.original0.fill_(2.0)
    close(lengths(module.weight), [2.0, 2.0, 2.0])
    module.weight.sum().backward()
    v = module.parametrizations.weight.original1
    inner = (v.grad * v).detach().flatten(1).sum(1)
    close(inner, [0.0, 0.0, 0.0])  # lengths do not depend on v's


def test_lengths_of_half_precision_do_not_overflow() -> None:
    v = torch.full((2, 8), 200.0).half()
    norms = torch.norm_except_dim(v)
    assert norms.dtype is torch.float16 and norms.shape == (2, 1)
    close(norms.float().flatten(), [565.5, 565.5], 1e-3)
    close(torch._weight_norm(v, norms).float(), v.float(), 1e-3)


def test_old_weight_norm_computes_before_each_forward() -> None:
    with pytest.warns(FutureWarning, match="parametrizations.weight_norm"):
        module = nn.utils.weight_norm(nn.Linear(4, 3), dim=None)
    with pytest.raises(RuntimeError, match="two weight_norm hooks"), pytest.warns(FutureWarning):
        nn.utils.weight_norm(module)
    assert list(module.state_dict()) == ["bias", "weight_g", "weight_v"]
    with torch.no_grad():
        module.weight_g.mul_(2)
    x = torch.ones(1, 4)
    close(module(x), x @ (2 * module.weight_v).t() + module.bias)
    assert module.weight_g.shape == ()
    nn.utils.remove_weight_norm(module)
    assert isinstance(module.weight, nn.Parameter) and not module._forward_pre_hooks


@pytest.mark.parametrize("apply", [nn.utils.spectral_norm, parametrizations.spectral_norm])
def test_spectral_norm_is_one(apply: Any) -> None:
    torch.manual_seed(0)
    module = apply(nn.Linear(5, 4), n_power_iterations=30)
    module(torch.ones(1, 5))
    assert abs(np.linalg.norm(module.weight.detach().numpy(), 2) - 1) < 1e-4
    module.eval()
    close(module(torch.ones(1, 5)), module(torch.ones(1, 5)), 0)


def test_spectral_norm_of_a_vector_is_its_length() -> None:
    module = parametrizations.spectral_norm(nn.Linear(5, 4), "bias")
    assert abs(np.linalg.norm(module.bias.detach().numpy()) - 1) < 1e-6


@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_orthogonal_stays_orthogonal(kind: str, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    module = parametrizations.orthogonal(nn.Linear(*shape), orthogonal_map=kind)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    module(torch.ones(2, shape[0])).pow(2).sum().backward()
    before = module.weight.detach()
    optimizer.step()
    q = module.weight.detach().numpy()
    assert np.abs(q - before.numpy()).max() > 1e-3
    small = q @ q.T if q.shape[0] < q.shape[1] else q.T @ q
    close(small, np.eye(min(shape)))


def test_orthogonal_refuses() -> None:
    with pytest.raises(ValueError, match="matrix or batch"):
        parametrizations.orthogonal(nn.Linear(2, 2), "bias")
    with pytest.raises(ValueError, match="orthogonal_map"):
        parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="cholesky")
    module = parametrizations.orthogonal(
        nn.Linear(2, 2), orthogonal_map="cayley", use_trivialization=False
    )
    with pytest.raises(NotImplementedError, match="use_trivialization"):
        module.weight = torch.eye(2)


def test_geqrf_gives_reflections() -> None:
    a = torch.randn(2, 5, 3, dtype=torch.float64)
    factors, tau = torch.geqrf(a)
    close(torch.linalg.householder_product(factors, tau) @ factors[:, :3].triu(), a, 1e-12)


class Double(nn.Module):
    def forward(self, x: Any) -> Any:
        return 2 * x

    def right_inverse(self, value: Any) -> Any:
        return value / 2


def test_a_parametrized_module_is_copied_saved_and_restored() -> None:
    module = nn.Linear(3, 2)
    same = module.weight
    value = same.detach().clone()
    parametrize.register_parametrization(module, "weight", Double())
    assert parametrize.is_parametrized(module) and isinstance(module, nn.Linear)
    close(module.weight, value)
    close(module.parametrizations.weight.original, value / 2)
    copied = copy.deepcopy(module)
    parametrize.remove_parametrizations(module, "weight")
    assert type(module) is nn.Linear and module.weight is same
    copied.weight = torch.ones(2, 3)  # the copy has a class of its own
    close(copied.parametrizations.weight.original, np.full((2, 3), 0.5))
    close(module.weight, value)
    fresh = parametrize.register_parametrization(nn.Linear(3, 2), "weight", Double())
    fresh.load_state_dict(copied.state_dict())
    close(fresh(torch.ones(1, 3)), copied(torch.ones(1, 3)))
    with pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(copied)


def test_a_parametrization_that_does_not_fit_changes_nothing() -> None:
    class Row(nn.Module):
        def forward(self, x: Any) -> Any:
            return x

        def right_inverse(self, value: Any) -> Any:
            return value[0]

    module = nn.Linear(3, 2)
    before = module.weight.detach().clone()
    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(module, "weight", Row())
    assert type(module) is nn.Linear and list(module.state_dict()) == ["weight", "bias"]
    close(module.weight, before, 0)


def test_cached_computes_once() -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, x: Any) -> Any:
            Counting.calls += 1
            return x

    module = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Counting())
    Counting.calls = 0
    with parametrize.cached():
        module(torch.ones(1, 2))
        with parametrize.cached():
            module(torch.ones(1, 2))
        assert module.weight is module.weight
    assert Counting.calls == 1
    module(torch.ones(1, 2))
    assert Counting.calls == 2


def test_transferred_parametrizations() -> None:
    source = parametrize.register_parametrization(nn.Linear(3, 2), "weight", Double())
    target = nn.Linear(3, 2)
    parametrize.transfer_parametrizations_and_params(source, target)
    assert target.parametrizations.weight.original is source.parametrizations.weight.original
    close(target.weight, source.weight)


def test_parametrized_weights_of_a_recurrent_layer() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    before = layer(x)[0]
    parametrizations.weight_norm(layer, "weight_hh_l0")
    close(layer(x)[0], before)
    layer(x)[0].sum().backward()
    assert layer.parametrizations.weight_hh_l0.original1.grad is not None


# pruning ----------------------------------------------------------------------------------------


def test_pruned_weights_stay_zero_in_training() -> None:
    torch.manual_seed(0)
    module = prune.l1_unstructured(nn.Linear(4, 3), "weight", 5)
    least = np.sort(np.abs(module.weight_orig.detach().numpy()).ravel())[:5]
    zero = module.weight.detach().numpy() == 0
    assert zero.sum() == 5
    close(np.sort(np.abs(module.weight_orig.detach().numpy()[zero])), least, 0)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        module(torch.ones(2, 4)).pow(2).sum().backward()
        optimizer.step()
    module(torch.ones(2, 4))
    assert ((module.weight.detach().numpy() == 0) == zero).all()
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other = prune.identity(nn.Linear(4, 3), "weight")
    other.load_state_dict(torch.load(file))
    close(other(torch.ones(1, 4)), module(torch.ones(1, 4)))
    original = module.weight_orig
    prune.remove(module, "weight")
    assert module.weight is original and not prune.is_pruned(module)
    assert ((module.weight.detach().numpy() == 0) == zero).all()


def test_structured_and_global_pruning() -> None:
    torch.manual_seed(0)
    layer = prune.ln_structured(nn.Conv2d(3, 4, 2), "weight", amount=2, n=1, dim=0)
    kept = layer.weight.detach().numpy().reshape(4, -1).any(1)
    sums = np.abs(layer.weight_orig.detach().numpy()).reshape(4, -1).sum(1)
    assert kept.sum() == 2 and sums[kept].min() > sums[~kept].max()
    prune.random_structured(layer, "weight", amount=1, dim=1)
    assert layer.weight_mask.sum() == 2 * 2 * 4
    pairs = [(nn.Linear(4, 4), "weight"), (nn.Linear(4, 2), "weight")]
    prune.global_unstructured(pairs, prune.L1Unstructured, amount=0.5)
    zeros = [int((module.weight == 0).sum()) for module, _ in pairs]
    assert sum(zeros) == 12
    largest = max(float(m.weight_orig[m.weight == 0].abs().max()) for m, _ in pairs)
    least = min(float(m.weight[m.weight != 0].abs().min()) for m, _ in pairs)
    assert largest < least


def test_a_method_of_ones_own() -> None:
    class EverySecond(prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t: Any, default_mask: Any) -> Any:
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    module = nn.Linear(3, 2)
    EverySecond.apply(module, "bias")
    assert module.bias_mask.tolist() == [0.0, 1.0]
    EverySecond.apply(module, "bias")
    assert module.bias_mask.tolist() == [0.0, 0.0]
    assert isinstance(next(iter(module._forward_pre_hooks.values())), prune.PruningContainer)


# lazy modules -----------------------------------------------------------------------------------


def test_lazy_layers_become_plain_ones() -> None:
    with pytest.warns(UserWarning, match="Lazy modules"):
        model = nn.Sequential(
            nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2)
        )
    assert isinstance(model[0].weight, nn.UninitializedParameter)
    assert repr(model[1].running_mean) == "<UninitializedBuffer>"
    copied = copy.deepcopy(model)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    assert all(map(nn.parameter.is_lazy, list(torch.load(file).values())[:5]))
    x = torch.randn(2, 3, 5, 5)
    model(x)
    names = [type(each).__name__ for each in model]
    assert names == ["Conv2d", "BatchNorm2d", "Flatten", "Linear"]
    assert model[3].in_features == 36 and not any(map(nn.parameter.is_lazy, model.parameters()))
    assert not model[0]._forward_pre_hooks and not model[0]._load_state_dict_pre_hooks
    copied.load_state_dict(model.state_dict())
    assert copied[0].weight.shape == (4, 3, 3, 3)
    close(copied.eval()(x), model.eval()(x), 0)
    assert copied[0].in_channels == 3 and copied[1].num_features == 4


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_an_optimizer_of_lazy_parameters(optimizer: Any) -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.LazyLinear(1))
    steps = optimizer(model.parameters(), lr=0.1)
    x = torch.ones(2, 4)
    losses = []
    for _ in range(5):
        loss = (model(x) - 1).pow(2).mean()
        losses.append(loss.item())
        steps.zero_grad()
        loss.backward()
        steps.step()
    assert losses[-1] < losses[0]


def test_lazy_parameters_have_no_values() -> None:
    weight = nn.UninitializedParameter(dtype=torch.float64)
    assert weight.dtype is torch.float64 and weight.requires_grad and weight.is_leaf
    with pytest.raises(RuntimeError, match="uninitialized parameter"):
        _ = weight.shape
    with pytest.raises(ValueError, match="UninitializedParameter"):
        _ = weight * 2
    weight.materialize((2, 3))
    assert type(weight) is nn.Parameter and weight.shape == (2, 3)
    assert weight.dtype is torch.float64 and weight.requires_grad


# the rest ---------------------------------------------------------------------------------------


def test_a_normalisation_is_folded_into_its_layer() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4)
    x = torch.randn(6, 3, 4, 4)
    norm(conv(x) * 2)
    with pytest.raises(AssertionError, match="eval"):
        nn.utils.fusion.fuse_conv_bn_eval(conv, norm)
    fused = nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
    close(fused(x), norm(conv(x)))
    assert fused is not conv and fused.weight.requires_grad


def test_skip_init_leaves_the_generator() -> None:
    torch.manual_seed(0)
    module = nn.utils.skip_init(nn.Linear, 3, 2)
    after = torch.rand(3)
    torch.manual_seed(0)
    close(after, torch.rand(3), 0)
    assert module.weight.shape == (2, 3)


def test_functional_call_in_its_old_place() -> None:
    module = nn.Linear(2, 1)
    values = {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}
    with pytest.warns(FutureWarning, match="torch.func"):
        found = nn.utils.stateless.functional_call(module, values, torch.ones(1, 2))
    assert found.item() == 2.0


def test_a_parameter_of_what_was_computed_is_a_leaf() -> None:
    w = torch.ones(3, requires_grad=True)
    made = nn.Parameter((w * 2).detach())
    assert made.is_leaf and made.requires_grad
    (made * 3).sum().backward()
    assert made.grad.tolist() == [3.0, 3.0, 3.0] and w.grad is None


def test_hooks_of_a_tensor_move_to_another() -> None:
    one, other = (torch.ones(2, requires_grad=True) for _ in range(2))
    assert one._backward_hooks is None
    one.register_hook(lambda gradient: gradient * 3)
    other._backward_hooks = one._backward_hooks
    (other * 2).sum().backward()
    assert other.grad.tolist() == [6.0, 6.0]
    other._backward_hooks = None
    assert other._backward_hooks is None


def test_a_modules_backward_hooks_are_of_one_kind() -> None:
    module = nn.Linear(1, 1)
    assert module._is_full_backward_hook is None
    module.register_backward_hook(lambda *given: None)
    assert module._is_full_backward_hook is False
    with pytest.raises(RuntimeError, match="Cannot use both"):
        module.register_full_backward_hook(lambda *given: None)
