"""What computed a result: the evidence about device and plans that a record of a training keeps."""

from __future__ import annotations

import hashlib
from typing import Any

from flambeau.device import base
from flambeau.schedule.fingerprint import source_fingerprint
from flambeau.schedule.flush import plan_digests
from flambeau.version import __version__

__all__ = ["device_facts"]

_KIND = ("processor", "features", "llvm", "adapter", "driver", "backend")
"""What, of a device's facts, decides which bits come out; not the number of threads."""


def device_facts(device: Any) -> dict[str, Any]:
    """What computes on a device: for `openness.record()`'s `run.device(**device_facts(device))`.

    device: a torch.device or its name. Returns `kind` (devices of one kind give the same bits),
    `plans` (digests of all compiled plans this process has used so far, in order), `framework`
    and `source` (a hash of Flambeau's own code). Raises RuntimeError for an unknown device.
    """
    name = str(device).partition(":")[0]
    facts = base.get(name).information()
    shown = [f"{key} {_short(key, facts[key])}" for key in _KIND if key in facts]
    return {
        "kind": f"{name}: {', '.join(shown)}" if shown else name,
        "plans": plan_digests(),
        "framework": f"flambeau {__version__}",
        "source": source_fingerprint(),
    }


def _short(key: str, value: str) -> str:
    """Features of a processor are a hundred words: their hash says whether they are the same."""
    return hashlib.sha256(value.encode()).hexdigest()[:12] if key == "features" else value
