"""Find the 17 components among the files of a folder: one small detector per kind of artefact.

A detector only says what it saw. A file's name alone makes a thing likely at most; what points
elsewhere (a cited paper, a data set on a hub) is doubtful, because nobody here has looked at it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from flambeau.openness.errors import as_list
from flambeau.openness.evidence import Confidence, Evidence, Found
from flambeau.openness.model_card import Card, Section, parse_card
from flambeau.openness.tree import File, Tree, text_of
from flambeau.openness.weights import WEIGHT_SUFFIXES, WeightHeader, read_header

MAXIMUM_CODE: Final = 256 << 10
MAXIMUM_CODE_FILES: Final = 3_000
MAXIMUM_JSON: Final = 2 << 20
MAXIMUM_PER_COMPONENT: Final = 12

CHECKPOINT_FOLDER: Final = re.compile(
    r"(?:^|/)(?:checkpoints?|ckpts?|intermediate[^/]*|(?:checkpoint|step|epoch|ckpt|global_?step)"
    r"[-_]?\d+[^/]*)(?:/|$)",
    re.IGNORECASE,
)
_CHECKPOINT_NAME: Final = re.compile(r"(?:checkpoint|step|epoch|ckpt|iter)[-_=]?\d+", re.IGNORECASE)
_TRAINING_STATE: Final = re.compile(
    r"^(?:optimizer|scheduler|rng_state|training_args|scaler|random_states)", re.IGNORECASE
)

_FOREIGN: Final = re.compile(
    r"(?:^|/)(?:third[-_]?party|vendor(?:ed)?|external|externals|dependencies|deps|submodules)(?:/|$)",
    re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"(?m)^[ \t]*#(?!!).*$")

CODE_SUFFIXES: Final = frozenset(
    {".py", ".ipynb", ".sh", ".jl", ".cpp", ".cc", ".cu", ".rs", ".go"}
)
DATA_SUFFIXES: Final = frozenset(
    """.parquet .arrow .jsonl .csv .tsv .tfrecord .npz .npy .lmdb .zarr .jsonl.gz .gz .zst .tar .zip
    .txt .json .idx .wav .flac .safetensors""".split()  # noqa: SIM905  # a list of words reads best as words
)
_DATA_FOLDER: Final = re.compile(r"(?:^|/)(?:data|datasets?|corpus|corpora)(?:/|$)", re.IGNORECASE)
_EVALUATION_DATA: Final = re.compile(
    r"(?:^|[/_.-])(?:test|tests|eval|evaluation|valid|validation|val|dev|benchmark|held[-_]?out)"
    r"(?:[/_.-]|$)",
    re.IGNORECASE,
)
_SPLIT_NAME: Final = re.compile(
    r"(?:train|test|val|valid|validation|eval|dev)[-._\d]", re.IGNORECASE
)
_TRAINING_DATA: Final = re.compile(r"(?:^|[/_.-])(?:train|training)(?:[/_.-]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class CodeRule:
    """How code for one component is told: by the file's name and by what stands in it."""

    number: int
    name: re.Pattern[str]
    content: re.Pattern[str]
    what: str
    content_alone: Confidence = "likely"


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


