"""Results as a table in the terminal, as RESULTS.md and as a picture."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Result = dict[str, Any]

TITLES = {
    "train": "Training steps, plain loop",
    "compiled": "Training steps under flambeau.compile, beside PyTorch eager",
    "small": "Small and changing work",
    "inference": "Inference",
    "products": "Matrix products",
    "elementwise": "Maps, reductions, row operations",
    "convolutions": "Convolutions",
    "attention": "Attention",
    "indexing": "Indexing and order",
    "startup": "Starting",
}


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except FileNotFoundError:
        pass  # not Linux: the platform module has what there is
    return platform.processor() or platform.machine()


def seconds(value: float) -> str:
    """A time in the unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1 or unit == "µs":
            return f"{value * factor:.3g} {unit}" if value * factor < 1000 else f"{value:.4g} s"
    return f"{value} s"


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def header(group: str) -> list[str]:
    names = ["work", "threads", "Flambeau", "PyTorch", "ratio", "of medians", "of runs"]
    if group == "compiled":
        return [*names, "Flambeau plain"]
    return [*names, "compile", "memory", "losses differ"] if group == "train" else names


def cells(row: Result) -> list[str]:
    """One row of the table."""
    if "error" in row:
        told = f"{row['name']}: {row['error']}".replace("|", "/").replace("\n", " ")
        return [told] + [""] * (len(header(row["group"])) - 1)
    mine, theirs = row["flambeau"], row.get("torch")
    found = [row["name"], str(row["threads"]), seconds(mine["best"])]
    found += [
        seconds(theirs["best"]) if theirs else "",
        ratio(row.get("ratio_torch")),
        ratio(row.get("median_ratio_torch")),
        _ends(row.get("ratio_of_runs", [])),
    ]
    if row["group"] == "compiled":
        found.append(seconds(mine["plain"]))
    if row["group"] == "train":
        memory = f"{mine['memory']:.0f} MB"
        if theirs:
            memory = f"{mine['memory']:.0f} of {theirs['memory']:.0f} MB"
        found += [ratio(row.get("ratio_compiled")), memory, _exponent(row.get("difference"))]
    return found


def ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _exponent(value: float | None) -> str:
    return "" if value is None else f"{value:.0e}"


def _ends(ratios: Sequence[float]) -> str:
    """The least and the greatest."""
    return f"{min(ratios):.2f}-{max(ratios):.2f}" if ratios else ""


def summary(rows: Sequence[Result]) -> str:
    """Geometric mean and least ratio of a group."""
    parts = []
    for kind, shown in (("torch", "PyTorch"), ("compiled", "torch.compile")):
        found = [(row[f"ratio_{kind}"], row["name"]) for row in rows if f"ratio_{kind}" in row]
        if found:
            least, name = min(found)
            mean = geometric_mean([each for each, _ in found])
            parts.append(
                f"{shown} / Flambeau: {mean:.2f} in geometric mean of {len(found)}, "
                f"least {least:.2f} ({name})"
            )
    runs = [row["ratio_of_runs"] for row in rows if "ratio_of_runs" in row]
    if runs and len({len(each) for each in runs}) == 1:
        means = [geometric_mean(each) for each in zip(*runs, strict=True)]
        parts.append("runs alone: " + ", ".join(map(ratio, means)))
    return "; ".join(parts)


def table(rows: Sequence[Result]) -> str:
    """The rows of one group for the terminal."""
    lines = [header(rows[0]["group"]), *[cells(row) for row in rows]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def markdown(results: Result) -> str:
    """The whole report."""
    return "\n".join(_markdown(results)) + "\n"


def _markdown(results: Result) -> Iterator[str]:
    yield "# Flambeau beside PyTorch"
    yield ""
    yield "Written by `make bench`; ratio = PyTorch's time / Flambeau's: above 1, Flambeau is"
    yield "faster. A run is a process of each, one after the other. Times and *ratio* are the best"
    yield "of all runs; *of medians* is the ratio of the medians over runs of the median time; *of"
    yield "runs* is the least and the greatest ratio of a run alone. Memory is the peak while steps"
    yield "run, over what the process had after the import. Losses: the greatest relative"
    yield "difference of the first five, from equal parameters."
    yield ""
    yield "![ratios](ratios.png)"
    yield ""
    yield "Of groups with many rows the picture shows some, from the least ratio to the greatest."
    for group, title in TITLES.items():
        found = results["groups"].get(group)
        if found is None:
            continue
        rows = found["rows"]
        yield ""
        yield f"## {title}"
        yield ""
        yield f"{found['machine']}, {found['versions']}, commit {found['commit']}, {found['when']};"
        yield f"{found['how']}."
        yield ""
        yield f"**{summary(rows)}**"
        yield ""
        yield "| " + " | ".join(header(group)) + " |"
        yield "|---" + "|--:" * (len(header(group)) - 1) + "|"
        for row in rows:
            yield "| " + " | ".join(cells(row)) + " |"


DRAWN = 30
"""Bars of a group, at most."""


def draw(results: Result, path: Path) -> None:
    """One bar for each ratio, by group, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = {
        name: rows
        for name in TITLES
        if (rows := _drawn(results["groups"].get(name, {}).get("rows", [])))
    }
    if not groups:
        return
    count = sum(len(rows) + 2 for rows in groups.values())
    figure, axes = pyplot.subplots(figsize=(9, 0.19 * count + 1))
    place, ticks, labels = 0, [], []
    for number, (name, rows) in enumerate(groups.items()):
        values = [row["ratio_torch"] for row in rows]
        places = range(place, place + len(rows))
        axes.barh(places, [each - 1 for each in values], left=1, color=f"C{number}", label=name)
        ticks += places
        labels += [f"{row['name']} ({row['threads']})" for row in rows]
        place += len(rows) + 1
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(ticks, labels, fontsize=6)
    axes.set_ylim(place, -1)
    axes.set_xlabel("PyTorch's time / Flambeau's: right of 1, Flambeau is faster")
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)


def _drawn(rows: Sequence[Result]) -> list[Result]:
    """The rows with a ratio; of many, some from the least to the greatest, evenly apart."""
    found = [row for row in rows if "ratio_torch" in row]
    if len(found) <= DRAWN:
        return found
    found.sort(key=lambda row: float(row["ratio_torch"]))
    return [found[round(n * (len(found) - 1) / (DRAWN - 1))] for n in range(DRAWN)]
