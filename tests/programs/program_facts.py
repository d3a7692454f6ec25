"""Programs in the style of public repositories, which run in PyTorch as well.

Each file beside this one is one text: PyTorch runs it with its own name in Flambeau's place. What
PyTorch prints is in facts.json; tests/parity checks that it still does, and
`python tests/programs/program_facts.py` (where PyTorch is installed) writes it anew.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FACTS = HERE / "facts.json"
NAMES = sorted(
    each.stem
    for each in HERE.glob("*.py")
    if each.stem not in ("program_facts", "conftest") and not each.stem.startswith("test_")
)

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\binf\b|\bnan\b)")
_GRADIENT = re.compile(r",\s+grad_fn=<\w+>")


def printed(name: str, library: str) -> list[str]:
    """The lines that a program prints with "flambeau" or "torch"."""
    path = HERE / f"{name}.py"
    text = path.read_text()
    if library != "flambeau":
        text = text.replace("flambeau", library)
    output = io.StringIO()
    module = types.ModuleType(f"program_{name}")
    sys.modules[module.__name__] = module  # dataclasses look there
    try:
        with contextlib.redirect_stdout(output):
            exec(compile(text, str(path), "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    # How a tensor was made is printed with each library's own names.
    return _GRADIENT.sub("", output.getvalue()).splitlines()


def difference(found: list[str], expected: list[str]) -> str | None:
    """The first line that differs in its words, or in a number by more than one in 10,000."""
    for number in range(max(len(found), len(expected))):
        one, other = (lines[number : number + 1] for lines in (found, expected))
        if not (one and other and _agree(one[0], other[0])):
            return f"line {number + 1}: printed {one}, PyTorch prints {other}"
    return None


def _agree(found: str, expected: str) -> bool:
    # Where a minus appears or goes away at 0, the columns of a printed tensor move.
    one, other = (_NUMBER.sub("#", each).split() for each in (found, expected))
    pairs = zip(_NUMBER.findall(found), _NUMBER.findall(expected), strict=False)
    return one == other and all(_close(float(a), float(b)) for a, b in pairs)


def _close(found: float, expected: float) -> bool:
    if found == expected or (found != found and expected != expected):
        return True
    return abs(found - expected) <= 1e-4 * max(abs(found), abs(expected)) + 2e-6


def facts() -> dict[str, Any]:
    """What PyTorch prints in each program."""
    return json.loads(FACTS.read_text())


if __name__ == "__main__":
    FACTS.write_text(json.dumps({each: printed(each, "torch") for each in NAMES}, indent=1) + "\n")
