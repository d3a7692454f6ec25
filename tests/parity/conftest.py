"""The tables of tests/ops, which are compared with PyTorch here."""

from __future__ import annotations

import sys
from pathlib import Path

OPERATIONS = Path(__file__).parent.parent / "ops"
sys.path.insert(0, str(OPERATIONS))
