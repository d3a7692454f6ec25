"""Licence texts: found when they are there, never when a condition was added."""

from __future__ import annotations

import lzma
import os

import pytest

from flambeau.openness.errors import OpennessError
from flambeau.openness.license_text import (
    TEXTS,
    decode_license,
    identify_text,
    normalise,
    pack_texts,
)
from tests.openness.support import UPSTREAM

MIT = (UPSTREAM / "LICENSE").read_text("utf-8")


def test_mit_with_names_and_title() -> None:
    for text in (MIT, "MIT License\n\n" + MIT, "\n".join("# " + line for line in MIT.split("\n"))):
        (match,) = identify_text(text)
        assert match.identifier == "MIT"
        assert match.confidence in ("certain", "likely")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("subject to", "provided it is not used for military purposes and subject to"),
        ("free of charge", "for a fee"),
        ("to deal in the Software without restriction", "to deal in the Software"),
        ("KIND, EXPRESS", "KIND.\n\nThe Software may not be used commercially.\n\nEXPRESS"),
        ("WITHOUT WARRANTY", "WITH WARRANTY"),
    ],
)
def test_a_changed_condition_is_doubtful(old: str, new: str) -> None:
    assert old in MIT
    for match in identify_text(MIT.replace(old, new, 1)):
        assert match.confidence == "doubtful"
        assert match.added or match.omitted


def test_added_passage_has_its_line() -> None:
    text = MIT + "\n\nYou must not use it for weapons of any kind whatsoever.\n"
    (match,) = identify_text(text)
    assert match.added[-1].line == len(text.splitlines())


def test_two_licences_in_one_file_are_doubtful() -> None:
    isc = (
        "Permission to use, copy, modify, and/or distribute this software for any purpose with or "
        "without fee is hereby granted, provided that the above copyright notice and this "
        'permission notice appear in all copies.\n\nTHE SOFTWARE IS PROVIDED "AS IS" AND THE '
        "AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED "
        "WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR "
        "ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER "
        "RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, "
        "NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR "
        "PERFORMANCE OF THIS SOFTWARE.\n"
    )
    assert identify_text(isc)[0].identifier == "ISC"
    matches = identify_text(MIT + "\n" + isc)
    assert {match.identifier for match in matches} == {"MIT", "ISC"}
    assert {match.confidence for match in matches} == {"doubtful"}


def test_openmdw_versions_are_told_apart() -> None:
    packed = lzma.decompress(TEXTS.read_bytes()).decode()
    start = packed.index('"OpenMDW-1.0":"') + len('"OpenMDW-1.0":"')
    text = packed[start : packed.index('"', start)]
    assert identify_text(text)[0].identifier == "OpenMDW-1.0"
    newer = text.replace("1.0", "1.1").replace("any patent then", "any patent or copyright then")
    assert identify_text(newer)[0].identifier == "OpenMDW-1.1"


def test_text_that_is_no_licence() -> None:
    assert identify_text("All rights reserved.") == []
    assert identify_text("word " * 500) == []
    terms = "You may use the materials for research only, under the conditions of this agreement. "
    assert identify_text("ACME COMMUNITY LICENSE AGREEMENT\n" + terms * 50) == []


def test_junk_is_refused_or_not_identified() -> None:
    with pytest.raises(OpennessError, match="is not text"):
        decode_license(bytes(range(256)) * 100, "LICENSE")
    with pytest.raises(OpennessError, match="too large"):
        decode_license(b"a" * (600 << 10), "LICENSE")
    assert identify_text(os.urandom(50_000).decode("latin-1")) == []


def test_packing_round_trip() -> None:
    packed = pack_texts({"X-1.0": "Some  Licence, text\nCopyright (c) 2020 me\n1. first"})
    assert b"some license text first" in lzma.decompress(packed)
    assert normalise("The-owner's licence").words == ("the", "holder", "s", "license")
