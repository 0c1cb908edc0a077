"""
Why a peer gets its lines late, in words.

In: `snapshots.Why` and the settings in force.  Out: sentences for somebody who has just been called at night.
Never: a look at the node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf, isinf
from typing import Any

from nettool.ops.queued import Filler, Waiting
from nettool.ops.snapshots import DRAIN, Lane, Peer, Why
from nettool.ops.tables import Table, duration, listed, number, printable, size
from nettool.settings import DeliverySettings, TopicOverflow

MOST = 20
"""Senders that are listed."""

Columns = dict[str, Callable[[Any], object]]

_KINDS = {"direct": "lines to its name", "topic": "topic lines", "own": "its own answers"}


def why_in_words(why: Why, delivery: DeliverySettings) -> str:
    """The whole answer, some lines of it, without a line end."""
    return "\n".join(_sentences(why, delivery))


def _sentences(why: Why, delivery: DeliverySettings) -> Iterator[str]:
    peer, name = why.peer, printable(why.peer.name, keep="")
    yield f"{name}, at {printable(peer.address, keep='')} for {duration(peer.connected_for)}{_phase(peer)}."
    if not peer.queued_bytes:
        yield f"Nothing is queued for {name}: what is sent to it is handed to its connection at once."
        yield "If it is late all the same, it is on the way: in the kernel's buffers, the network, or its own program."
    else:
        yield (
            f"Queued: {number(peer.queued_lines, 'line')}, {size(peer.queued_bytes)}; "
            f"the oldest for {duration(peer.oldest)}."
        )
        yield f"Its connection takes {'nothing' if why.blocked else 'data'} now."
    for lane in why.lanes:
        yield from _lane(why, lane, delivery)
    if why.fillers:
        yield "Who fills it:"
        yield fillers_table(why.fillers)
    if why.waiting:
        yield "Who is not read because of it:"
        yield waiting_table(why.waiting, peer.name)
    yield from _next(why, name)


def fillers_table(fillers: Sequence[Filler]) -> str:
    """Who has how much in it."""
    columns: Columns = {
        "  ": lambda filler: "",
        "from": lambda filler: filler.name,
        "lines": lambda filler: filler.lines,
        "size": lambda filler: size(filler.bytes),
    }
    return Table(columns, fillers).show(MOST)


def waiting_table(waiting: Sequence[Waiting], whose: str) -> str:
    """Who waits because of it, and with what; `whose` it is waits for himself."""
    columns: Columns = {
        "  ": lambda waiting: "",
        "name": lambda waiting: "itself" if waiting.name == whose else waiting.name,
        "for": lambda waiting: duration(waiting.seconds),
        "with": lambda waiting: _KINDS[waiting.lane],
    }
    return Table(columns, waiting).show(MOST)


def _phase(peer: Peer) -> str:
    return ", and leaving: it only takes what is queued" if peer.phase == "leaving" else ""


def _lane(why: Why, lane: Lane, delivery: DeliverySettings) -> Iterator[str]:
    if lane.full_for is None:
        if lane.held_bytes:
            yield f"Of {_KINDS[lane.lane]}, {_of_bound(lane, why.bound)} are held: not full, so nobody waits for them."
        return
    held, full, low = _of_bound(lane, why.bound), duration(lane.full_for), size(why.low_water)
    yield f"Of {_KINDS[lane.lane]}, {held} are held: full for {full}, and until it is under {low}."
    if lane.patience_left is not None and isinf(lane.patience_left):
        yield f"  Senders wait for as long as that takes: {lane.lane}-patience is forever."
    elif lane.patience_left is not None:
        left, patience = duration(lane.patience_left), duration(lane.patience)
        yield f"  Senders wait for {left} more ({lane.lane}-patience is {patience}), then {_after(lane, delivery)}."
    else:
        yield f"  {lane.lane}-patience, {duration(lane.patience)}, is over: {_after(lane, delivery)}."


def _of_bound(lane: Lane, bound: int) -> str:
    return f"{size(lane.held_bytes)} of {size(bound)}" if bound else f"{size(lane.held_bytes)}, without a bound,"


def _after(lane: Lane, delivery: DeliverySettings) -> str:
    if lane.lane == "direct":
        return "new ones are given back (queue-full)"
    if delivery.topic_overflow is TopicOverflow.DISCONNECT:
        return "the connection is ended (slow-consumer)"
    return "the oldest are dropped (lagged)"


def _next(why: Why, name: str) -> Iterator[str]:
    peer = why.peer
    if peer.lagged:
        yield f"It has lost {number(peer.lagged, 'topic line')} because it read too slowly."
    if peer.paused_by:
        others = ["its own answers" if other == peer.name else _whose(other) for other in peer.paused_by[:MOST]]
        yield f"{name} is itself not read, for {duration(peer.paused_for)}, because of {listed(others)}."
    if why.given_up_in is not None and why.given_up_in < inf:
        yield (
            f"If its connection takes nothing for {duration(why.given_up_in)} more (stall-timeout), it is ended, and "
            "what is queued goes back."
        )


def _whose(other: str) -> str:
    return "the drain" if other == DRAIN else f"{printable(other, keep='')}'s outbox"
