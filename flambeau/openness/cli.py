"""The ``flambeau openness`` command."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from flambeau.openness.components import ROMAN
from flambeau.openness.errors import OpennessError, display_name

Command = Callable[[argparse.Namespace], int]

GOOD: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2

_ORDER: Final = {"I": 1, "II": 2, "III": 3, "1": 1, "2": 2, "3": 3}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Returns:
        0 if all went well, 1 if a check failed or an input could not be used, 2 for wrong use.
    """
    parser = build_parser()
    try:
        arguments = parser.parse_args(sys.argv[1:] if argv is None else list(argv))
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else WRONG_USE
    command: Command = arguments.run
    try:
        return command(arguments)
    except (OpennessError, ModuleNotFoundError, OSError) as error:
        print(f"flambeau openness: {_one_line(error)}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{display_name(str(error.filename))}: {error.strerror}"
    return str(error)


def build_parser() -> argparse.ArgumentParser:
    """The command line, with a help text for every part."""
    parser = argparse.ArgumentParser(
        prog="flambeau openness",
        description="How open is a model? The Model Openness Framework, computed and explained.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_evaluate(commands)
    _add_inspect(commands)
    _add_report(commands)
    _add_serve(commands)
    _add_check(commands)
    _add_update(commands)
    _add_proof(commands)
    return parser


def _add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile",
        choices=("mot", "strict"),
        default="mot",
        help="mot: the official verdict (default); strict: licences must suit the component",
    )
    parser.add_argument(
        "--licenses", metavar="FILE", type=Path, help="an SPDX licenses.json to use instead"
    )


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser("evaluate", help="the verdict about model files (YAML)")
    parser.add_argument("files", nargs="+", metavar="FILE", type=Path)
    parser.add_argument("--json", action="store_true", help="print a JSON list, one object a file")
    _add_profile(parser)
    parser.set_defaults(run=_evaluate)


def _add_inspect(commands: Any) -> None:
    parser = commands.add_parser("inspect", help="propose a model file from a folder")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--json", action="store_true", help="evidence and proposal as JSON")
    parser.add_argument("--output", "-o", metavar="FILE", type=Path, help="write the YAML here")
    _add_profile(parser)
    parser.set_defaults(run=_inspect)


def _add_report(commands: Any) -> None:
    parser = commands.add_parser("report", help="a page, Markdown, JSON, badges and an SBOM")
    parser.add_argument("source", metavar="FILE|DIR", type=Path)
    parser.add_argument("--output", "-o", metavar="DIR", type=Path, default=Path("openness-report"))
    _add_profile(parser)
    parser.set_defaults(run=_report)


def _add_serve(commands: Any) -> None:
    parser = commands.add_parser("serve", help="a small local site to look at and edit a model")
    parser.add_argument("--port", type=int, default=8470)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.set_defaults(run=_serve)


def _add_check(commands: Any) -> None:
    parser = commands.add_parser("check", help="fail below a class, for CI")
    parser.add_argument("sources", nargs="+", metavar="FILE|DIR", type=Path)
    parser.add_argument("--at-least", choices=tuple(_ORDER), required=True, metavar="I|II|III")
    parser.add_argument(
        "--format", choices=("text", "github"), default="text", help="github: annotations"
    )
    _add_profile(parser)
    parser.set_defaults(run=_check)


def _add_update(commands: Any) -> None:
    parser = commands.add_parser("update-licenses", help="use a newer SPDX licence list")
    parser.add_argument("file", nargs="?", metavar="FILE", type=Path, help="SPDX licenses.json")
    parser.add_argument("--types", metavar="FILE", type=Path, help="a newer mof-licenses.json")
    parser.add_argument("--reset", action="store_true", help="go back to the packaged list")
    parser.add_argument(
        "--texts",
        metavar="DIR",
        type=Path,
        help="also pack the licence texts of this folder (ID.txt or ID.json)",
    )
    parser.add_argument("--texts-output", metavar="FILE", type=Path, help="where to put them")
    parser.set_defaults(run=_update)


def _add_proof(commands: Any) -> None:
    parser = commands.add_parser("verify", help="check every hash and claim of a model folder")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_verify)
    parser = commands.add_parser("reproduce", help="train again from the folder and compare")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep the new run here")
    parser.add_argument("--timeout", type=float, default=3600, metavar="SECONDS")
    parser.set_defaults(run=_reproduce)


