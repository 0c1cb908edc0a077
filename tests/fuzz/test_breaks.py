"""The corpus finds what is broken on purpose: a double that agreed with everything would find nothing."""

from __future__ import annotations

import pytest

from tests.fuzz.breaks import BREAKS
from tests.fuzz.targets import TARGETS, inputs


@pytest.mark.parametrize("what", BREAKS)
def test_the_corpus_finds_what_is_broken_on_purpose(what: str) -> None:
    name = BREAKS[what].target
    with BREAKS[what].done():
        assert any(TARGETS[name].finds(path.read_bytes()) for path in inputs(name))
