"""``verify``: check every hash and claim of a model folder, without running anything from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flambeau.openness import record_format as layout
from flambeau.openness.components import BY_NAME, BY_NUMBER
from flambeau.openness.errors import OpennessError, display_name
from flambeau.openness.license_text import decode_license, identify_text
from flambeau.openness.model import load_model
from flambeau.openness.profiles import evaluate
from flambeau.openness.tensors import tensor_hashes


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        level: ``proved``, ``failed``, or ``open`` for what only a person can judge.
    """

    level: str
    what: str
    detail: str = ""
    file: str = ""

    def __str__(self) -> str:
        place = f"{display_name(self.file)}: " if self.file else ""
        return f"{self.level:<7} {place}{self.what}" + (f": {self.detail}" if self.detail else "")


@dataclass
class Verification:
    """The outcome: proved if nothing failed."""

    folder: str
    digest: str
    findings: list[Finding] = field(default_factory=list[Finding])

    @property
    def failures(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == "failed"]

    @property
    def is_proved(self) -> bool:
        return not self.failures

    def as_json(self) -> dict[str, Any]:
        return {
            "folder": self.folder,
            "digest": self.digest,
            "is_proved": self.is_proved,
            "findings": [
                {"level": f.level, "what": f.what, "detail": f.detail, "file": display_name(f.file)}
                for f in self.findings
            ],
        }

    def as_text(self) -> str:
        shown = [str(finding) for finding in self.findings]
        count = len(self.failures)
        end = "every hash and claim holds" if not count else f"{count} checks failed"
        return "\n".join([*shown, f"{self.folder}: {end} (digest {self.digest[:16]})"])


