"""Weight norm, spectral norm, orthogonal, pruning, fusion and lazy modules: PyTorch's numbers."""

from __future__ import annotations

import copy
import importlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
prunes = {flambeau: flambeau.nn.utils.prune, torch: importlib.import_module("torch.nn.utils.prune")}

LIBRARIES = (flambeau, torch)


def both(program: Callable[[Any], list[Any]], rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Run with each library from the same seed; everything returned must agree."""
    found = []
    for library in LIBRARIES:
        library.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = program(library)
        found.append(
            [each.detach().numpy() if hasattr(each, "detach") else each for each in results]
        )
    assert len(found[0]) == len(found[1])
    for one, other in zip(*found, strict=True):
        if isinstance(other, np.ndarray):
            np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)
        else:
            assert one == other


def state(module: Any) -> list[Any]:
    """Keys and values, and the names of the parameters."""
    values = module.state_dict()
    names = [name for name, _ in module.named_parameters()]
    return [list(values), names, *values.values()]


def trained(library: Any, module: Any, x: Any, steps: int = 2) -> list[Any]:
    """Losses, gradients of the last step and the state after some steps of SGD."""
    optimizer = library.optim.SGD(module.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = module(x).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss)
    return [*losses, *[each.grad for each in module.parameters()], *state(module)]


LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "Linear": (lambda nn: nn.Linear(4, 3), (5, 4)),
    "Conv2d": (lambda nn: nn.Conv2d(2, 3, 3), (2, 2, 5, 5)),
    "ConvTranspose1d": (lambda nn: nn.ConvTranspose1d(2, 3, 3), (2, 2, 5)),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "norm",
    [
        lambda utils, m: utils.weight_norm(m),
        lambda utils, m: utils.weight_norm(m, dim=None),
        lambda utils, m: utils.weight_norm(m, "weight", 1),
        lambda utils, m: utils.spectral_norm(m),
        lambda utils, m: utils.spectral_norm(m, n_power_iterations=3, dim=1),
        lambda utils, m: utils.parametrizations.weight_norm(m),
        lambda utils, m: utils.parametrizations.weight_norm(m, dim=None),
        lambda utils, m: utils.parametrizations.spectral_norm(m),
        lambda utils, m: utils.parametrizations.spectral_norm(m, "weight", 2, dim=-1),
    ],
    ids=["wn", "wn_none", "wn_1", "sn", "sn_1", "p_wn", "p_wn_none", "p_sn", "p_sn_last"],
)
def test_normalised_layers(layer: str, norm: Any) -> None:
    make, shape = LAYERS[layer]

    def program(library: Any) -> list[Any]:
        module = norm(library.nn.utils, make(library.nn))
        before = state(module)
        x = library.randn(*shape)
        after = trained(library, module, x)
        module.eval()
        return [repr(module), *before, *after, module(x), module.weight, *state(module)]

    both(program, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_the_functions_of_weight_norm(dim: int) -> None:
    def program(library: Any) -> list[Any]:
        v = library.randn(3, 4, 2, requires_grad=True)
        norms = library.norm_except_dim(v, 2, dim)
        g = library.rand(norms.shape, requires_grad=True)
        weight = library._weight_norm(v, g, dim)
        (weight * library.arange(24.0).view(3, 4, 2)).sum().backward()
        half = library._weight_norm(v.detach().half(), g.detach().half(), dim)
        facts = [str(half.dtype)[-7:], bool(library.isfinite(half).all())]
        return [norms, library.norm_except_dim(v, 3, dim), weight, v.grad, g.grad, *facts]

    both(program)


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_norms_are_removed(kind: str) -> None:
    def program(library: Any) -> list[Any]:
        utils = library.nn.utils
        module = getattr(utils, kind)(library.nn.Linear(4, 3))
        x = library.randn(2, 4)
        before = module(x)
        getattr(utils, f"remove_{kind}")(module)
        with pytest.raises(ValueError, match="not found in"):
            getattr(utils, f"remove_{kind}")(module)
        return [before, module(x), type(module.weight).__name__, *state(module)]

    both(program)


@pytest.mark.parametrize("name", [None, "matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_orthogonal(name: str | None, shape: tuple[int, int]) -> None:
    def program(library: Any) -> list[Any]:
        module = library.nn.Linear(*shape).double()
        library.nn.utils.parametrizations.orthogonal(module, orthogonal_map=name)
        x = library.randn(2, shape[0], dtype=library.float64)
        results = [repr(module), *state(module), *trained(library, module, x), module.weight]
        value = library.nn.init.orthogonal_(library.empty(shape[1], shape[0]).double())
        module.weight = value
        return [*results, module.weight - value, *state(module)]

    both(program, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["matrix_exp", "cayley", "householder"])
def test_orthogonal_without_a_base(name: str) -> None:
    def program(library: Any) -> list[Any]:
        orthogonal = library.nn.utils.parametrizations.orthogonal
        module = library.nn.Linear(3, 5).double()
        orthogonal(module, orthogonal_map=name, use_trivialization=False)
        x = library.randn(2, 3, dtype=library.float64)
        return [*state(module), *trained(library, module, x), module.weight]

    both(program, rtol=1e-5, atol=2e-6)


def test_householder_product_and_geqrf() -> None:
    def program(library: Any) -> list[Any]:
        a = library.randn(2, 5, 3, dtype=library.float64)
        factors, tau = library.geqrf(a)
        factors, tau = factors.detach().requires_grad_(), tau.detach().requires_grad_()
        q = library.linalg.householder_product(factors, tau)
        (q * library.arange(30.0, dtype=library.float64).view(2, 5, 3)).sum().backward()
        return [factors, tau, q, factors.grad.tril(-1), tau.grad]

    both(program, 1e-9, 1e-9)


def custom(library: Any) -> Any:
    """Parametrizations as programs write them."""

    class Symmetric(library.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, a: Any) -> Any:
            return a.triu()

    class Exp(library.nn.Module):
        def forward(self, x: Any) -> Any:
            return library.matrix_exp(x)

    class Split(library.nn.Module):
        def forward(self, one: Any, other: Any) -> Any:
            return one * other

        def right_inverse(self, a: Any) -> Any:
            return a / 2, library.full_like(a, 2.0)

    return Symmetric, Exp, Split


def test_registered_parametrizations() -> None:
    def program(library: Any) -> list[Any]:
        parametrize = library.nn.utils.parametrize
        symmetric, exp, split = custom(library)
        module = library.nn.Linear(3, 3)
        same = module.weight
        parametrize.register_parametrization(module, "weight", symmetric())
        kept = module.parametrizations.weight.original is same
        parametrize.register_parametrization(module, "weight", exp())
        parametrize.register_parametrization(module, "bias", split())
        x = library.randn(2, 3)
        results = [kept, type(module).__name__, repr(module), *state(module)]
        results += trained(library, module, x)
        with parametrize.cached():
            results.append(module.weight is module.weight)
        results.append(module.weight is module.weight)
        results.append(parametrize.is_parametrized(module))
        results.append(parametrize.is_parametrized(module, "bias"))
        results.append(parametrize.type_before_parametrizations(module).__name__)
        other = copy.deepcopy(module)
        results += [other(x), type(other) is type(module)]
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
        results += [*state(module), type(module).__name__]
        parametrize.remove_parametrizations(module, "bias")
        results += [*state(module), type(module).__name__, module.weight is same]
        return results

    both(program)


@pytest.mark.parametrize("case", range(8))
def test_what_parametrize_refuses(case: int) -> None:
    def program(library: Any) -> list[Any]:
        parametrize = library.nn.utils.parametrize
        symmetric, exp, split = custom(library)
        module = library.nn.Linear(3, 3)
        register = parametrize.register_parametrization
        register(module, "bias", split())
        register(module, "weight", exp())

        class Wrong(library.nn.Module):
            def forward(self, x: Any) -> Any:
                return x[0]

        class Kind(library.nn.Module):
            def forward(self, x: Any) -> Any:
                return x.double()

        def assigned() -> None:
            module.weight = library.ones(3, 3)

        def replaced() -> None:
            module.weight = library.nn.Parameter(library.ones(3, 3))

        cases = [
            lambda: register(module, "nothing", exp()),
            lambda: register(library.nn.Linear(3, 3), "weight", Wrong()),
            lambda: register(library.nn.Linear(3, 3), "weight", Kind()),
            lambda: register(module, "weight", Wrong()),
            lambda: parametrize.remove_parametrizations(module, "bias", leave_parametrized=False),
            assigned,
            replaced,
            lambda: library.save(module, io.BytesIO()),
        ]
        with pytest.raises(Exception) as caught:  # noqa: PT011  # its type is compared
            cases[case]()
        return [caught.type.__name__]

    both(program)


def test_parametrized_state_between_libraries() -> None:
    """A checkpoint that PyTorch writes gives its outputs, with weight norm new or old."""
    for old in (False, True):
        outputs = []
        file = io.BytesIO()
        for library in (torch, flambeau):
            library.manual_seed(3 if library is torch else 4)
            nn, utils = library.nn, library.nn.utils
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                new = old and library is torch
                first = (utils if new else utils.parametrizations).weight_norm(nn.Linear(4, 6))
            second = utils.parametrizations.spectral_norm(nn.Linear(6, 6))
            third = utils.parametrizations.orthogonal(nn.Linear(6, 6))
            module = nn.Sequential(first, nn.Tanh(), second, third).eval()
            if library is torch:
                torch.save(module.state_dict(), file)
            else:
                file.seek(0)
                module.load_state_dict(flambeau.load(file))
            x = library.tensor(np.random.default_rng(0).standard_normal((3, 4)).astype("float32"))
            outputs.append(module(x).detach().numpy())
        np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)


def test_a_parametrized_buffer_and_parametrizations_with_state() -> None:
    def program(library: Any) -> list[Any]:
        class Scaled(library.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.scale = library.nn.Parameter(library.tensor(3.0))
                self.register_buffer("shift", library.tensor(1.0))

            def forward(self, x: Any) -> Any:
                return x * self.scale + (self.shift if self.training else 0.0)

        register = library.nn.utils.parametrize.register_parametrization

        class Table(library.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("table", library.arange(2.0))

            def forward(self, x: Any) -> Any:
                return x + self.table

        table = register(Table(), "table", Scaled())
        names = [name for name, _ in table.named_buffers()]
        inner = register(library.nn.Linear(2, 2), "weight", Scaled())
        model = library.nn.Sequential(table, inner)
        x = library.randn(3, 2)
        results = [names, *state(model), model(x), *trained(library, model, x), model.eval()(x)]
        model.double()
        return [*results, model(x.double())]

    both(program)


def test_originals_of_another_shape() -> None:
    """A symmetric matrix kept as the vector of its upper triangle."""

    def program(library: Any) -> list[Any]:
        rows, columns = library.triu_indices(3, 3)

        class FromVector(library.nn.Module):
            def forward(self, x: Any) -> Any:
                upper = library.zeros(3, 3).index_put((rows, columns), x)
                return upper + upper.triu(1).T

            def right_inverse(self, a: Any) -> Any:
                return a[rows, columns]

        class Vector(FromVector):
            def forward(self, x: Any) -> Any:
                return x

        register = library.nn.utils.parametrize.register_parametrization
        module = register(library.nn.Linear(3, 3), "weight", FromVector())
        results = [*state(module), *trained(library, module, library.ones(1, 3))]
        module.weight = library.eye(3)
        plain = library.nn.Linear(3, 3)
        with pytest.raises(ValueError, match="shape"):
            register(plain, "weight", Vector())
        return [*results, *state(module)]

    both(program)


def test_pruned_and_lazy_state_between_libraries() -> None:
    """What PyTorch pruned, and what was never called there, loads."""
    outputs = []
    pruned, lazy = io.BytesIO(), io.BytesIO()
    for library in (torch, flambeau):
        nn, prune = library.nn, prunes[library]
        module = nn.Conv2d(2, 3, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            uncalled = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
        if library is torch:
            prune.l1_unstructured(module, "weight", 0.5)
            torch.save(module.state_dict(), pruned)
            torch.save(uncalled.state_dict(), lazy)
        else:
            pruned.seek(0)
            lazy.seek(0)
            prune.identity(module, "weight")
            module.load_state_dict(flambeau.load(pruned))
            uncalled.load_state_dict(flambeau.load(lazy))
            assert uncalled(flambeau.ones(2, 4)).shape == (2, 3)
        outputs.append(module(library.arange(36.0).view(1, 2, 3, 6)).detach().numpy())
    np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-5)


# pruning ----------------------------------------------------------------------------------------


def test_pruning_one_after_the_other() -> None:
    def program(library: Any) -> list[Any]:
        prune = prunes[library]
        module = library.nn.Conv2d(3, 4, 2)
        x = library.randn(2, 3, 4, 4)
        results = [prune.is_pruned(module)]
        steps = [
            lambda: prune.identity(module, "weight"),
            lambda: prune.random_unstructured(module, "weight", 5),
            lambda: prune.l1_unstructured(module, "weight", 0.2),
            lambda: prune.ln_structured(module, "weight", amount=1, n=2, dim=0),
            lambda: prune.random_structured(module, "weight", amount=0.34, dim=1),
            lambda: prune.l1_unstructured(module, "bias", 2),
        ]
        for each in steps:
            each()
            results += [module.weight, *state(module)]
        results += trained(library, module, x)
        prune.remove(module, "weight")
        results += [*state(module), prune.is_pruned(module), module(x)]
        prune.remove(module, "bias")
        results += [prune.is_pruned(module), *state(module)]
        return results

    both(program)


def test_pruning_globally_and_by_mask() -> None:
    def program(library: Any) -> list[Any]:
        nn, prune = library.nn, prunes[library]
        module = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
        pairs = [(module[0], "weight"), (module[1], "weight")]
        prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=10)
        results = state(module)
        prune.global_unstructured(pairs, pruning_method=prune.RandomUnstructured, amount=0.2)
        results += state(module)
        mask = library.tensor([1.0, 0.0, 1.0])
        prune.custom_from_mask(module[1], "bias", mask)
        method = prune.L1Unstructured(0.5)
        t = library.tensor([3.0, -1.0, 2.0, -4.0])
        results += [method.prune(t), method.compute_mask(t, library.ones(4))]
        return [*results, *state(module)]

    both(program)


def test_what_pruning_refuses() -> None:
    def program(library: Any) -> list[Any]:
        nn, prune = library.nn, prunes[library]
        cases = [
            lambda m: prune.l1_unstructured(m, "weight", "half"),
            lambda m: prune.l1_unstructured(m, "weight", 1.5),
            lambda m: prune.l1_unstructured(m, "weight", 100),
            lambda m: prune.ln_structured(m, "bias", 1, 2, 0),
            lambda m: prune.ln_structured(m, "weight", 1, 2, 5),
            lambda m: prune.remove(m, "weight"),
            lambda m: prune.global_unstructured(3, prune.L1Unstructured, amount=1),
            lambda m: copy.deepcopy(prune.identity(m, "weight")),
        ]
        kinds = []
        for each in cases:
            with pytest.raises(Exception) as caught:  # noqa: PT011  # its type is compared
                each(nn.Linear(3, 2))
            kinds.append(caught.type.__name__)
        return kinds

    both(program)


# lazy modules -----------------------------------------------------------------------------------

LAZY: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "Linear": (lambda nn: nn.LazyLinear(3), (2, 5)),
    "Linear without bias": (lambda nn: nn.LazyLinear(3, bias=False), (2, 2, 5)),
    "Conv1d": (lambda nn: nn.LazyConv1d(4, 3, padding=1), (2, 3, 6)),
    "Conv2d": (lambda nn: nn.LazyConv2d(4, 3, stride=2, groups=2), (2, 6, 6, 6)),
    "Conv3d": (lambda nn: nn.LazyConv3d(2, 2, padding_mode="circular"), (1, 3, 4, 4, 4)),
    "ConvTranspose1d": (lambda nn: nn.LazyConvTranspose1d(4, 3, groups=2), (2, 6, 6)),
    "ConvTranspose2d": (lambda nn: nn.LazyConvTranspose2d(4, 3, 2, 1, 1), (2, 3, 4, 4)),
    "ConvTranspose3d": (lambda nn: nn.LazyConvTranspose3d(2, 2), (1, 3, 3, 3, 3)),
    "BatchNorm1d": (lambda nn: nn.LazyBatchNorm1d(), (4, 3)),
    "BatchNorm2d": (lambda nn: nn.LazyBatchNorm2d(momentum=0.3), (4, 3, 2, 2)),
    "BatchNorm3d": (lambda nn: nn.LazyBatchNorm3d(affine=False), (4, 3, 2, 2, 2)),
    "InstanceNorm1d": (lambda nn: nn.LazyInstanceNorm1d(), (4, 3, 6)),
    "InstanceNorm2d": (lambda nn: nn.LazyInstanceNorm2d(affine=False), (4, 3, 2, 2)),
    "InstanceNorm3d": (lambda nn: nn.LazyInstanceNorm3d(), (4, 3, 2, 2, 2)),
}


@pytest.mark.parametrize("name", LAZY)
def test_lazy_modules(name: str) -> None:
    make, shape = LAZY[name]

    def program(library: Any) -> list[Any]:
        module = make(library.nn)
        is_lazy = library.nn.parameter.is_lazy
        facts = [repr(module), [(n, is_lazy(p)) for n, p in module.named_parameters()]]
        facts += [list(module.state_dict()), [is_lazy(b) for b in module.buffers()]]
        other = make(library.nn)
        module(library.ones(*shape))
        x = library.randn(*shape)
        results = [*facts, type(module).__name__, repr(module), *state(module), module(x)]
        if "Instance" not in name:  # there PyTorch's cannot be called after loading
            other.load_state_dict(module.state_dict())
            results += [other(x), type(other).__name__, *state(other)]
        return results

    both(program, rtol=1e-4, atol=1e-5)


def test_lazy_parameters_before_the_first_call() -> None:
    def program(library: Any) -> list[Any]:
        nn = library.nn
        module = nn.LazyLinear(3)
        first = nn.LazyLinear(3)
        first.load_state_dict(module.state_dict())  # nothing to copy yet
        plain = nn.Linear(2, 3)
        cases: list[Callable[[], Any]] = [
            lambda: module.weight.shape,
            lambda: module.weight + 1,
            lambda: module.weight.numel(),
            lambda: plain.load_state_dict(module.state_dict()),
            lambda: nn.utils.weight_norm(nn.LazyLinear(3)),
            lambda: nn.LazyConv2d(3, 3)(library.ones(3)),
        ]
        kinds: list[Any] = []
        for each in cases:
            with pytest.raises(Exception) as caught:  # noqa: PT011  # its type is compared
                each()
            kinds.append(caught.type.__name__)
        module.double()
        found = module(library.ones(1, 2, dtype=library.float64))
        return [*kinds, repr(nn.LazyLinear(1).weight), str(found.dtype)[-7:]]

    both(program)


def test_a_lazy_module_of_ones_own() -> None:
    def program(library: Any) -> list[Any]:
        nn = library.nn

        class Scale(nn.modules.lazy.LazyModuleMixin, nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.factor = nn.UninitializedParameter()
                self.register_buffer("seen", nn.UninitializedBuffer())

            def initialize_parameters(self, x: Any) -> None:
                if self.has_uninitialized_params():
                    with library.no_grad():
                        self.factor.materialize((x.shape[-1],))
                        self.factor.fill_(2.0)
                        self.seen.materialize((1,))
                        self.seen.zero_()

            def forward(self, x: Any) -> Any:
                return x * self.factor

        module = nn.Sequential(Scale(), nn.LazyLinear(2))
        x = library.ones(2, 3)
        module(x).sum().backward()
        facts = [type(module[0].factor).__name__, type(module[0].seen).__name__]
        return [*facts, module[0].factor.grad, *state(module)]

    both(program)


# the rest ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["conv", "transposed", "linear"])
def test_fusion(kind: str) -> None:
    def program(library: Any) -> list[Any]:
        nn, fusion = library.nn, library.nn.utils.fusion
        if kind == "linear":
            layer, norm, x = nn.Linear(3, 4), nn.BatchNorm1d(4), library.randn(6, 3)
        else:
            of = nn.Conv2d if kind == "conv" else nn.ConvTranspose2d
            layer, norm = of(3, 4, 2, bias=kind == "conv"), nn.BatchNorm2d(4)
            x = library.randn(6, 3, 4, 4)
        norm(layer(x) * 3 + 1)
        layer.eval()
        norm.eval()
        if kind == "linear":
            fused = fusion.fuse_linear_bn_eval(layer, norm)
        else:
            fused = fusion.fuse_conv_bn_eval(layer, norm, transpose=kind == "transposed")
        close = bool(library.allclose(fused(x), norm(layer(x)), rtol=1e-4, atol=1e-5))
        return [close, *state(fused)]

    both(program)


def test_hooks_that_programs_look_at() -> None:
    def program(library: Any) -> list[Any]:
        w = library.ones(2, requires_grad=True)
        y = w * 2
        facts = [w._backward_hooks, y._backward_hooks, library.ones(1)._backward_hooks]
        handle = w.register_hook(lambda gradient: gradient * 3)
        y.register_hook(lambda gradient: gradient + 1)
        facts += [len(w._backward_hooks), len(y._backward_hooks)]
        y.sum().backward()
        facts.append(w.grad)
        handle.remove()
        facts.append(len(w._backward_hooks or ()))
        for first, second in (("", "full_"), ("full_", "")):
            module = library.nn.Linear(1, 1)
            facts.append(module._is_full_backward_hook)
            getattr(module, f"register_{first}backward_hook")(lambda *given: None)
            facts.append(module._is_full_backward_hook)
            with pytest.raises(RuntimeError, match="Cannot use both"):
                getattr(module, f"register_{second}backward_hook")(lambda *given: None)
        return facts

    both(program)


def test_hooks_of_all_modules() -> None:
    def program(library: Any) -> list[Any]:
        register = library.nn.modules.module
        seen: list[Any] = []
        model = library.nn.Sequential(library.nn.Linear(2, 2), library.nn.ReLU())
        model[0].register_forward_hook(lambda module, args, output: seen.append("own"))
        handles = [
            register.register_module_forward_pre_hook(
                lambda module, args: seen.append(("before", type(module).__name__))
            ),
            register.register_module_forward_hook(
                lambda module, args, kwargs, output: output * 2, with_kwargs=True
            ),
            register.register_module_full_backward_pre_hook(
                lambda module, given: seen.append(("gradient", type(module).__name__))
            ),
            register.register_module_full_backward_hook(
                lambda module, inner, outer: seen.append(("after", type(module).__name__))
            ),
        ]
        x = library.ones(1, 2, requires_grad=True)
        output = model(x)
        output.sum().backward()
        for each in handles:
            each.remove()
        return [output, x.grad, model(x), seen]

    both(program)


def test_skip_init_and_stateless() -> None:
    def program(library: Any) -> list[Any]:
        utils = library.nn.utils
        module = utils.skip_init(library.nn.Linear, 3, 2, dtype=library.float64)
        facts = [tuple(module.weight.shape), str(module.weight.dtype)[-7:], library.rand(2)]
        with pytest.raises(RuntimeError, match="device"):
            utils.skip_init(library.nn.ReLU)
        plain = library.nn.Linear(2, 2)
        values = {"weight": library.ones(2, 2), "bias": library.zeros(2)}
        call = utils.stateless.functional_call
        return [*facts, call(plain, values, library.ones(1, 2)), plain.weight]

    both(program)
