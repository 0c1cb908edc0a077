"""Every input that was worth keeping is a test, with no fuzzer there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fuzz.tape import Tape
from tests.fuzz.targets import CORPUS, TARGETS, inputs

INPUTS = [pytest.param(name, path, id=f"{name}-{path.name[:8]}") for name in TARGETS for path in inputs(name)]


@pytest.mark.parametrize(("name", "path"), INPUTS)
def test_the_node_does_what_its_plain_double_does(name: str, path: Path) -> None:
    TARGETS[name].check(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_at_all_is_an_input_too(name: str) -> None:
    TARGETS[name].check(b"")


def test_every_target_has_a_corpus_and_it_is_small() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    paths = [path for name in TARGETS for path in inputs(name)]
    assert all(re.fullmatch(r"[0-9a-f]{40}", path.name) for path in paths)
    assert len(paths) <= 200
    assert sum(path.stat().st_size for path in paths) <= 200_000
    assert all(path.stat().st_size <= TARGETS[path.parent.name].longest for path in paths)


def test_a_tape_gives_texts_from_the_front_and_numbers_from_the_back() -> None:
    tape = Tape(b"one\ntwo three\x02\x01\x05")
    assert tape.number() == 5
    assert tape.number(2) == 0x0102
    assert tape.line() == b"one\n"
    assert tape.text(3) == b"two"
    assert tape
    assert tape.choose("abc") == "c"  # 101, what is left of "three"
    assert tape.rest() == b" thre"
    assert not tape


def test_a_tape_that_is_used_up_gives_nothing() -> None:
    tape = Tape(b"")
    assert (tape.number(3), tape.below(7), tape.text(5), tape.line(), tape.rest()) == (0, 0, b"", b"", b"")
    assert tape.choose("abc") == "a"