def verify(folder: Path | str) -> Verification:
    """Check a folder that :func:`~flambeau.openness.recording.record` wrote.

    Raises:
        OpennessError: if the folder has no readable record.
    """
    root = Path(folder)
    record = layout.read_record(root)
    result = Verification(display_name(str(root)), str(record.get("digest", "")))
    for check in CHECKS:
        try:
            result.findings += check(root, record)
        except (OpennessError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            said = str(error) if isinstance(error, OpennessError | OSError) else repr(error)
            name = check.__name__.removeprefix("check_").replace("_", " ")
            result.findings.append(Finding("failed", f"{name} could not be checked", said))
    return result


def _proved(is_so: bool, what: str, detail: str = "", file: str = "") -> Finding:
    return Finding("proved" if is_so else "failed", what, "" if is_so else detail, file)


def check_digest(root: Path, record: dict[str, Any]) -> Iterator[Finding]:
    """The record is what its digest says."""
    is_same = layout.digest_of(record) == record.get("digest")
    yield _proved(is_same, "the record has its own digest", "the record was changed", layout.RECORD)


def check_files(root: Path, record: dict[str, Any]) -> Iterator[Finding]:
    """Every file is there, with its size and hash; others are not covered."""
    good = 0
    for name, fact in record["files"].items():
        problem = _file_problem(root, name, fact)
        if problem:
            yield Finding("failed", "file", problem, name)
        else:
            good += 1
    yield Finding("proved", f"{good} of {len(record['files'])} files have their hashes")
    known = {*record["files"], layout.RECORD}
    for name in layout.files_of(root):
        if name not in known:
            yield Finding("open", "not in the record, so nothing is known about it", file=name)


def _file_problem(root: Path, name: str, fact: dict[str, Any]) -> str:
    path = layout.inside(root, name)
    if not path.is_file():
        return "missing"
    digest, size = layout.hash_file(path)
    if size != fact["bytes"]:
        return f"{size} bytes, {fact['bytes']} recorded"
    return "" if digest == fact["sha256"] else "its content was changed"


def check_weights(root: Path, record: dict[str, Any]) -> Iterator[Finding]:
    """The weights hold the recorded tensors."""
    if layout.WEIGHTS not in record["tensors"]:
        yield Finding("failed", "the record names no final weights", file=layout.RECORD)
    for name, recorded in record["tensors"].items():
        found = tensor_hashes(layout.inside(root, name))
        changed = [t for t in sorted({*found, *recorded}) if found.get(t) != recorded.get(t)]
        said = f"{', '.join(changed[:5])} differ"
        yield _proved(not changed, f"{len(found)} tensors as recorded", said, name)


def check_checkpoints(root: Path, record: dict[str, Any]) -> Iterator[Finding]:
    """Checkpoints come in order, and each is a recorded file."""
    steps = [checkpoint["step"] for checkpoint in record["checkpoints"]]
    yield _proved(steps == sorted(set(steps)), f"{len(steps)} checkpoints in order", f"{steps}")
    for checkpoint in record["checkpoints"]:
        is_known = checkpoint["file"] in record["tensors"]
        yield _proved(is_known, f"checkpoint of step {checkpoint['step']}", "not recorded")


def check_components(root: Path, record: dict[str, Any]) -> Iterator[Finding]:
    """The model file lists the recorded components, with files that are there."""
    model = load_model(root / layout.MODEL_FILE)
    for error in model.schema_errors:
        yield Finding("failed", error.message, file=layout.MODEL_FILE)
    listed = {BY_NUMBER[n].name: e for n, e in model.official_entries().items()}
    with_files = {name for name, fact in record["components"].items() if fact["files"]}
    extra, lacking = sorted(set(listed) - with_files), sorted(with_files - set(listed))
    said = f"without evidence: {extra}; not listed: {lacking}"
    yield _proved(not extra and not lacking, f"{len(listed)} components have files", said)
    for name in sorted(with_files & set(listed)):
        fact, entry = record["components"][name], listed[name]
        if entry.license != fact["license"]:
            said = f"{entry.license!r} in the model file, {fact['license']!r} in the record"
            yield Finding("failed", f"licence of {name}", said, layout.MODEL_FILE)
        unknown = [file for file in fact["files"] if file not in record["files"]]
        if unknown or name not in BY_NAME:
            yield Finding("failed", name, f"files without a hash: {unknown}", layout.RECORD)


def check_class(root: Path, record: dict[str, Any]) -> Iterator[Finding]:
    """The model file gets the class that is claimed, in both profiles."""
    model = load_model(root / layout.MODEL_FILE)
    for profile in ("mot", "strict"):
        verdict = evaluate(model, profile)
        claimed = record["claim"].get(profile)
        what = f"{verdict.label} (profile {profile})"
        said = f"class {claimed} is claimed"
        used = record["claim"].get("license_list")
        if used != verdict.table_version:
            said += f", by licence list {used}; this is list {verdict.table_version}"
        yield _proved(verdict.number == claimed, what, said)


def check_licenses(root: Path, record: dict[str, Any]) -> Iterator[Finding]:
    """The text of every licence is in the folder and is that licence."""
    names = {
        part
        for fact in record["components"].values()
        for part in re.split(r"\s+(?:AND|OR)\s+", fact["license"])
    }
    for name in sorted(names):
        file = f"{layout.LICENSES}/{name}.txt"
        path = layout.inside(root, file)
        if not path.is_file():
            yield Finding("open", f"{name} is declared, but its text is not in the folder")
            continue
        matches = identify_text(decode_license(path.read_bytes(), file))
        match = matches[0] if len(matches) == 1 else None
        is_that = match is not None and name in (match.identifier, *match.others)
        if match is not None and is_that and match.confidence != "doubtful":
            yield Finding("proved", f"the text of {name}", file=file)
        else:
            yield Finding("failed", f"is not the text of {name}", file=file)


def check_data(root: Path, record: dict[str, Any]) -> Iterator[Finding]:
    """Every data set has its files in the folder."""
    for source in record["data"]:
        files = source["files"]
        unknown = [file for file in files if file not in record["files"]]
        is_there = bool(files) and not unknown
        yield _proved(
            is_there, f"data {source['name']!r}: {len(files)} files", f"without hash: {unknown}"
        )
        if not source["license"]:
            yield Finding("open", f"data {source['name']!r} has no licence")


def check_code(root: Path, record: dict[str, Any]) -> Iterator[Finding]:
    """The commit is one, and the code was as committed."""
    commit = record["code"].get("commit")
    if commit is None:
        yield Finding("open", "the code was not under git; its hashes are recorded")
        return
    yield _proved(bool(re.fullmatch(r"[0-9a-f]{40,64}", commit)), f"commit {commit}", "not a hash")
    if record["code"].get("is_changed"):
        yield Finding("open", "the code differed from its commit; its hashes are recorded")


def check_recipe(root: Path, record: dict[str, Any]) -> Iterator[Finding]:
    """The recipe names a script of the folder and says where the result goes."""
    recipe = json.loads((root / layout.RECIPE).read_text("utf-8"))
    yield _proved(recipe == record["recipe"], "the recipe is the recorded one", "they differ")
    command = record["recipe"]["command"]
    scripts = [part for part in command if part in record["files"]]
    yield _proved(bool(scripts), f"the recipe runs {', '.join(scripts)}", f"no script in {command}")
    has_output = any("{output}" in part for part in command)
    yield _proved(has_output, "the recipe says where to write", "no {output} in the command")


def check_results(root: Path, record: dict[str, Any]) -> Iterator[Finding]:
    """The results in the record are those in the folder."""
    if not record["evaluation"]:
        yield Finding("open", "no evaluation results")
        return
    found = json.loads((root / layout.RESULTS).read_text("utf-8"))
    is_same = found == record["evaluation"]
    yield _proved(is_same, f"{len(found)} evaluation results", "they differ", layout.RESULTS)


CHECKS: Final[tuple[Callable[[Path, dict[str, Any]], Iterator[Finding]], ...]] = (
    check_digest,
    check_files,
    check_weights,
    check_checkpoints,
    check_components,
    check_class,
    check_licenses,
    check_data,
    check_code,
    check_recipe,
    check_results,
)
