"""Read YAML that may be hostile: bounded in size, depth and aliases, with a line for every value.

Values are read as the official tool's parser reads them (YAML 1.2 scalars): ``yes``, ``on`` and
``1:30`` are strings; an unquoted date is not a string and comes out as a :class:`PlainDate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flambeau.openness.errors import OpennessError, optional_library

MAXIMUM_BYTES: Final = 1 << 20
MAXIMUM_DEPTH: Final = 40
MAXIMUM_ALIASES: Final = 100
MAXIMUM_VALUES: Final = 50_000

KeyPath = tuple[str | int, ...]

_INTEGER: Final = re.compile(r"[-+]?[0-9][0-9_]*|0o[0-7_]+|0x[0-9a-fA-F_]+")
_FLOAT: Final = re.compile(
    r"[-+]?(?:[0-9][0-9_]*)?\.[0-9_]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*(?:\.)?[eE][-+]?[0-9]+"
    r"|[-+]?[0-9][0-9_]*\.|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_DATE: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:(?:[Tt]|\s+)\d{1,2}:\d{2}.*)?")
_STANDARD_TAGS: Final = "tag:yaml.org,2002:"


class PlainDate(int):
    """An unquoted date; the official parser reads it as a number, which its schema refuses."""

    text: str

    def __new__(cls, text: str) -> PlainDate:
        made = super().__new__(cls, 0)
        made.text = text
        return made

    def __repr__(self) -> str:
        return f"unquoted date {self.text}"


@dataclass
class Document:
    """A parsed YAML document and where each of its values stands.

    Attributes:
        data: plain dicts, lists, strings, numbers, booleans and None.
        file: the name used in messages.
        lines: from the path of a value to its line, counted from 1.
    """

    data: Any
    file: str
    lines: dict[KeyPath, int] = field(default_factory=dict[KeyPath, int])

    def line(self, *path: str | int) -> int | None:
        """The line of a value; of its nearest known parent where it has none itself."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


def read_text(path: Path, maximum_bytes: int = MAXIMUM_BYTES) -> str:
    """The text of a UTF-8 file of bounded size.

    Raises:
        OpennessError: if it cannot be read, is too large, or is not UTF-8 text.
    """
    file = str(path)
    try:
        if not path.is_file():
            raise OpennessError(_why_no_file(path), file)
        with path.open("rb") as stream:
            raw = stream.read(maximum_bytes + 1)
    except OSError as error:
        raise OpennessError(f"cannot be read: {error.strerror}", file) from error
    if len(raw) > maximum_bytes:
        raise OpennessError(f"larger than the limit of {maximum_bytes} bytes", file)
    return decode(raw, file)


def _why_no_file(path: Path) -> str:
    if path.is_dir():
        return "is a folder; inspect, report and check take folders"
    if path.exists():
        return "is not a regular file"
    return "is a link that leads nowhere" if path.is_symlink() else "no such file"


def decode(raw: bytes, file: str) -> str:
    """UTF-8 bytes as text, or a message with the line of the first bad byte."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise OpennessError(
            f"is not UTF-8 text (byte 0x{raw[error.start]:02x} at offset {error.start})", file, line
        ) from error


def load_yaml(path: Path) -> Document:
    """Read one YAML file; see :func:`parse_yaml`."""
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, file: str = "<text>") -> Document:
    """Parse one YAML document safely: no object construction, bounded size, depth and aliases.

    Raises:
        OpennessError: with file and line, for anything that is not plain, bounded YAML.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAXIMUM_BYTES:
        raise OpennessError(f"larger than the limit of {MAXIMUM_BYTES} bytes", file)
    yaml = optional_library("yaml", "PyYAML")
    root = _compose(yaml, text, file)
    document = Document(None, file)
    if root is not None:
        document.data = _Builder(yaml, document).build(root, (), 0)
    return document


