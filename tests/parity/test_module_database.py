"""PyTorch's own samples of its modules (`torch.testing._internal`'s module database) asked of ours.

The same seed makes both, and the keys of the state, results, gradients of arguments and of
parameters are compared, in training and not.
"""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("expecttest", reason="PyTorch's databases need expecttest")

import op_database
import torch
from torch.testing._internal.common_modules import module_db

import flambeau

SAMPLES = 6
"""So many samples of a module and a mode, spread evenly over those that there are."""

NOT_ASKED = {"nn.TransformerEncoder": "is given a layer of PyTorch's; see test_transformer_parity"}
DOUBLE = {"nn.FractionalMaxPool2d", "nn.FractionalMaxPool3d"}
"""Their samples hold random numbers of float64, and inputs must have the same dtype."""

MODULES = {each.name: each for each in module_db if each.name not in NOT_ASKED}


def samples(info: Any, training: bool) -> list[Any]:
    torch.manual_seed(0)
    dtype = torch.float64 if info.name in DOUBLE else torch.float32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = info.module_inputs_func(
            info, device="cpu", dtype=dtype, requires_grad=True, training=training
        )
    found = [each for each in made if each.forward_input is not None]
    return found[:: max(1, -(-len(found) // SAMPLES))]


def answer(make: Any, sample: Any, training: bool, to: Any, library: Any) -> Any:
    """(keys of the state, results, gradients) of one library."""
    leaves: list[Any] = []
    given = sample.constructor_input
    args, kwargs = to((given.args, given.kwargs), [])
    library.manual_seed(0)
    module = make(*args, **kwargs).train(training)
    args, kwargs = to((sample.forward_input.args, sample.forward_input.kwargs), leaves)
    library.manual_seed(1)
    results = list(op_database._flat(module(*args, **kwargs)))
    total: Any = None
    for each in results:
        if isinstance(each, library.Tensor) and each.requires_grad:
            weights = np.cos(np.arange(each.numel())).reshape(tuple(each.shape))
            term = (each * library.tensor(weights.astype(np.float32))).sum()
            total = term if total is None else total + term
    if total is not None:
        total.backward()
    gradients = [each.grad for each in (*leaves, *module.parameters())]
    return list(module.state_dict()), results, gradients


def dense(gradient: Any) -> Any:
    sparse = isinstance(gradient, torch.Tensor) and gradient.layout != torch.strided
    return gradient.to_dense() if sparse else gradient


def compare(info: Any, sample: Any, training: bool) -> bool:
    """Whether PyTorch itself takes the sample; ours must give the same then."""
    try:
        theirs = answer(info.module_cls, sample, training, op_database.copied, torch)
    except Exception:  # noqa: BLE001  # some samples are there to be refused
        return False
    own = getattr(flambeau.nn, info.module_cls.__name__)
    ours = answer(own, sample, training, op_database.converted, flambeau)
    assert ours[0] == theirs[0]
    wanted = [dense(each) for each in theirs[2]]
    op_database.alike(ours[1], theirs[1], ours[2], wanted)
    return True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODULES)
def test_module(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flambeau.ops.dropout, "_stream", "pytorch")
    info = MODULES[name]
    both = [(mode, each) for mode in (True, False) for each in samples(info, mode)]
    assert both
    asked = list(itertools.starmap(lambda mode, each: compare(info, each, mode), both))
    assert any(asked), "PyTorch refused every sample"
