"""PyTorch's own samples of its operations (`torch.testing._internal`'s op database) asked of ours.

    python tests/parity/op_database.py [--match TEXT] [--samples N] [--write]

prints what fails and why, and the pass rate. `--write` records what fails, by cause, in
op_database_failing.tsv beside this file; test_op_database.py fails when anything else does, or when
something recorded passes.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flambeau

RECORD = Path(__file__).with_name("op_database_failing.tsv")
DTYPES = ("float32", "int64", "bool")
SAMPLES = 8
"""So many samples of an operation and a dtype, spread evenly over those that there are."""

TOLERANCE = {"float32": (1e-4, 5e-5), "float64": (1e-7, 1e-9), "complex64": (1e-4, 2e-5)}
HALF = (2e-2, 2e-2)
PRIVATE = ("torch.ops.", "ops.aten", "_")
"""How the names begin of what PyTorch calls itself, and no program does."""

MEANINGLESS = ("empty", "new_empty")
"""How the names begin of what has no values to compare."""

DIM_OF_PLACES = {"argsort": 0, "kthvalue": 1, "mode": 0, "sort": 0, "topk": 1}
"""Which argument is `dim` where the last result says where elements are: of equals, anywhere."""

REPLACED: dict[str, Any] = {"freeze_rng_state": contextlib.nullcontext}
"""Helpers that reach into PyTorch's insides, and what does here."""


@dataclass(frozen=True)
class Failure:
    """Why an operation does not pass: the kind of cause, and what was seen first."""

    cause: str
    seen: str


class Difference(Exception):  # noqa: N818  # an answer, not a mistake
    """A result that is not PyTorch's; `cause` is a word for the table."""

    def __init__(self, cause: str, seen: str) -> None:
        super().__init__(seen)
        self.cause = cause


@cache
def operations() -> dict[str, Any]:
    """The database: one entry for each operation and variant, by name."""
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

    return {_title(each): each for each in op_db if _is_public(each)}


def _is_public(info: Any) -> bool:
    if getattr(info.op, "__module__", None) == "torch._ops.aten":
        return False
    private = info.name.startswith(PRIVATE) or info.name.endswith("_backward")
    return _dunder(info.name) or not private


def _dunder(name: str) -> bool:
    return name.startswith("__")


def _title(info: Any) -> str:
    variant = info.variant_test_name
    return f"{info.name}.{variant}" if variant else str(info.name)


# from PyTorch to us ------------------------------------------------------------------------------


def ours(info: Any) -> Callable[..., Any]:
    """Our function for an entry. Raises Difference("missing") where there is none."""
    call = info.op
    if _is_helper(call):
        return translated(call)
    if _dunder(info.name):
        return _found(flambeau.Tensor, info.name)
    found: Any = flambeau
    for part in info.name.split("."):
        found = _found(found, part)
    if isinstance(found, flambeau.dtype):  # torch.cdouble; the entry is the method of that name
        return _found(flambeau.Tensor, info.name)  # type: ignore[no-any-return]  # by name
    return found  # type: ignore[no-any-return]  # by name


