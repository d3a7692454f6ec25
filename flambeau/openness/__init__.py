"""How open is a model? The Model Openness Framework, computed, explained and proved.

It imports no other part of Flambeau, and no compiler is loaded (``import flambeau`` itself brings
numpy). The names below are loaded when they are first used; what they need beside Python comes with
``pip install 'flambeau[openness]'``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flambeau.openness.components import COMPONENTS, Component
    from flambeau.openness.errors import OpennessError
    from flambeau.openness.evaluator import Verdict
    from flambeau.openness.inspection import Inspection, inspect
    from flambeau.openness.licenses import LicenseTable
    from flambeau.openness.model import ModelFile, load_model, parse_model
    from flambeau.openness.profiles import differences, evaluate, next_steps
    from flambeau.openness.recording import DataSource, Licensing, Run, record
    from flambeau.openness.report import Report, make_report, write_report
    from flambeau.openness.reproduction import reproduce
    from flambeau.openness.verification import verify

_HOME = {
    "components": ("COMPONENTS", "Component"),
    "errors": ("OpennessError",),
    "evaluator": ("Verdict",),
    "inspection": ("Inspection", "inspect"),
    "licenses": ("LicenseTable",),
    "model": ("ModelFile", "load_model", "parse_model"),
    "profiles": ("differences", "evaluate", "next_steps"),
    "recording": ("DataSource", "Licensing", "Run", "record"),
    "report": ("Report", "make_report", "write_report"),
    "reproduction": ("reproduce",),
    "verification": ("verify",),
}
"""Public names by the module that holds them."""

_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "COMPONENTS",
    "Component",
    "DataSource",
    "Inspection",
    "LicenseTable",
    "Licensing",
    "ModelFile",
    "OpennessError",
    "Report",
    "Run",
    "Verdict",
    "differences",
    "evaluate",
    "inspect",
    "load_model",
    "make_report",
    "next_steps",
    "parse_model",
    "record",
    "reproduce",
    "verify",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