CODE_RULES: Final = (
    CodeRule(
        9,
        _words(r"(?:^|[/_-])(?:model(?:ing|ling)?|architecture|network|nets?)(?:[_.-]|$)"),
        re.compile(
            r"^class\s+\w+\s*\((?:[\w.]*\b(?:Module|PreTrainedModel|LightningModule)\b|"
            r"(?:tf\.)?keras\.(?:Model|layers\.Layer)\b|[\w.]*\bFlaxPreTrainedModel\b)",
            re.MULTILINE,
        ),
        "defines a network",
    ),
    CodeRule(
        7,
        _words(r"(?:^|[/_-])(?:train(?:er|ing)?|fine[-_]?tun(?:e|ing)|pretrain)(?:[_.-]|$)"),
        re.compile(
            r"\.backward\(|optimi[sz]er\.step\(|\bTrainer\(|\bSFTTrainer\(|"
            r"trainer\.(?:train|fit)\(|\.compile\(.*loss|"
            r"^\s*(?:torchrun|accelerate launch|deepspeed)\s",
            re.MULTILINE,
        ),
        "trains",
        "likely",
    ),
    CodeRule(
        8,
        _words(
            r"(?:^|[/_-])(?:infer(?:ence)?|predict(?:ion)?|generate|generation|sample|chat|serve|"
            r"handler|demo|pipeline|run_model)(?:[_.-]|$)"
        ),
        re.compile(
            r"\.generate\(|no_grad\(|inference_mode\(|InferenceSession\(|def (?:predict|infer)"
        ),
        "runs the model",
        "doubtful",
    ),
    CodeRule(
        18,
        _words(r"(?:^|[/_-])(?:eval(?:uate|uation)?|benchmark|metrics?|score)(?:[_.-]|$)"),
        re.compile(
            r"accuracy|perplexity|\bf1|bleu|rouge|lm_eval|evaluate\.load|def (?:evaluate|score)",
            re.IGNORECASE,
        ),
        "evaluates the model",
        "doubtful",
    ),
    CodeRule(
        16,
        _words(
            r"(?:^|[/_-])(?:pre[-_]?process(?:ing|or)?|prepare|tokeni[sz]e_data|build_data(?:set)?|"
            r"make_data(?:set)?|clean|dedup(?:licate)?|prepare_data|data_prep|download_data)(?:[_.-]|$)"
        ),
        re.compile(
            r"open\(|read_csv|read_parquet|load_dataset|\.map\(|dedup|normali[sz]|tokeni[sz]|"
            r"np\.(?:load|save)|astype"
        ),
        "prepares data",
        "doubtful",
    ),
)


@dataclass
class Findings:
    """Everything that was seen: evidence per component, cards, and remarks."""

    tree: Tree
    components: dict[int, Found] = field(default_factory=dict[int, Found])
    card: Card | None = None
    card_file: str = ""
    notes: list[str] = field(default_factory=list[str])
    headers: dict[str, WeightHeader] = field(default_factory=dict[str, WeightHeader])

    def add(
        self,
        number: int,
        text: str,
        confidence: Confidence,
        file: str,
        line: int | None = None,
        artefact: str = "",
    ) -> None:
        found = self.components.setdefault(number, Found(number))
        if len(found.evidence) < MAXIMUM_PER_COMPONENT or confidence == "certain":
            found.evidence.append(Evidence(text, confidence, file, line, artefact))


def detect(tree: Tree) -> Findings:
    """Run every detector over a tree."""
    findings = Findings(tree)
    _read_card(findings)
    for detector in DETECTORS:
        detector(findings)
    return findings


def _read_card(findings: Findings) -> None:
    for name in ("README.md", "MODEL_CARD.md", "model_card.md", "modelcard.md", "README"):
        for file in findings.tree.files:
            if file.path == name:
                text = text_of(findings.tree, name, 1 << 20)
                findings.card = parse_card(text, name)
                findings.card_file = name
                if findings.card.problem:
                    findings.notes.append(f"{name}: {findings.card.problem}")
                return


def detect_weights(findings: Findings) -> None:
    """Final and intermediate parameters, by the headers of the weight files."""
    for file in findings.tree.files:
        if file.suffix not in WEIGHT_SUFFIXES or _TRAINING_STATE.match(file.name):
            continue
        if _DATA_FOLDER.search(file.folder) and not CHECKPOINT_FOLDER.search(file.path):
            continue
        header = read_header(findings.tree, file)
        if header is None:
            continue
        findings.headers[file.path] = header
        is_checkpoint = bool(
            CHECKPOINT_FOLDER.search(file.path) or _CHECKPOINT_NAME.search(file.name)
        )
        confidence: Confidence = "certain" if header.is_valid else "doubtful"
        if header.kind == "pickle":
            confidence = "likely"
        text = f"{header.kind}: {header.detail}"
        findings.add(24 if is_checkpoint else 10, text, confidence, file.path)
    if 24 in findings.components and 10 not in findings.components:
        findings.notes.append("only checkpoints were found: which one is final is for a person")


