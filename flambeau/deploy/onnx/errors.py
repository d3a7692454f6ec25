"""What an export raises."""

from __future__ import annotations

from flambeau.graph.node import Location


class OnnxExporterError(RuntimeError):
    """A model that cannot be written as ONNX: which operation, where it was called, and why."""


class OtherGraphError(OnnxExporterError):
    """A model that does other things for other sizes of its dynamic axes."""


def refusal(operation: str, location: Location | None, reason: str) -> OnnxExporterError:
    """The error that names an operation and the line that called it."""
    where = "" if location is None else f" ({location[0]}:{location[1]})"
    return OnnxExporterError(f"torch.onnx.export: {operation}{where}: {reason}")
