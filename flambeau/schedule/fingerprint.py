"""What cached plans depend on beside their graph: this package's own source."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path


@functools.cache
def source_fingerprint() -> str:
    """A hash of the package's source: a changed rule or template makes a new plan."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for part in ("graph", "autograd", "schedule", "kernel", "device", "ops", "optim", "nn"):
        for path in sorted((package / part).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