def _found(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except (AttributeError, ImportError) as error:
        raise Difference("missing", str(error).split(".")[0]) from error


def translated(function: Any) -> Any:
    """A helper of the database that calls torch, calling flambeau instead."""
    helper = isinstance(function, types.FunctionType) and _is_helper(function)
    return _translated(function) if helper else function


def _is_helper(function: Any) -> bool:
    return isinstance(function, types.FunctionType) and function.__module__.startswith(
        "torch.testing"
    )


@cache
def _translated(function: types.FunctionType) -> types.FunctionType:
    names = {**function.__globals__, "torch": flambeau, "F": flambeau.nn.functional}
    made = types.FunctionType(
        function.__code__,
        names,
        function.__name__,
        function.__defaults__,
        tuple(
            types.CellType(translated(cell.cell_contents)) for cell in function.__closure__ or ()
        ),
    )
    made.__kwdefaults__ = function.__kwdefaults__
    names |= {name: own for name, own in REPLACED.items() if name in names}
    for name in function.__code__.co_names:
        if _is_helper(names.get(name)):
            names[name] = made if names[name] is function else translated(names[name])
    return made


def converted(value: Any, leaves: list[Any]) -> Any:
    """An argument of a sample as ours; tensors that want gradients are appended to `leaves`."""
    if isinstance(value, torch.Tensor):
        if value.layout == torch.sparse_csr:
            parts = (value.crow_indices(), value.col_indices(), value.values())
            own = [converted(each.detach(), []) for each in parts]
            return flambeau.sparse_csr_tensor(*own, tuple(value.shape))
        if value.layout != torch.strided:
            raise Difference("sparse", f"a {value.layout} tensor")
        made = flambeau.tensor(value.detach().numpy(force=True).copy(), dtype=dtype(value.dtype))
        if value.requires_grad:
            made.requires_grad_()
            leaves.append(made)
        return made
    if isinstance(value, torch.nn.Module):
        return _found(flambeau.nn, type(value).__name__)()
    if isinstance(value, torch.dtype):
        return dtype(value)
    if isinstance(value, (torch.layout, torch.memory_format)):
        return _found(flambeau, str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.Size):
        return flambeau.Size(value)
    if isinstance(value, (list, tuple)):
        return type(value)(converted(each, leaves) for each in value)
    if isinstance(value, dict):
        return {key: converted(each, leaves) for key, each in value.items()}
    if isinstance(value, types.BuiltinFunctionType):
        return _found(flambeau.nn.functional, value.__name__)
    return translated(value)


def dtype(value: torch.dtype) -> Any:
    return _found(flambeau, str(value).removeprefix("torch."))


def copied(value: Any, leaves: list[Any]) -> Any:
    """A sample's argument as PyTorch's own, apart from the sample."""
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided:
            return value.clone()
        made = value.detach().clone()
        if value.requires_grad:
            made.requires_grad_()
            leaves.append(made)
        return made
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(copied(each, leaves) for each in value)
    if isinstance(value, dict):
        return {key: copied(each, leaves) for key, each in value.items()}
    return value


# one sample --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """One of the two libraries, with what is its own of an operation."""

    library: Any
    to: Any
    function: Any
    process: Any
    wrapper: Any  # of (function, arguments): a symmetric or triangular part of them

    def answer(self, info: Any, sample: Any) -> Any:
        """Results and gradients of one call."""
        leaves: list[Any] = []
        first, args, kwargs = self.to((sample.input, sample.args, sample.kwargs), leaves)
        self.library.manual_seed(0)
        results = list(_flat(self.process(self.wrapper(self.function, first, *args, **kwargs))))
        values = [each for each in results if isinstance(each, self.library.Tensor)]
        gradients = _gradients(values, leaves, self.library)
        if info.name in DIM_OF_PLACES and first.ndim:
            place = DIM_OF_PLACES[info.name]
            dim = args[place] if len(args) > place else kwargs.get("dim", -1)
            at = results[-1] if results[-1].ndim == first.ndim else results[-1].unsqueeze(dim)
            results[-1] = first.gather(dim, at)
        if info.name.startswith(MEANINGLESS):
            results = [self.library.zeros_like(each) for each in results]
        return results, gradients


def _dense(tensor: Any) -> Any:
    return tensor if str(tensor.layout) == "torch.strided" else tensor.to_dense()


def _plain(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def _gradients(results: list[Any], leaves: list[Any], library: Any) -> list[Any]:
    """Those of the results' sum with fixed weights; of complex results, of their parts'."""
    total: Any = None
    for each in results:
        if not each.requires_grad:
            continue
        real = library.view_as_real(each) if each.is_complex() else _dense(each)
        weights = np.cos(np.arange(real.numel())).reshape(tuple(real.shape)).astype(np.float32)
        term = (real * library.tensor(weights)).sum()
        total = term if total is None else total + term
    if total is None:
        return []
    total.backward()
    return [each.grad for each in leaves]


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)) and not isinstance(value, (torch.Size, flambeau.Size)):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def compare(info: Any, sample: Any) -> None:
    """Raises Difference where our answer is not PyTorch's; what PyTorch refuses is passed over.

    Gradients may differ where the operation does not read: PyTorch checks its own without that.
    """
    try:
        _compare(info, sample, _plain)
    except Difference as difference:
        if difference.cause != "gradient":
            raise
        _compare(info, sample, info.gradcheck_wrapper)


def _compare(info: Any, sample: Any, wrapper: Any) -> None:
    process = sample.output_process_fn_grad
    theirs = Side(torch, copied, info.op, process, wrapper)
    try:
        expected, wanted = theirs.answer(info, sample)
    except Exception:  # noqa: BLE001  # nothing to compare with: PyTorch itself raises
        return
    try:
        own = Side(flambeau, converted, ours(info), translated(process), translated(wrapper))
        found, gradients = own.answer(info, sample)
        flat = [*found, *(each for each in gradients if each is not None)]
        for each in flat:
            if isinstance(each, flambeau.Tensor):
                _numbers(each)
    except Difference:
        raise
    except Exception as error:  # whatever is raised is the difference
        text = str(error).splitlines() or [""]
        raise Difference("raises", f"{type(error).__name__}: {text[0][:150]}") from error
    try:
        alike(found, expected, gradients, wanted)
    except Difference:
        exact = replace(theirs, to=doubled).answer(info, sample)
        if "float64" not in repr(exact):
            raise
        alike(found, exact[0], gradients, exact[1], dtypes=False)


def doubled(value: Any, leaves: list[Any]) -> Any:
    """`copied` in float64: what both are meant to be near to."""
    if isinstance(value, torch.Tensor) and value.dtype is torch.float32:
        with torch.no_grad():
            value = value.double().requires_grad_(value.requires_grad)
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(doubled(each, leaves) for each in value)
    if isinstance(value, dict):
        return {key: doubled(each, leaves) for key, each in value.items()}
    return copied(value, leaves)