def _compose(yaml: Any, text: str, file: str) -> Any:
    """The node tree, after the events have been counted."""
    try:
        depth = aliases = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            name = type(event).__name__
            line = event.start_mark.line + 1
            if name.endswith("StartEvent") and ("Mapping" in name or "Sequence" in name):
                depth += 1
            elif name in ("MappingEndEvent", "SequenceEndEvent"):
                depth -= 1
            elif name == "AliasEvent":
                aliases += 1
            if depth > MAXIMUM_DEPTH:
                raise OpennessError(f"nested deeper than {MAXIMUM_DEPTH} levels", file, line)
            if aliases > MAXIMUM_ALIASES:
                raise OpennessError(f"more than {MAXIMUM_ALIASES} aliases", file, line)
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, (error.context, error.problem)))
        line = mark.line + 1 if mark else None
        raise OpennessError(f"is not valid YAML: {problem}", file, line) from error
    except yaml.YAMLError as error:
        raise OpennessError(f"is not valid YAML: {' '.join(str(error).split())}", file) from error
    except RecursionError as error:
        raise OpennessError("nested too deeply", file) from error


class _Builder:
    """Builds plain values from nodes, counting them: aliases cannot make them many."""

    def __init__(self, yaml: Any, document: Document) -> None:
        self.yaml = yaml
        self.document = document
        self.values = 0
        self.open_nodes: list[Any] = []

    def fail(self, message: str, node: Any) -> OpennessError:
        return OpennessError(message, self.document.file, node.start_mark.line + 1)

    def build(self, node: Any, path: KeyPath, depth: int) -> Any:
        self.values += 1
        if self.values > MAXIMUM_VALUES:
            raise self.fail(f"more than {MAXIMUM_VALUES} values (aliases expanded)", node)
        if depth > MAXIMUM_DEPTH:
            raise self.fail(f"nested deeper than {MAXIMUM_DEPTH} levels (aliases expanded)", node)
        if any(node is other for other in self.open_nodes):
            raise self.fail("an alias that contains itself", node)
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, self.yaml.ScalarNode):
            return self.scalar(node)
        self.open_nodes.append(node)
        try:
            if isinstance(node, self.yaml.SequenceNode):
                self.check_tag(node, "seq")
                return [self.build(n, (*path, i), depth + 1) for i, n in enumerate(node.value)]
            self.check_tag(node, "map")
            return self.mapping(node, path, depth)
        finally:
            self.open_nodes.pop()

    def check_tag(self, node: Any, *allowed: str) -> str:
        tag = str(node.tag).removeprefix(_STANDARD_TAGS)
        if tag not in allowed:
            raise self.fail(f"tag {node.tag!r} is not allowed here", node)
        return tag

    def mapping(self, node: Any, path: KeyPath, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, self.yaml.ScalarNode):
                raise self.fail("a key must be plain text", key_node)
            if key_node.tag == _STANDARD_TAGS + "merge":
                for values in self.merge_values(value_node, path, depth):
                    merged = {**values, **merged}
                continue
            key = str(key_node.value)
            if key in result:
                raise self.fail(f"duplicate key {key!r}", key_node)
            child = (*path, key)
            self.document.lines[child] = key_node.start_mark.line + 1
            result[key] = self.build(value_node, child, depth + 1)
        return {**merged, **result}

    def merge_values(self, node: Any, path: KeyPath, depth: int) -> Iterator[dict[str, Any]]:
        sequence = isinstance(node, self.yaml.SequenceNode)
        for source in node.value if sequence else [node]:
            if not isinstance(source, self.yaml.MappingNode):
                raise self.fail("'<<' takes a mapping or a list of mappings", source)
            yield self.build(source, path, depth + 1)

    def scalar(self, node: Any) -> Any:
        text = str(node.value)
        tag = str(node.tag).removeprefix(_STANDARD_TAGS)
        if tag == "str" or node.style is not None:
            self.check_tag(node, "str")
            return text
        self.check_tag(node, "null", "bool", "int", "float", "timestamp", "merge", "value")
        return plain_value(text)


def plain_value(text: str) -> Any:
    """What an unquoted scalar stands for, by the rules of YAML 1.2 and the official parser."""
    if text in ("", "~") or text.lower() == "null":
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if len(text) <= 4000 and _INTEGER.fullmatch(text):
        digits = text.replace("_", "")
        return int(digits, 0) if digits[:2] in ("0o", "0x") else int(digits)
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    if _DATE.fullmatch(text):
        return PlainDate(text)
    return text
