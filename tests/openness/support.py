"""Reference data and small helpers of the openness tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
UPSTREAM = DATA / "upstream"

REQUIRED_3 = [
    "Model architecture",
    "Model parameters (Final)",
    "Evaluation results",
    "Model card",
    "Data card",
    "Technical report",
]
REQUIRED_2 = ["Training code", "Inference code", "Evaluation code", "Evaluation data"]
REQUIRED_1 = [
    "Datasets",
    "Data preprocessing code",
    "Model parameters (Intermediate)",
    "Research paper",
]


def reference(name: str) -> dict[str, Any]:
    """One of the JSON files of reference results."""
    loaded: dict[str, Any] = json.loads((DATA / name).read_text("utf-8"))
    return loaded


def model_yaml(
    components: list[dict[str, Any]] | list[str], license_block: Any = None, **release: Any
) -> str:
    """A model file in the current layout, as text (JSON is YAML)."""
    items = [{"name": c} if isinstance(c, str) else c for c in components]
    document = {
        "framework": {
            "name": "Model Openness Framework",
            "version": "1.0",
            "date": "2024-12-15",
        },
        "release": {
            "name": "example",
            "producer": "someone",
            "license": license_block or {},
            "components": items,
            **release,
        },
    }
    return json.dumps(document, indent=1) + "\n"
