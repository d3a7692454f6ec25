"""The tables and programs that are compared with PyTorch here lie in other folders."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("ops", "parity", "tensor", "programs"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))
