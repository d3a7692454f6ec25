"""Devices that the operations' tables run on, and the tables' own helpers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flambeau as torch
from flambeau.device import base

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["reference", "cpu", "webgpu"])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each device in turn as the default one; skips, saying why, where it cannot be used."""
    try:
        base.get(request.param)
    except RuntimeError as error:
        pytest.skip(f"{request.param}: {error}")
    with torch.device(request.param):
        yield request.param


def lacks(device: str, dtype: torch.dtype) -> str | None:
    """Why the device has no arrays of this dtype; None where it has."""
    return base.get(device).supports(dtype)
