"""Which Flambeau is measured: as a wheel has it, hot modules compiled, or as Python alone."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILED = ROOT / "build" / "compiled"


@functools.cache
def environment(compiled: bool = True) -> dict[str, str]:
    """Variables for processes that measure; compiles what has changed since the last time."""
    if not compiled:
        return {"PYTHONPATH": str(ROOT)}
    sys.path.insert(0, str(ROOT))
    from hatch_build import compiled_copy

    compiled_copy(COMPILED)
    return {"PYTHONPATH": f"{COMPILED}{os.pathsep}{ROOT}", "PYTHONSAFEPATH": "1"}
