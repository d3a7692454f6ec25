"""``record()``: collect the evidence around a training run and write a model folder from it.

It needs nothing of Flambeau's tensors: weights come in through a callable that writes a safetensors
file. Only what was seen is recorded; licences and the roles of files are the author's claims.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from flambeau.openness import record_format as layout
from flambeau.openness.components import BY_NAME, BY_WEIGHT, ContentType
from flambeau.openness.errors import OpennessError, optional_library
from flambeau.openness.exports import FileFact, oci_annotations, spdx_document
from flambeau.openness.inspection import FRAMEWORK
from flambeau.openness.licenses import DATA
from flambeau.openness.model import load_model
from flambeau.openness.profiles import RECOMMENDED, evaluate
from flambeau.openness.tensors import tensor_hashes
from flambeau.openness.tree import SKIPPED_FOLDERS

Tensors = Mapping[str, Any]
Save = Callable[[Path, Tensors], None]
"""Writes named tensors to a safetensors file. The same tensors must give the same bytes."""

DEFAULT_TOLERANCE: Final = 1e-3
"""How far weights may be off, relative to the largest one, on another kind of device."""

CODE_COMPONENTS: Final = frozenset(c.name for c in BY_NAME.values() if c.content_type == "code")
DOCUMENT_COMPONENTS: Final = frozenset(
    c.name for c in BY_NAME.values() if c.content_type == "document"
)


@dataclass(frozen=True)
class Licensing:
    """Licences by type of component; the defaults count in both profiles."""

    code: str = RECOMMENDED["code"]
    data: str = RECOMMENDED["data"]
    document: str = RECOMMENDED["document"]

    def of(self, content_type: ContentType) -> str:
        return {"code": self.code, "data": self.data, "document": self.document}[content_type]


@dataclass(frozen=True)
class DataSource:
    """A data set of the run.

    Attributes:
        name: what it is called.
        paths: its files or folders; they are copied into the folder and hashed.
        role: ``train`` or ``evaluation``.
        license: the licence of the data themselves.
        origin: where they come from.
    """

    name: str
    paths: Sequence[Path | str]
    role: Literal["train", "evaluation"] = "train"
    license: str = RECOMMENDED["data"]
    origin: str = ""


def save_safetensors(path: Path, tensors: Tensors) -> None:
    """Write numpy arrays, or tensors that have ``detach()`` and ``numpy()``, as safetensors."""
    numpy = optional_library("numpy", "numpy")
    library = optional_library("safetensors.numpy", "safetensors")
    arrays = {name: numpy.ascontiguousarray(_array(value)) for name, value in tensors.items()}
    library.save_file(arrays, str(path))


def _array(value: Any) -> Any:
    if hasattr(value, "detach"):
        value = value.detach()
    return value.numpy() if callable(getattr(value, "numpy", None)) else value


@dataclass
class Run:
    """What a training run reports; made by :func:`record`.

    Call :meth:`step` and :meth:`checkpoint` while training, :meth:`evaluation` for results,
    :meth:`device` once, :meth:`weights` at the end, :meth:`document` for texts that say what was
    measured.
    """

    folder: Path
    save: Save
    checkpoints: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    results: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    device_facts: dict[str, Any] = field(default_factory=dict[str, Any])
    documents: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    has_weights: bool = False

    def step(self, step: int, **values: float) -> None:
        """Record numbers of one step (a loss), exactly: they are kept as hexadecimal floats."""
        line = {"step": step, **{name: float(value).hex() for name, value in values.items()}}
        with (self.folder / layout.STEPS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, sort_keys=True) + "\n")

    def checkpoint(self, step: int, tensors: Tensors) -> None:
        """Keep intermediate parameters."""
        if self.checkpoints and step <= self.checkpoints[-1]["step"]:
            raise ValueError(
                f"checkpoints must come in order: step {step} after {self.checkpoints[-1]['step']}"
            )
        name = f"{layout.CHECKPOINTS}/step-{step:08d}.safetensors"
        (self.folder / layout.CHECKPOINTS).mkdir(exist_ok=True)
        self._save(name, tensors)
        self.checkpoints.append({"step": step, "file": name})

    def weights(self, tensors: Tensors) -> None:
        """Keep the final parameters."""
        self._save(layout.WEIGHTS, tensors)
        self.has_weights = True

    def _save(self, name: str, tensors: Tensors) -> None:
        self.save(self.folder / name, tensors)
        (self.folder / name).chmod(0o644)  # to be published; writers differ in what they set

    def evaluation(self, data: str, **metrics: float) -> None:
        """Record results on a data set."""
        self.results.append({"data": data, "metrics": {k: float(v) for k, v in metrics.items()}})

    def document(self, component: str, name: str, text: str) -> None:
        """Write a document of the folder, Markdown as a rule; a model card becomes README.md.

        Raises:
            OpennessError: for a component that is no document, and a name that is in use.
        """
        _require(component, DOCUMENT_COMPONENTS, "document")
        name = "README.md" if component == "Model card" else name
        path = layout.inside(self.folder, name)
        if path.exists():
            raise OpennessError("is there already", str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.documents.setdefault(component, []).append(name)

    def device(self, kind: str, plans: Sequence[str] = (), **facts: str) -> None:
        """Record what computed: its kind (equal kinds must give equal bits) and plan hashes."""
        self.device_facts = {"kind": kind, "plans": list(plans), **facts}


@contextmanager
def record(
    folder: Path | str,
    *,
    name: str,
    producer: str,
    root: Path | str,
    code: Mapping[str, Sequence[str]],
    command: Sequence[str],
    seed: int,
    configuration: Mapping[str, Any] | None = None,
    data: Sequence[DataSource] = (),
    documents: Mapping[str, Path | str] | None = None,
    licensing: Licensing | None = None,
    license_texts: Mapping[str, Path | str] | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    save: Save = save_safetensors,
) -> Iterator[Run]:
    """Record a training run into a new model folder.

    Args:
        folder: where to write; it must not exist or be empty.
        root: the folder of the code; its git commit is recorded.
        code: component name → files below ``root``, as the author assigns them.
        command: how to train again, run in the folder's copy; ``{python}`` and ``{output}`` stand
            for the interpreter and the new folder. Code is under ``code/``, data under ``data/``.
        documents: component name → file (model card, data card, report, paper).
        license_texts: licence → its text, for those that are not packaged.
        tolerance: how far weights may be off on another kind of device.
        save: writes a safetensors file.

    Yields:
        the :class:`Run` that the training reports to.

    Raises:
        OpennessError: for a folder in use, unknown components, missing files.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OpennessError("is not an empty folder; a record is never written over", str(target))
    target.mkdir(parents=True, exist_ok=True)
    writer = _Writer(target, Path(root), licensing or Licensing())
    writer.add_code(code)
    writer.add_data(data)
    writer.add_documents(documents or {})
    run = Run(target, save)
    yield run
    if not run.has_weights:
        raise OpennessError("the run ended without weights(): nothing to publish", str(target))
    writer.license_texts = dict(license_texts or {})
    writer.finish(
        run,
        {
            "model": {"name": name, "producer": producer},
            "configuration": dict(configuration or {}),
            "seed": seed,
            "recipe": {"command": list(command)},
            "tolerance": {"relative": tolerance},
        },
    )


