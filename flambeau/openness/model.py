"""From a model file (YAML) to what the evaluator needs; older layouts are converted here."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from flambeau.openness.components import BY_NAME, BY_NUMBER, DATASETS, ContentType
from flambeau.openness.errors import OpennessError, as_list, optional_library
from flambeau.openness.licenses import DATA
from flambeau.openness.source import Document, KeyPath, PlainDate, load_yaml, parse_yaml

UNLICENSED: Final = "unlicensed"

RELEASE_FIELDS: Final = frozenset(
    [
        "name",
        "version",
        "date",
        "license",
        "type",
        "architecture",
        "treatment",
        "origin",
        "producer",
        "contact",
        "repository",
        "huggingface",
        "components",
    ]
)
"""The fields of ``release`` that the official import knows; it refuses every other one."""

_NOT_INCLUDED: Final = frozenset({"component not included"})
_NOT_SPECIFIED: Final = frozenset({"license not specified", "pending evaluation"})


@dataclass(frozen=True)
class Note:
    """A remark about the file: what, and on which line."""

    message: str
    line: int | None = None


@dataclass(frozen=True)
class Entry:
    """One listed component.

    Attributes:
        number: the component.
        license: the licence as written; None where the key is absent or null (inherit).
        line: where it is listed.
        name: the name as written, which differs from the component's for an unknown name.
    """

    number: int
    license: Any
    license_path: str | None
    component_path: str | None
    line: int | None
    name: str

    @property
    def has_known_name(self) -> bool:
        return self.name in BY_NAME


@dataclass
class ModelFile:
    """A model file as the evaluator takes it.

    Attributes:
        entries: every listed component, in the file's order, repeated ones included.
        shared: name and path of the licences under ``release.license``, by
            ``distribution``, ``code``, ``data`` and ``document``.
        schema_errors: what the official import validator objects to.
        notes: remarks that change nothing.
        refusal: why the official import stops with an exception, if it does.
    """

    document: Document
    name: str
    entries: list[Entry]
    shared: dict[str, tuple[Any, Any]]
    release: dict[str, Any]
    schema_errors: list[Note] = field(default_factory=list[Note])
    notes: list[Note] = field(default_factory=list[Note])
    refusal: Note | None = None

    def official_entries(self) -> dict[int, Entry]:
        """Entries by component: a repeated component replaces the earlier one entirely."""
        return {entry.number: entry for entry in self.entries}

    def shared_license(self, content_type: ContentType) -> tuple[Any, str | None]:
        """The licence that a component of this type inherits, and the key that it comes from."""
        for key in (content_type, "distribution"):
            name = self.shared.get(key, (None, None))[0]
            if not is_empty(name):
                return name, key
        return None, None


def is_empty(value: Any) -> bool:
    """Whether the official tool (PHP) takes a value for empty: also ``0`` and ``'0'``."""
    return value is None or value == "0" or not value


def load_model(path: Path) -> ModelFile:
    """Read a model file from disk; see :func:`model_from_document`."""
    return model_from_document(load_yaml(path))


def parse_model(text: str, file: str = "<text>") -> ModelFile:
    """Read a model file from text; see :func:`model_from_document`."""
    return model_from_document(parse_yaml(text, file))


def model_from_document(document: Document) -> ModelFile:
    """Check a parsed document and take from it what the evaluator needs.

    Raises:
        OpennessError: where no verdict is possible (not a mapping, components not a list).
    """
    data = document.data
    if not isinstance(data, dict):
        raise OpennessError(
            "is not a model file: expected a mapping with 'framework' and 'release'",
            document.file,
            document.line(),
        )
    root = cast("dict[str, Any]", data)
    release = root.get("release")
    if not isinstance(release, dict):
        raise OpennessError(
            "is not a model file: 'release' must be a mapping with name, license, components",
            document.file,
            document.line("release"),
        )
    notes = _convert_first_layout(root, cast("dict[str, Any]", release), document)
    return _assemble(root, cast("dict[str, Any]", release), document, notes)


def _assemble(
    root: dict[str, Any], release: dict[str, Any], document: Document, notes: list[Note]
) -> ModelFile:
    license_block = release.get("license")
    shared: dict[str, tuple[Any, Any]] = {}
    if isinstance(license_block, dict):
        for key, value in cast("dict[str, Any]", license_block).items():
            if isinstance(value, dict):
                pair = cast("dict[str, Any]", value)
                shared[key] = (pair.get("name"), pair.get("path"))
    name = release.get("name")
    model = ModelFile(document, "" if name is None else str(name), [], shared, release, notes=notes)
    model.schema_errors = check_schema(root, document)
    model.refusal = _import_refusal(release, document)
    _read_entries(model)
    return model


def _read_entries(model: ModelFile) -> None:
    document = model.document
    components = model.release.get("components")
    if components is None:
        return
    if not isinstance(components, list):
        raise OpennessError(
            f"'components' must be a list, not {type(components).__name__}",
            document.file,
            document.line("release", "components"),
        )
    seen: dict[int, int | None] = {}
    for index, item in enumerate(as_list(components)):
        line = document.line("release", "components", index)
        if not isinstance(item, dict):
            raise OpennessError(
                f"a component must be a mapping with a name, not {item!r:.60}", document.file, line
            )
        entry = _read_entry(cast("dict[str, Any]", item), line)
        if isinstance(entry.license, list | dict) and model.refusal is None:
            model.refusal = Note(
                f"the licence of {entry.name!r} must be one SPDX identifier as text; the official "
                "tool stops here",
                line,
            )
        if not entry.has_known_name:
            model.notes.append(
                Note(
                    f"unknown component {entry.name!r}: the official tool silently takes it for "
                    f"{BY_NUMBER[DATASETS].name!r}; write one of the 17 names exactly",
                    line,
                )
            )
        if entry.number in seen:
            model.notes.append(
                Note(
                    f"{BY_NUMBER[entry.number].name!r} is listed again (first on line "
                    f"{seen[entry.number]}): the official tool keeps only the last one",
                    line,
                )
            )
        seen.setdefault(entry.number, line)
        model.entries.append(entry)


def _read_entry(item: dict[str, Any], line: int | None) -> Entry:
    name = item.get("name")
    text = "" if name is None else str(name)
    known = BY_NAME.get(text)

    def path(key: str) -> str | None:
        value = item.get(key)
        return None if value is None else str(value)

    return Entry(
        known.number if known else DATASETS,
        item.get("license"),
        path("license_path"),
        path("component_path"),
        line,
        text,
    )


def _import_refusal(release: dict[str, Any], document: Document) -> Note | None:
    """What makes the official import stop with an exception, so that there is no verdict."""
    for key in release:
        if key not in RELEASE_FIELDS:
            return Note(
                f"the official tool refuses the unknown field 'release.{key}'; remove it",
                document.line("release", key),
            )
    date = release.get("date")
    if date is not None and not isinstance(date, str):
        return Note(
            f"'release.date' must be quoted text such as '2025-01-31', not {date!r}; the official "
            "tool stops here",
            document.line("release", "date"),
        )
    return _shared_refusal(release, document)


def _shared_refusal(release: dict[str, Any], document: Document) -> Note | None:
    block = release.get("license")
    for key, value in cast("dict[str, Any]", block).items() if isinstance(block, dict) else ():
        name = cast("dict[str, Any]", value).get("name") if isinstance(value, dict) else None
        if isinstance(name, list | dict):
            line = document.line("release", "license", key, "name")
            return Note(f"the licence name under 'license.{key}' must be text", line)
    return None


def check_schema(root: Mapping[str, Any], document: Document | None = None) -> list[Note]:
    """What the official import validator says against a model file, with lines.

    An empty component list passes the schema itself, but the official import refuses it.
    """
    jsonschema = optional_library("jsonschema", "jsonschema")
    formats = jsonschema.FormatChecker(formats=())
    formats.checkers = {"date": (_is_date, ())}
    validator = jsonschema.Draft7Validator(official_schema(), format_checker=formats)
    notes: list[Note] = []
    for error in sorted(validator.iter_errors(root), key=lambda e: [str(p) for p in e.path]):
        path: KeyPath = tuple(error.absolute_path)
        where = "/" + "/".join(str(part) for part in path)
        line = document.line(*path) if document else None
        notes.append(Note(f"{where}: {_schema_message(error)}", line))
    release = root.get("release")
    if isinstance(release, dict) and cast("dict[str, Any]", release).get("components") == []:
        line = document.line("release", "components") if document else None
        notes.append(Note("/release/components: the official import refuses an empty list", line))
    return notes


def official_schema() -> dict[str, Any]:
    """The official JSON Schema of a model file (packaged, unchanged)."""
    return cast("dict[str, Any]", json.loads((DATA / "mof_schema.json").read_text("utf-8")))


def _is_date(value: object) -> bool:
    if not isinstance(value, str):
        return True
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return False
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _schema_message(error: Any) -> str:
    if isinstance(error.instance, PlainDate):
        return f"the date {error.instance.text} must be in quotes"
    if error.validator == "type" and isinstance(error.instance, int | float):
        return f"{error.instance!r} must be text: put it in quotes"
    if error.validator == "format":
        return f"{error.instance!r} is not a date such as '2025-01-31'; leave the key out instead"
    message = str(error.message)
    return message if len(message) <= 200 else message[:200] + " …"


def _convert_first_layout(
    root: dict[str, Any], release: dict[str, Any], document: Document
) -> list[Note]:
    """Turn the layout of 2024-10 to 2025-04 into the current one, in place.

    Its components have ``license_name`` and ``location``; there are no shared licences.
    """
    components = release.get("components")
    if not isinstance(components, list):
        return []
    items = [cast("dict[str, Any]", i) for i in as_list(components) if isinstance(i, dict)]
    if not any("license_name" in item or "location" in item for item in items):
        return []
    kept: list[Any] = []
    for index, item in enumerate(as_list(components)):
        converted = _convert_item(item)
        if converted is None:
            continue
        _move_lines(document, index, len(kept))
        kept.append(converted)
    release["components"] = kept
    release.setdefault("license", {})
    if "github" in release:
        release.setdefault("repository", release["github"])
        del release["github"]
    return [
        Note(
            f"layout of 2024 converted: {len(components) - len(kept)} components that it lists as "
            "not included are left out",
            document.line("release", "components"),
        )
    ]


def _convert_item(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    old = cast("dict[str, Any]", item)
    license_name = old.get("license_name", old.get("license"))
    lowered = license_name.strip().lower() if isinstance(license_name, str) else ""
    if lowered in _NOT_INCLUDED:
        return None
    new = {k: v for k, v in old.items() if k not in ("license_name", "location", "license")}
    if lowered in _NOT_SPECIFIED:
        new["license"] = UNLICENSED
    elif license_name is not None:
        new["license"] = license_name
    if old.get("location") is not None:
        new.setdefault("component_path", old["location"])
    return new


def _move_lines(document: Document, old: int, new: int) -> None:
    prefix = ("release", "components")
    for path, line in list(document.lines.items()):
        if path[:3] == (*prefix, old):
            document.lines[(*prefix, new, *path[3:])] = line
