"""Every ```python block of README.md and docs/ runs, in order, each file in one namespace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUOTE = re.compile(r"^```py source=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXTRAS = {"onnx.md": "onnx"}
"""Pages whose code needs a library of an extra."""
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def _blocks(page: Path) -> list[tuple[int, str]]:
    """The page's blocks of Python, each with its first line's number."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start(1)) + 1, found.group(1)) for found in BLOCK.finditer(text)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A block that raises fails here, with the page's line in the traceback."""
    if page.name in EXTRAS:
        pytest.importorskip(EXTRAS[page.name], reason="the page shows what an extra brings")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line, code in _blocks(page):
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)
    capsys.readouterr()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    """A path such as `schedule/flush.py` in the text is a file of this project."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for name in re.findall(r"`([\w/]+\.(?:py|md|toml))`", text):
        places = [ROOT / name, ROOT / "flambeau" / name, page.parent / name]
        assert any(place.exists() for place in places), f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_quoted_source_is_what_stands_there(page: Path) -> None:
    """A block that says ```py source=path is part of that file, word for word."""
    for path, quoted in QUOTE.findall(page.read_text(encoding="utf-8")):
        assert quoted in (ROOT / path).read_text(encoding="utf-8"), f"{page.name} quotes {path}"
