"""The licence table and the two questions that the official tool asks of it.

The packaged table is the SPDX list as the Model Openness Tool ships it, merged with the tool's own
content types (see ``data/README.md`` for versions and licences). A newer SPDX list can be put in
its place: ``flambeau openness update-licenses FILE``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from flambeau import config
from flambeau.openness.errors import OpennessError, as_list

DATA: Final = Path(__file__).parent / "data"
PACKAGED_TABLE: Final = DATA / "licenses.json"
UPDATED_TABLE: Final = config.CACHE / "openness" / "licenses.json"
"""Where ``update-licenses`` puts a newer table; it wins over the packaged one."""

MAXIMUM_TABLE_BYTES: Final = 16 << 20

OPEN_LICENSES: Final = frozenset({"OpenMDW-1.0"})
"""Open whatever the SPDX flags say: the official tool's own list."""

OPEN_DATA_LICENSES: Final = frozenset(
    [
        "CC0-1.0",
        "CC-BY-1.0",
        "CC-BY-2.0",
        "CC-BY-2.5",
        "CC-BY-2.5-AU",
        "CC-BY-3.0",
        "CC-BY-3.0-AT",
        "CC-BY-3.0-AU",
        "CC-BY-3.0-DE",
        "CC-BY-3.0-IGO",
        "CC-BY-3.0-NL",
        "CC-BY-3.0-US",
        "CC-BY-4.0",
        "CC-BY-SA-1.0",
        "CC-BY-SA-2.0",
        "CC-BY-SA-2.0-UK",
        "CC-BY-SA-2.1-JP",
        "CC-BY-SA-2.5",
        "CC-BY-SA-3.0",
        "CC-BY-SA-3.0-AT",
        "CC-BY-SA-4.0",
        "CDLA-Permissive-1.0",
        "CDLA-Permissive-2.0",
        "CDLA-Sharing-1.0",
        "ODC-PDDL-1.0",
        "ODC-By-1.0",
        "ODbL-1.0",
        "GFDL-1.3",
        "OGL-Canada-2.0",
        "OGL-UK-2.0",
        "OGL-UK-3.0",
    ]
)
"""Open data licences of the official tool. ``ODC-PDDL-1.0`` is its spelling; the SPDX identifier
is ``PDDL-1.0``, which the official tool does not count as open."""


@dataclass(frozen=True)
class License:
    """One licence: its SPDX identifier, name, flags and the content types that it suits."""

    identifier: str
    name: str
    osi: bool = False
    fsf: bool = False
    deprecated: bool = False
    types: tuple[str, ...] = ()


@dataclass(frozen=True)
class LicenseTable:
    """Licences by identifier, with the versions of the lists that they come from."""

    version: str
    released: str
    type_version: str
    licenses: Mapping[str, License]

    def is_open(self, identifier: str) -> bool:
        """Whether the official tool counts this exact, case-sensitive identifier as open."""
        known = self.licenses.get(identifier)
        flagged = known is not None and (known.osi or known.fsf)
        return flagged or identifier in OPEN_DATA_LICENSES or identifier in OPEN_LICENSES

    def fits(self, identifier: str, content_type: str) -> bool:
        """Whether the official tool lists the licence as appropriate for a content type."""
        known = self.licenses.get(identifier)
        return known is not None and content_type in known.types

    def open_identifiers(self) -> list[str]:
        """Every identifier that counts as open, sorted."""
        return sorted(filter(self.is_open, {*self.licenses, *OPEN_DATA_LICENSES, *OPEN_LICENSES}))


def merge_lists(spdx: Mapping[str, Any], typed: Mapping[str, Any], file: str) -> LicenseTable:
    """Merge an SPDX ``licenses.json`` with a list of records that carry content types.

    Every record of the second list replaces the whole record of the first one with the same
    identifier, or is added; of several with the same identifier the last one wins.
    """
    table: dict[str, License] = {}
    for record in [*_records(spdx, file), *_records(typed, file)]:
        identifier = record.get("licenseId")
        if not isinstance(identifier, str) or not identifier:
            raise OpennessError(f"a licence record without 'licenseId': {record!r:.120}", file)
        types = record.get("ContentType", ())
        table[identifier] = License(
            identifier,
            str(record.get("name", identifier)),
            record.get("isOsiApproved") is True,
            record.get("isFsfLibre") is True,
            record.get("isDeprecatedLicenseId") is True,
            (types,) if isinstance(types, str) else tuple(map(str, types)),
        )
    return LicenseTable(
        str(spdx.get("licenseListVersion", "unknown")),
        str(spdx.get("releaseDate", "unknown")),
        str(typed.get("licenseListVersion", "unknown")),
        table,
    )