class _Writer:
    """Fills a model folder: copies, then hashes, then the record."""

    def __init__(self, folder: Path, root: Path, licensing: Licensing) -> None:
        self.folder = folder
        self.root = root
        self.licensing = licensing
        self.license_texts: dict[str, Path | str] = {}
        self.components: dict[str, dict[str, Any]] = {}
        self.data: list[dict[str, Any]] = []
        self.code: set[str] = set()

    def add(self, component: str, files: Sequence[str], license_name: str = "") -> None:
        known = self.components.setdefault(component, {"license": "", "files": []})
        wanted = license_name or self.licensing.of(BY_NAME[component].content_type)
        names = [known["license"]] if known["license"] else []
        known["license"] = " AND ".join(dict.fromkeys([*names, wanted]))
        known["files"] = sorted({*known["files"], *files})

    def add_code(self, code: Mapping[str, Sequence[str]]) -> None:
        for component, names in code.items():
            _require(component, CODE_COMPONENTS, "code")
            for name in names:
                source = layout.inside(self.root, name)
                self._copy(source, self.folder / layout.CODE / name)
            self.add(component, [f"{layout.CODE}/{name}" for name in names])
            self.code.update(names)

    def add_data(self, sources: Sequence[DataSource]) -> None:
        for source in sources:
            files: list[str] = []
            for path in map(Path, source.paths):
                for file, name in _expand(path):
                    self._copy(file, self.folder / layout.DATA_FOLDER / name)
                    files.append(f"{layout.DATA_FOLDER}/{name}")
            component = "Datasets" if source.role == "train" else "Evaluation data"
            self.add(component, files, source.license)
            self.data.append(
                {
                    "name": source.name,
                    "role": source.role,
                    "license": source.license,
                    "origin": source.origin,
                    "files": sorted(files),
                }
            )

    def add_documents(self, documents: Mapping[str, Path | str]) -> None:
        for component, path in documents.items():
            _require(component, DOCUMENT_COMPONENTS, "documents")
            source = Path(path)
            name = "README.md" if component == "Model card" else source.name
            self._copy(source, self.folder / name)
            self.add(component, [name])

    def _copy(self, source: Path, target: Path) -> None:
        if not source.is_file():
            raise OpennessError("no such file", str(source))
        if target.exists():
            if target.read_bytes() == source.read_bytes():
                return
            raise OpennessError("two different files have this name", str(target))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)

    def finish(self, run: Run, facts: dict[str, Any]) -> None:
        """Write everything that is known only at the end."""
        self.add("Model parameters (Final)", [layout.WEIGHTS])
        if run.checkpoints:
            files = [checkpoint["file"] for checkpoint in run.checkpoints]
            self.add("Model parameters (Intermediate)", files)
        if run.results:
            self._write_json(layout.RESULTS, run.results)
            self.add("Evaluation results", [layout.RESULTS])
        self._write_json(layout.CONFIGURATION, facts["configuration"])
        self._write_json(layout.RECIPE, facts["recipe"])
        for component, names in run.documents.items():
            self.add(component, names)
        metadata = [layout.CONFIGURATION, layout.RECIPE]
        metadata += [layout.STEPS] if (self.folder / layout.STEPS).exists() else []
        self.add("Model metadata", metadata)
        self._write_license_texts()
        self._write_model_file(facts["model"])
        self._write_record(run, facts)

    def _write_json(self, name: str, value: Any) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

    def _write_license_texts(self) -> None:
        """The texts of all licences, where there are any: given ones first, then packaged ones."""
        for name in sorted({c["license"] for c in self.components.values()}):
            for identifier in re.split(r"\s+(?:AND|OR)\s+", name):
                packaged = DATA / f"text-{identifier}.txt"
                given = self.license_texts.get(identifier)
                source = Path(given) if given is not None else packaged
                if given is not None or packaged.is_file():
                    self._copy(source, self.folder / layout.LICENSES / f"{identifier}.txt")

    def _write_model_file(self, model: Mapping[str, str]) -> None:
        yaml = optional_library("yaml", "PyYAML")
        components = [
            {
                "name": component.name,
                "description": component.description,
                "license": self.components[component.name]["license"],
                "component_path": self.components[component.name]["files"][0],
            }
            for component in BY_WEIGHT
            if self.components.get(component.name, {}).get("files")
        ]
        document = {
            "framework": dict(FRAMEWORK),
            "release": {
                "name": model["name"],
                "producer": model["producer"],
                "date": datetime.now(UTC).date().isoformat(),
                "license": {},
                "components": components,
            },
        }
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
        (self.folder / layout.MODEL_FILE).write_text(text, encoding="utf-8")

    def _write_record(self, run: Run, facts: dict[str, Any]) -> None:
        model = load_model(self.folder / layout.MODEL_FILE)
        verdict = evaluate(model)
        strict = evaluate(model, "strict")
        claim = {
            "mot": verdict.number,
            "strict": strict.number,
            "license_list": verdict.table_version,
        }
        names = list(layout.files_of(self.folder))
        hashes = {name: layout.hash_file(self.folder / name) for name in names}
        parts = [
            FileFact(name, hashes[name][0], BY_NAME[component].number)
            for component, fact in self.components.items()
            for name in fact["files"]
        ]
        self._write_json("oci-annotations.json", oci_annotations(verdict))
        sbom = spdx_document(
            verdict,
            facts["model"]["producer"],
            files=parts,
            hyperparameters=facts["configuration"],
        )
        self._write_json("sbom.spdx.json", sbom)
        for name in ("oci-annotations.json", "sbom.spdx.json"):
            hashes[name] = layout.hash_file(self.folder / name)
        weights = [layout.WEIGHTS, *(checkpoint["file"] for checkpoint in run.checkpoints)]
        record = {
            "format": layout.FORMAT,
            "version": layout.VERSION,
            **facts,
            "components": self.components,
            "files": {n: {"sha256": h, "bytes": size} for n, (h, size) in hashes.items()},
            "tensors": {name: tensor_hashes(self.folder / name) for name in weights},
            "checkpoints": run.checkpoints,
            "code": commit_of(self.root, self.code),
            "data": self.data,
            "environment": environment(),
            "device": run.device_facts or {"kind": f"{platform.machine()} cpu", "plans": []},
            "evaluation": run.results,
            "claim": claim,
        }
        record["digest"] = layout.digest_of(record)
        self._write_json(layout.RECORD, record)


