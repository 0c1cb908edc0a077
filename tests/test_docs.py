"""The examples in the documentation do what they say: each `>>>` in a Markdown page is run."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [path.relative_to(ROOT).as_posix() for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])]


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_are_true(page: str) -> None:
    parser = doctest.DocTestParser()
    # The fence that ends a block of code would be taken for expected output.
    text = (ROOT / page).read_text(encoding="utf-8").replace("```", "")
    test = parser.get_doctest(text, {"__name__": page}, page, str(ROOT / page), 0)
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert not failed, "".join(said)