def _table(arguments: argparse.Namespace) -> Any:
    from flambeau.openness.licenses import current_table, load_table

    return load_table(arguments.licenses) if arguments.licenses else current_table()


def _evaluate(arguments: argparse.Namespace) -> int:
    from flambeau.openness.profiles import evaluate

    table = _table(arguments)
    results: list[dict[str, Any]] = []
    seen: dict[str, str] = {}
    status = GOOD
    for path in arguments.files:
        name = display_name(str(path))
        try:
            verdict = evaluate(path, arguments.profile, table)
        except OpennessError as error:
            status = FAILED
            print(f"flambeau openness: {error}", file=sys.stderr)
            results.append({"file": name, "schema_valid": False, "error": str(error)})
            continue
        first = seen.setdefault(verdict.name.casefold(), name)
        if first != name:
            said = f"has the name of {first}; the official tool keeps only the last of the two"
            print(f"flambeau openness: {name}: {said}", file=sys.stderr)
        results.append({"file": name, **verdict.as_json()})
        if not arguments.json:
            _print_verdict(name, path, arguments.profile, table)
    if arguments.json:
        print(json.dumps(results, indent=1, ensure_ascii=False))
    return status


def _print_verdict(name: str, path: Path, profile: str, table: Any) -> None:
    from flambeau.openness.model import load_model
    from flambeau.openness.report import make_report

    report = make_report(load_model(path), profile, table)
    print("\n".join(_verdict_lines(name, report)))


def _verdict_lines(name: str, report: Any) -> list[str]:
    verdict = report.verdict
    if verdict.refusal is not None:
        lines = [f"{name}: no official verdict: {verdict.refusal.message}"]
    else:
        lines = [f"{name}: {verdict.label}"]
        shown = " / ".join(f"{ROMAN[k]} {verdict.progress[k]:.0f} %" for k in (3, 2, 1))
        lines.append(f"  progress: {shown}")
    for row in report.rows:
        license_name = row.judgement.license if row.judgement else ""
        place = f" ({row.evidence[0].place})" if row.evidence else ""
        lines.append(f"  {row.component.name:<32} {row.word:<18} {license_name}{place}")
    lines += [f"  warning: {warning}" for warning in verdict.as_json()["warnings"]]
    for d in report.differences:
        lines.append(f"  official and strict differ on {d.component.name}: {d.strict_reason}")
    lines += [f"  next: {step}" for step in report.steps]
    return lines


def _progress(count: int, path: str) -> None:
    print(f"… {count} files, {path}", file=sys.stderr)


def _inspect(arguments: argparse.Namespace) -> int:
    from flambeau.openness.inspection import inspect

    inspection = inspect(arguments.folder, _table(arguments), _progress)
    if arguments.output:
        arguments.output.write_text(inspection.yaml, encoding="utf-8")
        print(f"{arguments.output} written", file=sys.stderr)
    if arguments.json:
        print(json.dumps(inspection.as_json(), indent=1, ensure_ascii=False))
    elif not arguments.output:
        print(inspection.yaml, end="")
    for text in (*inspection.doubts, *inspection.notes):
        print(f"to decide: {text}", file=sys.stderr)
    return GOOD


def _make_report(source: Path, arguments: argparse.Namespace) -> Any:
    """A report about a model file, or about what a folder shows."""
    from flambeau.openness.inspection import inspect
    from flambeau.openness.model import load_model
    from flambeau.openness.report import make_report

    table = _table(arguments)
    if source.is_dir():
        inspection = inspect(source, table, _progress)
        return make_report(inspection.model, arguments.profile, table, inspection)
    return make_report(load_model(source), arguments.profile, table)


def _report(arguments: argparse.Namespace) -> int:
    from flambeau.openness.report import write_report

    report = _make_report(arguments.source, arguments)
    for path in write_report(report, arguments.output):
        print(display_name(str(path)))
    return GOOD