def _require(component: str, allowed: frozenset[str], argument: str) -> None:
    if component not in allowed:
        raise OpennessError(
            f"{argument}={{{component!r}: …}}: expected one of {', '.join(sorted(allowed))}"
        )


def _expand(path: Path) -> Iterator[tuple[Path, str]]:
    """The files of a path and their names in the data folder."""
    if path.is_dir():
        for name in layout.files_of(path):
            if not SKIPPED_FOLDERS.intersection(name.split("/")):
                yield path / name, name
    elif path.is_file():
        yield path, path.name
    else:
        raise OpennessError("no such data", str(path))


def commit_of(root: Path, names: Iterable[str]) -> dict[str, Any]:
    """The git commit of code files, and whether they differ from it; nothing outside of git.

    Files that git does not know, such as those of a package installed inside somebody's checkout,
    have no commit, wherever they lie.
    """
    unknown = {"commit": None, "is_changed": None}
    wanted = {PurePosixPath(name).as_posix() for name in names}
    try:
        commit = _git(root, "rev-parse", "HEAD")
        tracked = set(_git(root, "ls-files", "-z", "--", ".").split("\0")) & wanted
        changed = _git(root, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return unknown
    if not tracked:
        return unknown
    return {"commit": commit.strip(), "is_changed": bool(changed.strip()) or tracked != wanted}


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout


def environment() -> dict[str, Any]:
    """Python, system and the versions of the libraries that are loaded; nothing personal."""
    from importlib import metadata

    loaded = {name.partition(".")[0] for name in sys.modules}
    packages: dict[str, str] = {}
    for module, distributions in metadata.packages_distributions().items():
        if module in loaded:
            packages |= {name: metadata.version(name) for name in distributions}
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "packages": dict(sorted(packages.items())),
    }