def alike(
    found: list[Any],
    expected: list[Any],
    gradients: list[Any],
    wanted: list[Any],
    dtypes: bool = True,
) -> None:
    """Raises Difference unless results and gradients are the same in number, and near."""
    if len(found) != len(expected):
        raise Difference("structure", f"{len(found)} results, PyTorch {len(expected)}")
    for one, other in zip(found, expected, strict=True):
        near(one, other, "value", dtypes)
    if len(gradients) != len(wanted):
        raise Difference("gradient", f"of {len(gradients)} inputs, PyTorch {len(wanted)}")
    for one, other in zip(gradients, wanted, strict=True):
        if other is None and one is not None and not one.any():
            continue  # PyTorch does not make the zeros
        if one is None and other is not None and not other.numel():
            continue
        if (one is None) != (other is None):
            raise Difference("gradient", f"{one if one is None else 'there'}, not as PyTorch")
        if one is not None:
            near(one, other, "gradient", dtypes)


def near(one: Any, other: Any, what: str, dtypes: bool) -> None:
    """Raises Difference unless the two are alike, without `dtypes` whatever their dtypes."""
    if not isinstance(other, torch.Tensor):
        if str(one).replace("flambeau.", "torch.") != str(other):
            raise Difference(what, f"{one!r:.60}, PyTorch {other!r:.60}")
        return
    if not isinstance(one, flambeau.Tensor):
        raise Difference("structure", f"a {type(one).__name__}, PyTorch a Tensor")
    if dtypes and repr(one.dtype).split(".")[-1] != repr(other.dtype).split(".")[-1]:
        raise Difference("dtype", f"{one.dtype!r}, PyTorch {other.dtype!r}")
    if tuple(one.shape) != tuple(other.shape):
        raise Difference("shape", f"{tuple(one.shape)}, PyTorch {tuple(other.shape)}")
    if other.layout != torch.strided and str(one.layout) != str(other.layout):
        raise Difference("sparse", f"{one.layout}, PyTorch {other.layout}")
    name = repr(one.dtype).split(".")[-1]
    relative, absolute = TOLERANCE.get(name, HALF if "float" in name else (0.0, 0.0))
    a, b = (_numbers(each) for each in (one, other))
    if not np.allclose(a, b, rtol=relative, atol=absolute, equal_nan=True):
        apart = np.abs(a.astype(np.float64, copy=False) - b) if a.dtype.kind != "c" else abs(a - b)
        raise Difference(what, f"apart by {np.nanmax(apart):.3g}" if apart.size else "apart")


def _numbers(tensor: Any) -> Any:
    tensor = _dense(tensor).detach()
    if repr(tensor.dtype).endswith(("bfloat16", "float16")):
        tensor = tensor.float()
    return np.asarray(
        tensor.numpy(force=True) if isinstance(tensor, torch.Tensor) else tensor.numpy()
    )


# one operation -----------------------------------------------------------------------------------


def samples(info: Any, name: str, most: int) -> Iterator[Any]:
    """At most so many samples for a dtype, spread over all."""
    kind = getattr(torch, name)
    if kind not in info.dtypes:
        return
    torch.manual_seed(0)
    wants = info.supports_autograd and kind.is_floating_point
    try:
        made = list(info.sample_inputs("cpu", kind, requires_grad=wants))
    except Exception:  # noqa: BLE001  # some of the database's makers need what is not built in
        return
    step = max(1, -(-len(made) // most))
    yield from made[::step]


def verdict(title: str, most: int = SAMPLES) -> Failure | int:
    """Why the operation fails, by its first failing sample; or how many samples passed."""
    info, passed = operations()[title], 0
    for name in DTYPES:
        for sample in samples(info, name, most):
            try:
                compare(info, sample)
            except Difference as difference:
                return Failure(difference.cause, f"{name}: {difference}")
            passed += 1
    return passed


def recorded() -> dict[str, str]:
    """The causes of what is known to fail, by operation."""
    if not RECORD.exists():
        return {}
    lines = RECORD.read_text().splitlines()
    return dict(line.split("\t")[:2] for line in lines if line and not line.startswith("#"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--match", default="", help="only operations whose name contains this")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="of an operation and a dtype")
    parser.add_argument("--write", action="store_true", help="record what fails")
    options = parser.parse_args()
    flambeau.set_dropout_stream("pytorch")
    failing, total, passed = {}, 0, 0
    for title in operations():
        if options.match not in title:
            continue
        found = verdict(title, options.samples)
        if isinstance(found, Failure):
            failing[title] = found
            print(f"{title:40} {found.cause:10} {found.seen}", flush=True)
        elif found == 0:
            continue  # nothing to compare in these dtypes
        else:
            passed += found
        total += 1
    causes = Counter(each.cause for each in failing.values())
    print(f"\n{total - len(failing)} of {total} operations pass, {passed} samples; failing:")
    print(", ".join(f"{count} {cause}" for cause, count in causes.most_common()))
    if options.write:
        lines = [f"{name}\t{each.cause}\t{each.seen}" for name, each in sorted(failing.items())]
        head = "# operation, cause, what was seen first (written by op_database.py --write)"
        RECORD.write_text("\n".join([head, *lines]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
