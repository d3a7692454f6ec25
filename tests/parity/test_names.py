"""Less common names give what PyTorch's give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from names_table import CASES

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [each for part in value for each in flat(part)]
    if isinstance(value, (torch.Tensor, flambeau.Tensor)):
        return [value.detach().numpy()]
    return [value]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_case(name: str) -> None:
    found, expected = flat(CASES[name](flambeau)), flat(CASES[name](torch))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert type(one) is type(other)
        if isinstance(one, str):
            assert one == other
            continue
        np.testing.assert_allclose(one, other, 1e-5, 1e-6)
        assert np.asarray(one).dtype == np.asarray(other).dtype
