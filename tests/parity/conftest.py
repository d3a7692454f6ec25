"""The tables of tests/ops and tests/tensor, which are compared with PyTorch here."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("ops", "tensor"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))