def _check(arguments: argparse.Namespace) -> int:
    wanted = _ORDER[arguments.at_least]
    status = GOOD
    for source in arguments.sources:
        name = display_name(str(source))
        try:
            report = _make_report(source, arguments)
        except OpennessError as error:
            status = FAILED
            _annotate(arguments.format, "error", error.message, error.file or name, error.line)
            continue
        verdict = report.verdict
        reached = verdict.refusal is None and 0 < verdict.number <= wanted
        if not reached:
            status = FAILED
            _explain_failure(arguments.format, report, name, wanted)
        _warn(arguments.format, report, name)
        if reached:
            print(f"{name}: {verdict.label}, at least Class {ROMAN[wanted]}")
    return status


def _warn(style: str, report: Any, name: str) -> None:
    """What counts and yet should be looked at, on its line of the model file."""
    verdict = report.verdict
    is_own_file = report.inspection is None
    for note in (*verdict.schema_errors, *verdict.notes):
        _annotate(style, "warning", note.message, name, note.line if is_own_file else None)
    if style == "github":
        for number, warning in zip(
            verdict.not_type_appropriate, verdict.type_warnings(), strict=True
        ):
            line = verdict.judgements[number].line if is_own_file else None
            _annotate(style, "warning", warning, name, line)


def _explain_failure(style: str, report: Any, name: str, wanted: int) -> None:
    verdict = report.verdict
    found = verdict.refusal.message if verdict.refusal else verdict.label
    _annotate(style, "error", f"{found}; Class {ROMAN[wanted]} was asked for", name, None)
    for step in report.steps:
        if step.component.first_class >= wanted or step.leads_to:
            judgement = verdict.judgements.get(step.component.number)
            line = judgement.line if judgement and report.inspection is None else None
            _annotate(style, "error", str(step), name, line)
        if step.leads_to == wanted:
            break


def _annotate(style: str, level: str, message: str, file: str, line: int | None) -> None:
    """One finding; as a GitHub workflow command where asked for."""
    if style == "github":
        place = f"file={_property(file)}" + (f",line={line}" if line else "")
        print(f"::{level} {place},title=Model openness::{_data(message)}")
    else:
        print(f"{file}{f':{line}' if line else ''}: {level}: {message}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(display_name(text)).replace(":", "%3A").replace(",", "%2C")


def _update(arguments: argparse.Namespace) -> int:
    from flambeau.openness.license_text import pack_texts, read_texts
    from flambeau.openness.licenses import UPDATED_TABLE, current_table, load_table, update_table

    if arguments.reset:
        UPDATED_TABLE.unlink(missing_ok=True)
        current_table.cache_clear()
        print("the packaged licence list is in use again")
        return GOOD
    if arguments.texts:
        if not arguments.texts_output:
            print("flambeau openness: --texts needs --texts-output FILE", file=sys.stderr)
            return WRONG_USE
        arguments.texts_output.write_bytes(pack_texts(read_texts(arguments.texts)))
        print(f"{arguments.texts_output} written")
    if not arguments.file:
        if arguments.texts:
            return GOOD
        print("flambeau openness: update-licenses needs a FILE or --reset", file=sys.stderr)
        return WRONG_USE
    path = update_table(arguments.file, arguments.types)
    table = load_table(path)
    print(
        f"SPDX list {table.version} ({table.released}): {len(table.licenses)} licences, "
        f"{len(table.open_identifiers())} open; kept in {path}"
    )
    return GOOD


def _serve(arguments: argparse.Namespace) -> int:
    from flambeau.openness.site import serve

    serve(arguments.host, arguments.port)
    return GOOD


def _verify(arguments: argparse.Namespace) -> int:
    from flambeau.openness.verification import verify

    result = verify(arguments.folder)
    print(json.dumps(result.as_json(), indent=1) if arguments.json else result.as_text())
    return GOOD if result.is_proved else FAILED


def _reproduce(arguments: argparse.Namespace) -> int:
    from flambeau.openness.reproduction import reproduce

    result = reproduce(arguments.folder, keep=arguments.keep, timeout=arguments.timeout)
    print(json.dumps(result.as_json(), indent=1) if arguments.json else result.as_text())
    return GOOD if result.is_reproduced else FAILED
