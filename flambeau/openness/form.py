"""The form behind the local site: the part of a model file that people edit, and back to YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from flambeau.openness.components import BY_NAME, BY_WEIGHT, ROMAN
from flambeau.openness.errors import OpennessError, as_list, optional_library
from flambeau.openness.inspection import FRAMEWORK
from flambeau.openness.model import ModelFile
from flambeau.openness.source import PlainDate, parse_yaml

SHARED = ("distribution", "code", "data", "document")


def form_of(model: ModelFile) -> dict[str, Any]:
    """The fields of the form: name, producer, shared licences, and the 17 components."""
    entries = model.official_entries()
    components: list[dict[str, Any]] = []
    for component in BY_WEIGHT:
        entry = entries.get(component.number)
        components.append(
            {
                "name": component.name,
                "class": ROMAN[component.first_class],
                "required": component.required,
                "description": component.description,
                "included": entry is not None,
                "inherits": entry is None or entry.license is None,
                "license": "" if entry is None or entry.license is None else str(entry.license),
                "path": (entry.component_path or "") if entry else "",
            }
        )
    return {
        "name": model.name,
        "producer": str(model.release.get("producer") or ""),
        "licenses": {key: str(model.shared.get(key, ("", ""))[0] or "") for key in SHARED},
        "components": components,
    }


def apply_form(text: str, form: Mapping[str, Any]) -> str:
    """A model file with the form's values; what the form does not show stays.

    Raises:
        OpennessError: if the text is not a model file, or the form not a form.
    """
    document = parse_yaml(text, "model file").data if text.strip() else {}
    if not isinstance(document, dict):
        raise OpennessError("is not a model file", "model file")
    root = cast("dict[str, Any]", _plain(document))
    root.setdefault("framework", dict(FRAMEWORK))
    release = root.setdefault("release", {})
    if not isinstance(release, dict):
        raise OpennessError("'release' must be a mapping", "model file")
    release["name"] = str(form.get("name") or "")
    release["producer"] = str(form.get("producer") or "")
    release["license"] = _shared(release.get("license"), form.get("licenses"))
    release["components"] = _components(release.get("components"), form.get("components"))
    yaml = optional_library("yaml", "PyYAML")
    return str(yaml.safe_dump(root, sort_keys=False, allow_unicode=True, width=100))


def _plain(value: Any) -> Any:
    """The same data with unquoted dates as the texts that they were meant to be."""
    if isinstance(value, PlainDate):
        return value.text
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in as_list(value)]
    return value


def _shared(old: Any, new: Any) -> dict[str, Any]:
    block: dict[str, Any] = dict(old) if isinstance(old, dict) else {}
    names: dict[str, Any] = new if isinstance(new, dict) else {}
    for key in SHARED:
        name = str(names.get(key) or "").strip()
        if name:
            entry = block.get(key)
            block[key] = {**entry, "name": name} if isinstance(entry, dict) else {"name": name}
        else:
            block.pop(key, None)
    return block


def _components(old: Any, new: Any) -> list[dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    for item in as_list(old):
        if isinstance(item, dict) and item.get("name") in BY_NAME:
            known[str(item["name"])] = item
    result: list[dict[str, Any]] = []
    for field in as_list(new):
        if not isinstance(field, dict) or field.get("name") not in BY_NAME:
            raise OpennessError(f"{field!r:.60} is not a component of the form")
        if not field.get("included"):
            continue
        name = str(field["name"])
        item = {**known.get(name, {}), "name": name}
        item.pop("license", None)
        if not field.get("inherits"):
            item["license"] = str(field.get("license") or "").strip() or "unlicensed"
        path = str(field.get("path") or "").strip()
        if path:
            item["component_path"] = path
        result.append(item)
    return result
