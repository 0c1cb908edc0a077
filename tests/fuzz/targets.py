"""The table of targets.

In: a target's name.  Out: its check, tokens that lead a fuzzer into it, and how long an input may be.
Never: a target that is not tried by `test_corpus.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import cutter, names, replies, requests, session

CORPUS = Path(__file__).with_name("corpus")


@dataclass(frozen=True, slots=True)
class Target:
    """What is done with an input, and what is good to know for whoever makes one."""

    check: Callable[[bytes], None]
    tokens: list[bytes]
    longest: int
    """Bytes of an input at which more of them bring nothing new."""
    about: str

    def finds(self, data: bytes) -> bool:
        """Whether an input shows that something is wrong."""
        try:
            self.check(data)
        except Exception:
            return True
        return False


TARGETS = {
    "cutter": Target(cutter.check, cutter.TOKENS, 2048, "a stream is cut into lines, wherever it is cut in pieces"),
    "requests": Target(requests.check, requests.TOKENS, 200, "what a peer says is parsed"),
    "replies": Target(replies.check, replies.TOKENS, 400, "what a node says is parsed and rendered"),
    "names": Target(names.check, names.BYTES, 80, "what may be a name or a topic"),
    "session": Target(session.check, session.TOKENS, 800, "whole conversations with a broker"),
}


def inputs(name: str) -> list[Path]:
    """The inputs of a target's corpus."""
    return sorted(path for path in (CORPUS / name).iterdir() if path.is_file())