def table_from_json(document: Mapping[str, Any], file: str) -> LicenseTable:
    """Read the packaged layout of the table (the one that :func:`table_to_json` writes)."""
    records = cast("Mapping[str, Mapping[str, Any]]", document["licenses"])
    licenses = {
        identifier: License(
            identifier,
            str(record.get("name", identifier)),
            "osi" in record.get("flags", ""),
            "fsf" in record.get("flags", ""),
            "deprecated" in record.get("flags", ""),
            tuple(record.get("types", ())),
        )
        for identifier, record in records.items()
    }
    if not licenses:
        raise OpennessError("the licence table is empty", file)
    return LicenseTable(
        str(document["version"]),
        str(document["released"]),
        str(document["type_version"]),
        licenses,
    )


def table_to_json(table: LicenseTable) -> str:
    """The packaged layout of a table: one licence a line."""
    lines: list[str] = []
    for known in table.licenses.values():
        record: dict[str, Any] = {"name": known.name}
        flags = [f for f in ("osi", "fsf", "deprecated") if getattr(known, f)]
        if flags:
            record["flags"] = " ".join(flags)
        if known.types:
            record["types"] = list(known.types)
        lines.append(f"  {json.dumps(known.identifier)}: {json.dumps(record, ensure_ascii=False)}")
    head = "".join(
        f" {json.dumps(key)}: {json.dumps(value)},\n"
        for key, value in (
            ("version", table.version),
            ("released", table.released),
            ("type_version", table.type_version),
        )
    )
    return "{\n" + head + ' "licenses": {\n' + ",\n".join(lines) + "\n }\n}\n"


@cache
def packaged_table() -> LicenseTable:
    """The table that comes with Flambeau."""
    return load_table(PACKAGED_TABLE)


@cache
def current_table() -> LicenseTable:
    """The updated table where ``update-licenses`` has put one, else the packaged one."""
    return load_table(UPDATED_TABLE) if UPDATED_TABLE.is_file() else packaged_table()


def load_table(path: Path) -> LicenseTable:
    """Read a table in Flambeau's layout, or an SPDX ``licenses.json`` (types from the package).

    Raises:
        OpennessError: if the file cannot be read or is not a licence list.
    """
    document = _read_json(path)
    if isinstance(document.get("licenses"), dict):
        try:
            return table_from_json(document, str(path))
        except (KeyError, AttributeError, TypeError) as error:
            raise OpennessError(f"not a licence table of Flambeau: {error}", str(path)) from error
    return merge_lists(document, _packaged_types(), str(path))


def update_table(source: Path, typed: Path | None = None, target: Path | None = None) -> Path:
    """Install a newer SPDX ``licenses.json``; return where the table was put.

    Args:
        source: SPDX's ``licenses.json`` (a list under ``licenses``).
        typed: the official tool's ``mof-licenses.json``; without it, the packaged content types.
        target: where to write; by default :data:`UPDATED_TABLE`.
    """
    spdx = _read_json(source)
    records = _read_json(typed) if typed else _packaged_types()
    table = merge_lists(spdx, records, str(source))
    if len(table.licenses) < 100:
        raise OpennessError(
            f"only {len(table.licenses)} licences: this is not a complete SPDX list", str(source)
        )
    target = target or UPDATED_TABLE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(table_to_json(table), encoding="utf-8")
    current_table.cache_clear()
    return target


def _packaged_types() -> dict[str, Any]:
    """The official tool's typed records, rebuilt from the packaged table."""
    table = packaged_table()
    records = [
        {
            "licenseId": known.identifier,
            "name": known.name,
            "isOsiApproved": known.osi,
            "isFsfLibre": known.fsf,
            "isDeprecatedLicenseId": known.deprecated,
            "ContentType": list(known.types),
        }
        for known in table.licenses.values()
        if known.types
    ]
    return {"licenseListVersion": table.type_version, "licenses": records}


def _read_json(path: Path) -> dict[str, Any]:
    file = str(path)
    try:
        if path.stat().st_size > MAXIMUM_TABLE_BYTES:
            raise OpennessError(f"larger than {MAXIMUM_TABLE_BYTES >> 20} MiB", file)
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OpennessError(f"cannot be read: {error.strerror}", file) from error
    except UnicodeDecodeError as error:
        raise OpennessError("is not UTF-8 text", file) from error
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise OpennessError(f"is not valid JSON: {error}", file, line) from error
    if not isinstance(document, dict):
        raise OpennessError("expected a JSON object with a list under 'licenses'", file)
    return cast("dict[str, Any]", document)


def _records(document: Mapping[str, Any], file: str) -> Iterable[Mapping[str, Any]]:
    records = document.get("licenses")
    if not isinstance(records, list):
        raise OpennessError("expected a list of licences under 'licenses'", file)
    for record in as_list(records):
        if not isinstance(record, dict):
            raise OpennessError(f"a licence record must be an object, not {record!r:.80}", file)
        yield cast("dict[str, Any]", record)