def detect_code(findings: Findings) -> None:
    """Architecture, training, inference, evaluation and preprocessing code."""
    files = [f for f in findings.tree.files if f.suffix in CODE_SUFFIXES and f.size > 0]
    if len(files) > MAXIMUM_CODE_FILES:
        findings.notes.append(f"{len(files)} code files: the first {MAXIMUM_CODE_FILES} were read")
    foreign = 0
    for file in files[:MAXIMUM_CODE_FILES]:
        if re.match(r"(?:test_.*|.*_test|conftest|setup|__init__)\.py$", file.name):
            continue
        if _FOREIGN.search(file.folder):
            foreign += 1
            continue
        text = text_of(findings.tree, file.path, MAXIMUM_CODE)
        if file.suffix == ".ipynb":
            text = notebook_code(text)
        text = _COMMENT.sub("", text)
        for rule in CODE_RULES:
            _apply_rule(findings, rule, file, text)
    if foreign:
        findings.notes.append(f"{foreign} files in folders of other projects were not looked at")


def _apply_rule(findings: Findings, rule: CodeRule, file: File, text: str) -> None:
    named = rule.name.search(file.path.rpartition(".")[0])
    match = rule.content.search(text)
    if match is None:
        if named and len(text.split()) > 20 and rule.number != 9:
            said = f"named as code that {rule.what}, but nothing in it shows that"
            findings.add(rule.number, said, "doubtful", file.path)
        return
    line = text.count("\n", 0, match.start()) + 1
    confidence: Confidence = "certain" if named else rule.content_alone
    findings.add(
        rule.number, f"{rule.what}: “{match[0].strip()[:60]}”", confidence, file.path, line
    )


