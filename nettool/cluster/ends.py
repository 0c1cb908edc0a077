"""
Why connections to other nodes have ended, and what to do about it.

In: reasons.  Out: words for a log and for operators.  Never: a decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nettool.errors import LinkEnd


@dataclass(frozen=True, slots=True)
class LastEnd:
    """How the last link to a node ended, or why none came about since."""

    reason: LinkEnd
    detail: str
    """What was said of it, escaped."""
    at: float


EXPECTED = frozenset((LinkEnd.REPLACED, LinkEnd.SHUTDOWN, LinkEnd.REMOVED))
"""What happens when all is as it should be."""

_AS_IT_SHOULD = frozenset((LinkEnd.SHUTDOWN, LinkEnd.REPLACED))
"""What another node may say at the end that is nobody's refusal."""


def end_said(code: str, detail: str) -> tuple[LinkEnd, str]:
    """What it is here that another node ends the connection with this word and this sentence."""
    if code in _AS_IT_SHOULD:
        return LinkEnd(code), f"it says so: {detail}"
    return LinkEnd.REFUSED, detail if detail.startswith(f"{code}: ") else f"{code}: {detail}"


ADVICE: Mapping[LinkEnd, str] = {
    LinkEnd.LOST: "the link comes back by itself; if not, see whether that node runs, and may be reached",
    LinkEnd.UNREACHABLE: "dialled again; see whether that node runs, listens for links there, and has no firewall",
    LinkEnd.SILENT: "the link comes back by itself; see whether that node hangs, or the network lets nothing through",
    LinkEnd.REPLACED: "nothing to do: another connection is the link",
    LinkEnd.ALREADY_LINKED: "nothing to do: there is a link",
    LinkEnd.HELLO_TIMEOUT: "see whether that is a node which listens for links there, and whether it hangs",
    LinkEnd.CROWDED_OUT: "see who connects to the endpoint for links and says nothing, and let only nodes reach it",
    LinkEnd.NOT_TAKEN: "tried again; see whether that node hangs, and what its log says",
    LinkEnd.VERSION: "tried again, and refused until then",
    LinkEnd.NOT_TRUSTED: "refused until then",
    LinkEnd.WRONG_NAME: "refused until then",
    LinkEnd.UNKNOWN_NODE: "refused until then",
    LinkEnd.BAD_FRAME: "tried again; if both run releases of nettool it is a fault: keep both logs, and report it",
    LinkEnd.REFUSED: "tried again, and refused until that is mended",
    LinkEnd.TOO_SLOW: "the link comes back by itself; see whether that node hangs, or the network is too slow",
    LinkEnd.REMOVED: "nothing to do if that was meant; else name it again, and reload",
    LinkEnd.SHUTDOWN: "nothing to do: the link comes back when that node is started",
    LinkEnd.BROKEN: "the link comes back by itself; a fault of nettool: keep the traceback, and report it",
}
"""What an operator can do.  Of what is refused the detail says first what has to be mended."""
