"""Sobol' sequences: known points, balance, scrambling."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau.quasirandom import SobolEngine


def test_first_points() -> None:
    engine = SobolEngine(3)
    assert engine.draw(5).tolist() == [
        [0.0, 0.0, 0.0],
        [0.5, 0.5, 0.5],
        [0.75, 0.25, 0.25],
        [0.25, 0.75, 0.75],
        [0.375, 0.375, 0.625],
    ]
    assert engine.fast_forward(2).draw().tolist() == [[0.125, 0.625, 0.375]]
    assert engine.reset().draw(2).tolist() == [[0.0] * 3, [0.5] * 3]
    assert engine.num_generated == 2 and repr(engine) == "SobolEngine(dimension=3)"


@pytest.mark.parametrize("scramble", [False, True])
def test_every_dimension_is_balanced(scramble: bool) -> None:
    points = SobolEngine(21, scramble, seed=1).draw(256, dtype=torch.float64).numpy()
    cells = np.sort((points * 256).astype(int), 0)
    assert (cells == np.arange(256)[:, None]).all()


def test_scrambling_is_seeded() -> None:
    one = SobolEngine(4, scramble=True, seed=3).draw(8)
    assert torch.equal(one, SobolEngine(4, scramble=True, seed=3).draw(8))
    assert not torch.equal(one, SobolEngine(4, scramble=True, seed=4).draw(8))
    torch.manual_seed(0)
    first = SobolEngine(4, scramble=True).draw(2)
    torch.manual_seed(0)
    assert torch.equal(first, SobolEngine(4, scramble=True).draw(2))


def test_arguments() -> None:
    with pytest.raises(ValueError, match="dimensionality"):
        SobolEngine(0)
    engine = SobolEngine(2)
    assert engine.draw_base2(2).shape == (4, 2)
    with pytest.raises(ValueError, match="power of 2"):
        engine.draw_base2(1)
    target = torch.empty(0)
    assert engine.draw(3, out=target) is target and target.shape == (3, 2)
    assert engine.draw(0).shape == (0, 2)