def notebook_code(text: str) -> str:
    """The code cells of a notebook, one after the other; the text itself where it is broken."""
    try:
        cells = cast("list[dict[str, Any]]", json.loads(text).get("cells", []))
        sources = [cell["source"] for cell in cells if cell.get("cell_type") == "code"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return text
    return "\n".join(s if isinstance(s, str) else "".join(map(str, s)) for s in sources)


_CARD_SECTIONS: Final = (
    r"intended use|uses?$|usage|direct use",
    r"limitation|bias|risk|ethic|out[- ]of[- ]scope",
    r"model (?:description|details|summary|overview|information)|description|overview|introduction",
    r"training",
    r"evaluation|results|performance|metrics",
)


def detect_model_card(findings: Findings) -> None:
    """A README (or MODEL_CARD.md) that says what a model card has to say."""
    card = findings.card
    if card is None:
        return
    said: list[Section] = []
    for pattern in _CARD_SECTIONS:
        section = card.section(pattern)
        if section and section.words >= 10 and section not in said:
            said.append(section)
    titles = ", ".join(f"“{s.title}”" for s in said[:4])
    line = said[0].line if said else 1
    is_named = "card" in findings.card_file.lower()
    if len(said) >= 3 or (is_named and len(said) >= 2):
        findings.add(13, f"sections {titles}", "certain", findings.card_file, line)
    elif len(said) == 2 or (said and card.front):
        findings.add(13, f"sections {titles}", "likely", findings.card_file, line)
    elif card.text.strip():
        text = "a README without the sections of a model card (use, limitations, training, results)"
        findings.add(13, text, "doubtful", findings.card_file, 1)


def detect_data_card(findings: Findings) -> None:
    """A file of its own, or a section of the model card (for a person to judge)."""
    for file in findings.tree.files:
        name = file.name.lower()
        in_data = _DATA_FOLDER.search(file.folder) is not None
        is_card = re.match(r"(?:data[-_]?(?:card|sheet)|dataset[-_]?card|datasheet)s?\.", name)
        if (is_card or (in_data and name == "readme.md")) and name.endswith(
            (".md", ".txt", ".rst")
        ):
            words = len(text_of(findings.tree, file.path, 64 << 10).split())
            confidence: Confidence = "certain" if is_card and words >= 50 else "likely"
            if words < 50:
                confidence = "doubtful"
            findings.add(14, f"describes the data in {words} words", confidence, file.path, 1)
    card = findings.card
    section = (
        card.section(r"training data|data ?sets?\b|pre-?training data|^data\b") if card else None
    )
    if section and section.words >= 20:
        text = f"section “{section.title}” of the model card may serve as the data card"
        findings.add(14, text, "doubtful", findings.card_file, section.line)


def detect_results(findings: Findings) -> None:
    """Evaluation results: the card's model-index, result files, tables of numbers."""
    card = findings.card
    if card:
        if any(_metric_values(card.front.get("model-index"))):
            line = card.front_lines.get("model-index")
            findings.add(12, "metrics in the model-index", "certain", findings.card_file, line)
        section = card.section(r"evaluation|results|performance|benchmark")
        if section and section.has_numbers_in_table:
            text = f"section “{section.title}” has a table of numbers"
            findings.add(12, text, "likely", findings.card_file, section.line)
        elif section and re.search(r"\d+(?:\.\d+)?\s*%|0\.\d{2,}", section.text):
            text = f"section “{section.title}” names numbers"
            findings.add(12, text, "doubtful", findings.card_file, section.line)
    pattern = re.compile(
        r"(?:(?:all|eval|test|evaluation)[-_])?(?:results?|metrics|evaluation|scores)[^/]*\.json$"
    )
    for file in findings.tree.files:
        if pattern.match(file.name.lower()) and file.size <= MAXIMUM_JSON:
            count = _count_numbers(text_of(findings.tree, file.path, MAXIMUM_JSON))
            if count:
                findings.add(12, f"{count} numbers", "certain", file.path)


def _metric_values(index: Any) -> Iterator[float]:
    if isinstance(index, list):
        for item in as_list(index):
            yield from _metric_values(item)
    elif isinstance(index, dict):
        mapping = cast("dict[str, Any]", index)
        value = mapping.get("value")
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield float(value)
        for item in mapping.values():
            yield from _metric_values(item)


def _count_numbers(text: str) -> int:
    try:
        pending: list[Any] = [json.loads(text)]
    except (ValueError, RecursionError):
        return 0
    count = 0
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += list(cast("dict[str, Any]", value).values())
        elif isinstance(value, list):
            pending += as_list(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            count += 1
    return count


def detect_papers(findings: Findings) -> None:
    """Reports and papers: files in the folder, and citations of the card."""
    for file in findings.tree.files:
        name = file.name.lower()
        if not name.endswith((".pdf", ".tex", ".md", ".html")) or file.path == findings.card_file:
            continue
        if re.search(r"tech(?:nical)?[-_ ]?report", name):
            findings.add(11, "a file named as technical report", "likely", file.path)
        elif re.match(r"(?:research[-_ ]?)?paper\b|article\b|manuscript\b", name):
            findings.add(21, "a file named as paper", "likely", file.path)
    card = findings.card
    if card is None:
        return
    name = str(card.front.get("model_name") or findings.tree.name)
    for citation in card.citations:
        number = 11 if re.search(r"technical report|model card", citation.title, re.I) else 21
        own = citation.in_citation_section and _shares_name(citation.title, name)
        address = f"https://arxiv.org/abs/{citation.arxiv}" if citation.arxiv else ""
        confidence: Confidence = "likely" if own and citation.arxiv else "doubtful"
        text = f"cites “{citation.title[:90]}”" + (f" (arXiv {citation.arxiv})" if address else "")
        findings.add(number, text, confidence, findings.card_file, citation.line, address)
    known = {citation.arxiv for citation in card.citations}
    for identifier, line in card.arxiv:
        if identifier not in known:
            known.add(identifier)
            address = f"https://arxiv.org/abs/{identifier}"
            text = f"mentions arXiv {identifier}; whose paper it is is not said"
            findings.add(21, text, "doubtful", findings.card_file, line, address)


def _shares_name(title: str, name: str) -> bool:
    words = {
        w for w in re.findall(r"[a-z]{3,}", name.lower()) if w not in ("base", "instruct", "chat")
    }
    return any(word in title.lower() for word in words)


def detect_data(findings: Findings) -> None:
    """Data sets in the folder; those that the card only names are for a person."""
    names = {"license", "readme", "requirements", "card", "datasheet", "manifest", "state"}
    for file in findings.tree.files:
        if file.suffix not in DATA_SUFFIXES or any(n in file.name.lower() for n in names):
            continue
        in_folder = _DATA_FOLDER.search(file.folder) is not None
        split = file.path if in_folder else file.name
        is_text = file.suffix in (".txt", ".json", ".zip", ".tar", ".gz", ".safetensors", ".npz")
        if not in_folder and (is_text or not _is_split(split)):
            continue
        if file.size == 0:
            continue
        number = 19 if _EVALUATION_DATA.search(split) else 15
        is_named = _SPLIT_NAME.match(file.name)
        confidence: Confidence = "certain" if in_folder and is_named else "likely"
        findings.add(number, f"data, {file.size:,} bytes", confidence, file.path)
    card = findings.card
    declared = card.front.get("datasets") if card else None
    for name in as_list(declared):
        if card and isinstance(name, str):
            text = f"the card names the data set {name!r}; its release and licence are elsewhere"
            address = f"https://huggingface.co/datasets/{name}" if "/" in name else ""
            line = card.front_lines.get("datasets")
            findings.add(15, text, "doubtful", findings.card_file, line, address)


def _is_split(path: str) -> bool:
    return bool(_TRAINING_DATA.search(path) or _EVALUATION_DATA.search(path))


def detect_the_rest(findings: Findings) -> None:
    """Libraries, metadata and sample outputs, by their usual file names."""
    libraries = re.compile(
        r"(?:requirements[^/]*\.txt|pyproject\.toml|environment\.ya?ml|setup\.py|setup\.cfg|"
        r"dockerfile|uv\.lock|poetry\.lock|pipfile|cargo\.toml|.*\.lock)$"
    )
    metadata = re.compile(
        r"(?:config|generation_config|tokenizer_config|trainer_state|training_args|params|"
        r"hyperparameters|openness|preprocessor_config)\.(?:json|ya?ml|bin|toml)$|"
        r"(?:optimizer|scheduler)\.(?:pt|bin|safetensors)$"
    )
    samples = re.compile(r"(?:^|/)(?:samples?|sample_outputs?|outputs|generations)/[^/]+$")
    for file in findings.tree.files:
        name = file.name.lower()
        if libraries.match(name):
            findings.add(22, "names libraries and tools", "likely", file.path)
        elif metadata.match(name):
            findings.add(17, "configuration or optimizer state", "likely", file.path)
        elif samples.search(file.path.lower()) or re.match(r"sample[-_]?outputs?\b", name):
            findings.add(20, "sample outputs", "likely", file.path)
        if name == "config.json" and file.size <= MAXIMUM_JSON:
            _detect_architecture_name(findings, file)


def _detect_architecture_name(findings: Findings, file: File) -> None:
    text = text_of(findings.tree, file.path, MAXIMUM_JSON)
    match = re.search(r'"architectures"\s*:\s*\[\s*"(\w+)"', text)
    if match:
        line = text.count("\n", 0, match.start()) + 1
        said = f"names the architecture {match[1]}, whose code is in another project"
        findings.add(9, said, "doubtful", file.path, line)


DETECTORS: Final[tuple[Callable[[Findings], None], ...]] = (
    detect_weights,
    detect_code,
    detect_model_card,
    detect_data_card,
    detect_results,
    detect_papers,
    detect_data,
    detect_the_rest,
)
