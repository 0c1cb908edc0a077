"""
Why somebody on another node gets his lines late, and why a link is down, in words.

In: `links.There`, `links.Link`, the settings in force.  Out: sentences for somebody who has just been called at night.
Never: a look at the node.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isinf

from nettool.ops.console.words import MOST, Columns, fillers_table, waiting_table
from nettool.ops.links import Link, There
from nettool.ops.queued import Lane
from nettool.ops.tables import Table, duration, listed, number, printable, size

LATE = 1.0
"""Seconds after which it is worth a word that nothing is confirmed; a link confirms after a twentieth of that."""


def there_in_words(why: There) -> str:
    """The whole answer, some lines of it, without a line end."""
    return "\n".join(_sentences(why))


def _sentences(why: There) -> Iterator[str]:
    name, link = printable(why.name, keep=""), why.link
    node = printable(link.node, keep="")
    yield from _of_the_link(link, node)
    if link.state == "up" and not why.listed:
        yield f"{node} does not say that {name} is there: lines come back (no-such-peer) if it is not when they arrive."
    if why.name.startswith("@"):
        yield from _of_the_way(why)
    elif link.state != "up":
        yield from _of_what_waits(why, node)
    elif not why.under_way_bytes:
        yield f"Nothing is under way to {name}: what is sent to it is handed to the link at once, and taken there."
    else:
        here = max(why.under_way_bytes - why.there_bytes, 0)
        yield (
            f"Under way to it: {size(why.under_way_bytes)} of {size(why.window)} (remote-window): {size(here)} here or "
            f"on the link, {size(why.there_bytes)} in its outbox there."
        )
        for lane in why.lanes:
            yield from _of_the_window(lane)
    if why.writers:
        names = [printable(writer, keep="") for writer in why.writers[:MOST]]
        yield f"Written by {listed(names)}{' and others' if len(why.writers) > MOST else ''}."
    if why.fillers:
        yield "Not sent yet:"
        yield fillers_table(why.fillers)
    if why.waiting:
        yield "Who is not read because of it:"
        yield waiting_table(why.waiting, why.name)
    if link.state == "up" and why.there_bytes:
        yield f'What holds it up is seen there: why("{name.rpartition("@")[0]}") at the console of {node}.'


def _of_the_link(link: Link, node: str) -> Iterator[str]:
    state = {"up": "is linked", "connecting": "is being connected to, and has not been linked"}
    since = f"{state.get(link.state, 'has not been linked')} for {duration(link.state_for)}"
    where = f", at {printable(link.address, keep='')}" if link.address else ""
    yield f"{node} {since}{where}."
    if link.state != "up" and link.last_end:
        yield f"  {link.last_end}: {printable(link.last_end_detail, keep='').rstrip('.')}."
        yield f"  {link.advice[:1].upper()}{link.advice[1:]}."
    elif link.state != "up":
        yield "  Nothing is known of why: if it has no address here, it has to dial this node."
    if link.full_for:
        yield (
            f"  The way there is full for {duration(link.full_for)}: {number(link.queued_lines, 'line')}, "
            f"{size(link.queued_bytes)} wait for it."
        )
    if link.state == "up" and link.unconfirmed_for >= LATE:
        yield (
            f"  It has confirmed nothing for {duration(link.unconfirmed_for)}: "
            f"{number(link.unconfirmed_lines, 'line')} are sent, and not known to be there."
        )


def _of_the_way(why: There) -> Iterator[str]:
    if not why.queued_lines:
        yield "Nothing is on the way there: what is sent is handed to the link at once, and confirmed."
        return
    yield (
        f"On the way there: {number(why.queued_lines, 'line')}, of which {number(why.link.unconfirmed_lines, 'line')} "
        "are sent and not confirmed."
    )
    for lane in why.lanes:
        if lane.held_bytes:
            bound = f" of {size(why.window)}" if why.window else ", without a bound"
            yield f"Of {KINDS_THERE[lane.lane]}, {size(lane.held_bytes)}{bound} wait to be sent."
            yield from _of_the_window(lane) if lane.lane == "direct" else ()


KINDS_THERE = {"direct": "lines to names", "topic": "topic lines"}
"""What waits apart."""


def _of_what_waits(why: There, node: str) -> Iterator[str]:
    if not why.queued_lines:
        yield f"Nothing waits for {printable(why.name, keep='')}."
        return
    yield f"Waiting for it: {number(why.queued_lines, 'line')}."
    if isinf(why.pending_timeout):
        yield "  What is not sent waits for as long as it takes (pending-timeout is forever)."
    else:
        limit = duration(why.pending_timeout)
        yield f"  What is not sent goes back after {limit} without a link (pending-timeout), as node-unreachable."
    if why.link.unconfirmed_lines:
        yield (
            f"  Of {number(why.link.unconfirmed_lines, 'line')} it is not known whether they arrived: they are sent "
            f"again, or are lost (link-lost) if {node} was started again."
        )


def _of_the_window(lane: Lane) -> Iterator[str]:
    if lane.full_for is None:
        yield "  That is not full, so nobody waits for it."
        return
    yield f"  Full for {duration(lane.full_for)}, and until half of it is free."
    if lane.patience_left is not None and isinf(lane.patience_left):
        yield "  Senders wait for as long as that takes: direct-patience is forever."
    elif lane.patience_left is not None:
        yield (
            f"  Senders wait for {duration(lane.patience_left)} more (direct-patience is {duration(lane.patience)}), "
            "then new ones are given back (queue-full)."
        )
    else:
        yield f"  direct-patience, {duration(lane.patience)}, is over: new ones are given back (queue-full)."


# The table of links

COLUMNS: Columns = {
    "node": lambda link: link.node,
    "state": lambda link: link.state,
    "for": lambda link: duration(link.state_for),
    "queued": lambda link: size(link.queued_bytes) if link.queued_bytes else "",
    "oldest": lambda link: duration(link.oldest) if link.oldest else "",
    "unconfirmed": lambda link: size(link.unconfirmed_bytes) if link.unconfirmed_bytes else "",
    "since": lambda link: duration(link.unconfirmed_for) if link.unconfirmed_for else "",
    "peers": lambda link: link.peers,
    "topics": lambda link: link.topics,
    "address": lambda link: link.address,
    "": lambda link: remark(link),
}


def remark(link: Link) -> str:
    """What is unusual about a link, in a few words."""
    words = [] if link.state == "up" or not link.last_end else [f"{link.last_end}: {link.last_end_detail}"]
    if link.full_for:
        words.append(f"full for {duration(link.full_for)}")
    if link.slow:
        more = link.slow_receivers - 3
        words.append(f"slow there: {', '.join(link.slow[:3])}" + (f" and {more:,} more" if more > 0 else ""))
    return "; ".join(words)


def links_table(links: list[Link]) -> Table[Link]:
    """All of them."""
    return Table(COLUMNS, links, "no other node is known")
