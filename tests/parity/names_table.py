"""Calls of less common names, on either library: what they give must be the same."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CASES: dict[str, Callable[[Any], Any]] = {}


def case(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    CASES[function.__name__] = function
    return function


def lists(torch: Any) -> list[Any]:
    return [torch.tensor([1.0, -2.0]), torch.tensor([[3.0, 4.0], [5.0, 6.0]])]


@case
def foreach_unary(torch: Any) -> Any:
    names = ("abs", "neg", "sqrt", "exp", "ceil", "sign", "reciprocal", "clone", "max", "norm")
    return [getattr(torch, f"_foreach_{name}")(lists(torch)) for name in names]


@case
def foreach_with_arguments(torch: Any) -> Any:
    one, other = lists(torch), lists(torch)
    return [
        torch._foreach_add(one, 1.5),
        torch._foreach_add(one, other, alpha=2),
        torch._foreach_mul(one, [2.0, 3.0]),
        torch._foreach_mul(one, torch.tensor(2.0)),
        torch._foreach_sub(one, other),
        torch._foreach_div(one, 2.0),
        torch._foreach_pow(2.0, one),
        torch._foreach_lerp(one, other, 0.25),
        torch._foreach_addcmul(one, other, other, [1.0, 2.0]),
        torch._foreach_addcdiv(one, other, other, value=0.5),
        torch._foreach_clamp_min(one, 0.0),
        torch._foreach_maximum(one, other),
        torch._foreach_norm(one, 1),
    ]


@case
def foreach_in_place(torch: Any) -> Any:
    tensors = lists(torch)
    given = torch._foreach_add_(tensors, 1.0)
    assert given is tensors
    torch._foreach_mul_(tensors, lists(torch))
    torch._foreach_lerp_(tensors, lists(torch), 0.5)
    torch._foreach_addcdiv_(tensors, lists(torch), lists(torch), value=0.5)
    copies = [each.clone() for each in tensors]
    torch._foreach_copy_(tensors, lists(torch))
    copies += [each.clone() for each in tensors]
    torch._foreach_zero_(tensors)
    return [copies, tensors]


@case
def flat_lists(torch: Any) -> Any:
    utils = importlib.import_module(f"{torch.__name__}._utils")
    flat = utils._flatten_dense_tensors(lists(torch))
    rebuilt = utils._rebuild_tensor_v2(torch.arange(6.0).storage(), 1, (2, 2), (2, 1), True, None)
    return [flat, utils._unflatten_dense_tensors(flat * 2, lists(torch)), rebuilt]


@case
def other_memory(torch: Any) -> Any:
    seer, memory = torch.zeros(3), torch.ones(2, 2)
    seer.set_(memory)
    seer.add_(1)
    whole = seer.clone()
    seer.set_(memory.untyped_storage(), 1, (2,), (1,))
    part = seer.clone()
    seer.set_()
    return [whole, memory, part, seer, torch.ones(2, dtype=torch.float16).dequantize()]


@case
def a_file(torch: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "numbers")
        np.arange(5, dtype=np.float32).tofile(path)
        return torch.from_file(path, size=3)


@case
def hooks_after_accumulation(torch: Any) -> Any:
    leaf, seen = torch.ones(2, requires_grad=True), []

    def hook(parameter: Any) -> None:
        seen.append(parameter.grad.clone())
        parameter.grad = None

    handle = leaf.register_post_accumulate_grad_hook(hook)
    (leaf * 3).sum().backward()
    assert leaf.grad is None
    handle.remove()
    (leaf * 4).sum().backward()
    return [seen, leaf.grad]


@case
def saved_by_functions(torch: Any) -> Any:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x * gradient

    graph = torch.autograd.graph
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with graph.saved_tensors_hooks(lambda tensor: (tensor * 10,), lambda packed: packed[0]):
        result = Square.apply(x).sum()
    result.backward()
    first = x.grad.clone()
    with graph.save_on_cpu():
        result = Square.apply(x).sum()
    result.backward()
    return [first, x.grad]


@case
def several_gradients(torch: Any) -> Any:
    found: list[Any] = []
    a, b = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    graph = torch.autograd.graph
    handle = graph.register_multi_grad_hook((a, b), lambda given: found.extend(given))
    (a * 2 + b * 3).backward()
    handle.remove()
    (a * 2 + b * 3).backward()
    graph.register_multi_grad_hook((a, b), found.append, mode="any")
    (a * 4 + b * 4).backward()
    return found


@case
def dual_numbers(torch: Any) -> Any:
    forward = importlib.import_module(f"{torch.__name__}.autograd.forward_ad")
    with forward.dual_level():
        plain = torch.tensor([1.0, 2.0])
        dual = forward.make_dual(plain, torch.tensor([1.0, 0.5]))
        out = forward.unpack_dual((dual.sin() * dual).exp())
        assert forward.unpack_dual(plain).tangent is None
        found = [out.primal, out.tangent, forward.unpack_dual(dual).tangent]
        both = forward.make_dual(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 1.0]))
        found.append(forward.unpack_dual((dual * both).mean()).tangent)
        found.append(forward.unpack_dual(dual * 2).tangent)
    return found


@case
def sparse_adam(torch: Any) -> Any:
    layer = torch.nn.Embedding(5, 2, sparse=True)
    layer.weight.data = torch.arange(10.0).view(5, 2) / 10
    optimizer = torch.optim.SparseAdam(layer.parameters(), lr=0.1)
    for words in ([0, 1], [1, 2], [1, 1]):
        optimizer.zero_grad()
        (layer(torch.tensor(words)) ** 2).sum().backward()
        optimizer.step()
    return layer.weight.data


def kinds(values: Any) -> list[str]:
    return [type(each).__name__ for each in values]


@case
def derived_classes(torch: Any) -> Any:
    class Mine(torch.Tensor):
        pass

    x = torch.ones(2, requires_grad=True).as_subclass(Mine)
    made = Mine([1, 2])
    made[0] = 9
    results = [x + 1, 1 + x, torch.cat([x, x]), x.max(0).values, x[0], x.T, x.data, x.detach()]
    results += [torch.reshape(x, (1, 2)), torch.nn.functional.relu(x), x.new_ones(2), x == x, x @ x]
    results += [*x, x.numpy(force=True), torch.zeros_like(x), x.shape, x.as_subclass(torch.Tensor)]
    return [kinds(results), x.requires_grad, x.is_leaf, made, repr(made), made.is_leaf]


@case
def what_classes_and_modes_see(torch: Any) -> Any:
    overrides = importlib.import_module(f"{torch.__name__}.overrides")
    log: list[str] = []

    class Seeing(torch.Tensor):
        @classmethod
        def __torch_function__(
            cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            log.append(func.__name__)
            return super().__torch_function__(func, types, args, kwargs)

    class Mode(overrides.TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            log.append(func.__name__)
            return func(*args, **(kwargs or {}))

    x = torch.ones(2).as_subclass(Seeing)
    y = torch.stack([x.reshape(2, 1), x.unsqueeze(1)]).sum(0)
    z = torch.nn.Linear(2, 3)(x)
    with Mode():
        torch.ones(2).cos().reshape(2, 1)
        torch.nn.functional.gelu(torch.zeros(2))
    return [log, kinds([y, z])]


@case
def points_of_sobol(torch: Any) -> Any:
    quasirandom = importlib.import_module(f"{torch.__name__}.quasirandom")
    plain = quasirandom.SobolEngine(21)
    mixed = quasirandom.SobolEngine(5, scramble=True, seed=5)
    found = [plain.draw(40), mixed.draw(1), mixed.draw(7), mixed.fast_forward(5).draw(2)]
    torch.manual_seed(3)
    return [*found, quasirandom.SobolEngine(3, scramble=True).draw(4)]


@case
def numbers(torch: Any) -> Any:
    return [
        torch.sym_int(2.5),
        torch.sym_min(1, 2),
        torch.sym_max(1, 2.0),
        torch.sym_ite(True, 1, 2),
        torch.sym_not(True),
        torch.sym_float(2),
        isinstance(3, torch.SymInt),
        torch.cpu.is_available(),
        torch.cpu.device_count(),
        torch.cpu.current_device(),
    ]
