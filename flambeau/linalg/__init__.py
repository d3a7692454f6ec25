"""torch.linalg: linear algebra. The functions are in flambeau/ops/linalg."""

from __future__ import annotations

import importlib

from flambeau.ops.linalg.checks import LinAlgError

__all__ = ["LinAlgError"]

for _name in ("norms", "solve", "decompose", "products", "symmetric"):
    _module = importlib.import_module(f"flambeau.ops.linalg.{_name}")
    for _each in _module.__dict__["__all__"]:
        if _each != "logdet":
            globals()[_each] = getattr(_module, _each)
            __all__ += [_each]
