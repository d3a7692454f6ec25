"""The user's line of an operation, which is looked up only where somebody asks for it."""

from __future__ import annotations

import sys

import flambeau as torch
from flambeau.graph.node import located
from flambeau.tensor.record import caller


def test_an_operation_knows_its_line() -> None:
    x = torch.ones(3)
    first = sys._getframe().f_lineno + 1
    y = x + 1
    z = y * 2
    assert y._read().location == (__file__, first)
    assert z._read().location == (__file__, first + 1)
    assert caller() == (__file__, first + 4)


def test_lines_of_code_without_a_file_and_of_long_functions() -> None:
    lines = ["def f(x):", *["    x = x + 1"] * 400, "    return x"]
    space: dict[str, object] = {}
    exec(compile("\n".join(lines), "<made>", "exec"), space)
    node = space["f"](torch.ones(2))._read()  # type: ignore[operator]  # the function made above
    for line in range(401, 1, -1):
        assert node.location == ("<made>", line)
        node = node.inputs[0]


def test_a_site_is_a_line_or_code() -> None:
    assert located(None) is None
    assert located(("user.py", 7)) == ("user.py", 7)
    code = compile("pass", "<made>", "exec")
    assert located((code, 1 << 20)) == ("<made>", 1)
