"""Evidence: what was found, where, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from flambeau.openness.errors import display_name

Confidence = Literal["certain", "likely", "doubtful"]

ORDER: Final = ("certain", "likely", "doubtful")


@dataclass(frozen=True)
class Evidence:
    """One observation.

    Attributes:
        text: what was found, for people.
        confidence: ``certain`` and ``likely`` are proposed; ``doubtful`` is for a person.
        file, line: where.
        artefact: path or address of the thing itself, where it is not ``file``.
    """

    text: str
    confidence: Confidence
    file: str
    line: int | None = None
    artefact: str = ""

    @property
    def place(self) -> str:
        name = display_name(self.file)
        return f"{name}:{self.line}" if self.line else name

    def as_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "confidence": self.confidence,
            "file": display_name(self.file),
            "line": self.line,
        }


def best(evidence: list[Evidence]) -> Evidence | None:
    """The strongest piece; of equals the one nearest to the root."""

    def order(piece: Evidence) -> tuple[int, int]:
        return ORDER.index(piece.confidence), piece.file.count("/")

    return min(evidence, key=order, default=None)


@dataclass
class Found:
    """What speaks for one component."""

    number: int
    evidence: list[Evidence] = field(default_factory=list[Evidence])

    @property
    def confidence(self) -> Confidence | None:
        strongest = best(self.evidence)
        return strongest.confidence if strongest else None

    @property
    def is_proposed(self) -> bool:
        return self.confidence in ("certain", "likely")

    def sorted_evidence(self) -> list[Evidence]:
        def order(piece: Evidence) -> tuple[int, int, str, int]:
            rank = ORDER.index(piece.confidence)
            return rank, piece.file.count("/"), piece.file, piece.line or 0

        return sorted(self.evidence, key=order)
