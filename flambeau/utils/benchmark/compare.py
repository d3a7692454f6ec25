"""Compare: measurements as a table."""

from __future__ import annotations

from typing import Any

from flambeau.utils.benchmark.timer import Measurement, time_unit

__all__ = ["Compare"]


class Compare:
    """A table of measurements: a row for each sub-label, a column for each description."""

    def __init__(self, results: list[Measurement]) -> None:
        self._results = list(results)

    def extend_results(self, results: list[Measurement]) -> None:
        """More measurements."""
        self._results.extend(results)

    def trim_significant_figures(self) -> None:
        """Accepted: figures are short already."""

    def colorize(self, rowwise: bool = False) -> None:
        """Accepted: the table has no colours."""

    def __str__(self) -> str:
        unit, scale = time_unit(min((each.median for each in self._results), default=1.0))
        rows: dict[str, dict[str, str]] = {}
        columns: dict[str, None] = {}
        for each in self._results:
            spec: dict[str, Any] = each.task_spec
            row = str(spec.get("sub_label") or spec["stmt"])
            column = str(spec.get("description") or spec.get("env") or "time")
            columns[column] = None
            rows.setdefault(row, {})[column] = f"{each.median * scale:.1f}"
        width = max([len(row) for row in rows], default=0)
        widths = {name: max(len(name), 10) for name in columns}
        head = " " * width + " | " + " | ".join(f"{name:>{widths[name]}}" for name in columns)
        lines = [head, "-" * len(head)]
        for row, cells in rows.items():
            line = " | ".join(f"{cells.get(name, ''):>{widths[name]}}" for name in columns)
            lines.append(f"{row:<{width}} | {line}")
        return "\n".join([*lines, "", f"Times are in {unit}."])

    def print(self) -> None:
        """Print the table."""
        print(self)  # noqa: T201  # what it is for
