"""
From a read to outboxes.

In: the lines of one sender from one read.  Out: one batch for each receiver or class of receivers, put into outboxes;
errors for lines that reach nobody.  Never: a line before an earlier one of the same sender in the same outbox.

This is the hot path.  There are four ways through it, tried from the fastest on, all with the same result (but that
the errors of one read to several unknown names come grouped by name):

1. one address throughout: split at LF-and-address, join with LF-and-prefix; 33 ns a line;
2. single names: group the texts by name, one join each; order is safe, since each receiver is reached by one address;
3. lists of names: the same, each text into several groups;
4. names and topics: `plans`, one column for each class of receivers.

What does not fit (another spelling of an address, a topic in a list, an unknown name among topics, a bad line) is
routed alone, in its place.  A command or an empty line ends the routing: it is for the session.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from functools import partial
from itertools import islice
from operator import length_hint

from nettool.broker.cluster import Alone, ICluster
from nettool.broker.directory import Directory, IMember, Near
from nettool.broker.groups import Grouping, group, group_lists, meet
from nettool.broker.ledger import Ledger
from nettool.broker.plans import LARGEST, Plan
from nettool.errors import ErrorCode
from nettool.outbox.batch import Batch, Kind
from nettool.settings import Live
from nettool.wire.blocks import insert, replace
from nettool.wire.names import is_topic
from nettool.wire.replies import direct_prefix, topic_prefix
from nettool.wire.requests import EXCERPT, BadLine, lists_more_than, parse_send

PIECE = 8000
"""Lines that are routed at a time where they are looked at one by one: more of them fall out of the cache."""

_PLAIN_NAME = re.compile(rb"[^\s,:@#/]{1,64}")

LOOKED_AT = 1000
"""Addresses that are looked at one by one before the session is asked whether this sender has had its time."""

OWN_PLANS = 750_000
"""The size of all plans of senders' own, 30 MB; beyond that the oldest are given up."""

CARRIED = 4096
"""The size of a plan up to which its addresses are taken over into the next one, whatever that one is for.  A larger
one would be made anew, 0.3 microseconds for each reference, for the sake of one line to a new topic."""

CARRIED_FOR_A_LINE = 16
"""The same for each line that the next one is for."""

SHORT = 256
"""Bytes of a read up to which its lines are looked at one by one from the start, if they have several addresses."""

ONE_BY_ONE = 8
"""Lines up to which each is routed as a block of its own: 1.5 microseconds a line, where grouping two takes 6."""

FEW = 8
"""Lines up to which a plan's columns are found by the lines, instead of looking at all of them."""

REMEMBERED = 16
"""Pieces for which a sender's lines are expected to be like the last ones, before the faster ways are tried again."""

_NAMES, _LISTS, _MIXED = range(3)
_HASH = ord("#")

# Looked up in their class they would cost 50 ns a batch.
_DIRECT, _TOPIC = Kind.DIRECT, Kind.TOPIC


class Routing:
    """Routes what one sender's read brought; keeps plans, and which way fitted a sender's last lines."""

    def __init__(
        self, directory: Directory | Near, ledger: Ledger, live: Live, cluster: ICluster | None = None
    ) -> None:
        self._directory = directory
        self.cluster: ICluster = Alone() if cluster is None else cluster
        self._ledger = ledger
        self._direct = ledger.direct
        self._live = live
        self._shared: Plan | None = None
        """For all senders that hear none of its topics: its columns stay in the cache from one sender to the next."""
        self._own: dict[IMember, Plan] = {}
        """For senders that do, and so must be left out of them."""
        self._ways: dict[IMember, tuple[int, int, int]] = {}
        """For senders whose lines were not single names, or came between commands: the way that fitted, for how many
        pieces to keep to it, and how many lines to look at."""

    def forget(self, sender: IMember) -> None:
        """It sends no more."""
        self._ways.pop(sender, None)
        self._drop_own_plan(sender)

    def start_afresh(self) -> None:
        """Forget all plans: a fault may have left lines in their columns, which must not reach anybody."""
        for plan in (self._shared, *self._own.values()):
            if plan is not None:
                self._directory.release(plan)
        self._shared = None
        self._own.clear()

    # A read

    def route_first(self, sender: IMember, block: bytes, now: float) -> tuple[int, bytes]:
        """Route a block whole, or its first lines, as far as that is cheap: how many lines, and what is left of it.

        With 1.7 lines a read to names at random a line takes 4.0 microseconds from end to end, by `route_lines` 5.6.
        """
        lines = self.route_block(sender, block, now)
        if lines or len(block) > SHORT or block[:1] == b"/":
            return lines, b"" if lines else block
        reach, direct, prefix = self._directory.reach, self._direct, direct_prefix(sender.name)
        pieces = block.split(b"\n")
        for line in pieces:  # pragma: no branch - the last is empty, which is nobody's name
            address, colon, text = line.partition(b": ")
            member = reach.get(address)
            if member is None or not colon:
                break
            lines += 1
            direct.accepted += 1
            member.outbox.put(Batch(_DIRECT, sender, address, prefix + text + b"\n", 1, now))
        return lines, b"\n".join(pieces[lines:])

    # One address throughout

    def route_block(self, sender: IMember, block: bytes, now: float) -> int:
        """Route a block all of whose lines have one plain address; how many they are, or 0, with nothing done."""
        end = block.find(b"\n")
        colon = block.find(b": ", 0, end)
        if colon < 0:
            return 0
        head, last = block[: colon + 2], len(block) - 1
        if end != last and not (
            block.startswith(head, end + 1) and block.startswith(head, block.rfind(b"\n", 0, last) + 1)
        ):
            return 0
        address = block[:colon]
        member = self._directory.reach.get(address)
        if member is not None:
            prefix = direct_prefix(sender.name)
            data, lines = (prefix + block[colon + 2 :], 1) if end == last else replace(block, head, prefix, end)
            if lines:
                self._direct.accepted += lines
                member.outbox.put(Batch(_DIRECT, sender, address, data, lines, now))
        elif address[:1] == b"#" and is_topic(address):
            prefix = topic_prefix(sender.name)
            data, lines = (prefix + block, 1) if end == last else insert(block, head, prefix)
            if lines:
                self._to_topic(sender, address, data, lines, now)
        else:
            return 0
        return lines

    def _to_topic(self, sender: IMember, address: bytes, data: bytes, lines: int, now: float) -> None:
        topic = self._directory.topics.get(address)
        if topic is None:
            return
        batch = Batch(_TOPIC, sender, address, data, lines, now)
        hearers = topic.hearers
        hears = sender.topics is not None and address in sender.topics
        self._ledger.topic.accepted += lines * (len(hearers) - hears)
        for hearer in hearers:
            if hearer is not sender:
                hearer.outbox.put(batch)

    # Line by line

    def route_lines(self, sender: IMember, lines: list[bytes], at: int, now: float) -> int:
        """Route lines from index `at` on, at most `PIECE`; the index behind the last that was routed.

        That is short of the piece's end at a command or an empty line, or when the sender's own answers fill its
        outbox.
        """
        if lines[at][:1] == b"/":
            return at
        if len(lines) - at <= ONE_BY_ONE:
            one = at
            while one < len(lines) and self.route_block(sender, lines[one], now):
                one += 1
            if one > at:
                return one
        way, left, size = self._ways.pop(sender, (_NAMES, REMEMBERED, PIECE))
        piece = lines[at : at + size]
        routed = 0
        if way == _NAMES:
            routed = self._route_names(sender, piece, group, now)
            way = way if routed else _LISTS
        if way == _LISTS:
            most = self._live.peers.max_addresses or sys.maxsize
            routed = self._route_names(sender, piece, partial(group_lists, most=most), now)
            way = way if routed else _MIXED
        if way == _MIXED:
            routed = self._route_mixed(sender, piece, now)
        # Between commands pieces are short: what is looked at and not routed must not be looked at again and again.
        size = min(PIECE, 4 * size) if routed == len(piece) else max(16, 2 * routed)
        if not left:
            way, left = _NAMES, REMEMBERED
        if way != _NAMES or size < PIECE:
            self._ways[sender] = (way, left - 1, size)
        return at + routed

    def _route_names(self, sender: IMember, piece: list[bytes], grouping: Grouping, now: float) -> int:
        """Route a piece in which every line is to plain names; 0, with nothing done, if that is not so."""
        groups = grouping(piece)
        names = self._directory.reach
        if groups is None or not all(map(_PLAIN_NAME.fullmatch, groups.keys() - names.keys())):
            return 0
        if self._directory.far and len(groups) > 1 and meet(names[address] for address in groups if address in names):
            return 0
        prefix, direct = direct_prefix(sender.name), self._direct
        for address, column in groups.items():
            lines = len(column) - 1
            member = names.get(address)
            if member is None:
                self._no_such_peer(sender, address, lines, now)
            else:
                direct.accepted += lines
                member.outbox.put(Batch(_DIRECT, sender, address, prefix.join(column), lines, now))
        return len(piece)

    # Names and topics mixed

    def _route_mixed(self, sender: IMember, piece: list[bytes], now: float) -> int:
        """Route as much of a piece as is addressed text; how many lines that was."""
        done = looked = 0
        while done < len(piece) and looked < LOOKED_AT:
            plan = self._plan_for(sender, piece, done)
            end = done if plan is None else self._fill(plan, piece, done)
            if plan is not None and end > done:
                self._empty(sender, plan, piece[done:end], now)
            done = end
            if done < len(piece):
                addresses = 0 if sender.outbox.owner_waits else self._route_one(sender, piece[done], now)
                if not addresses:
                    break
                looked += addresses
                done += 1
        return done

    def _plan_for(self, sender: IMember, piece: list[bytes], start: int) -> Plan | None:
        """A plan that knows the address of the line at `start`, and as many of those that follow as can be."""
        address = piece[start].partition(b": ")[0]
        hears = sender.topics or ()
        plan = self._own.get(sender, self._shared)
        usable = plan is not None and not plan.stale and (plan.excluded is sender or plan.topics.isdisjoint(hears))
        if plan is not None and usable and address in plan.addresses:
            return plan
        if not self._exists(address):
            return None
        following = dict.fromkeys(line.partition(b": ")[0] for line in piece[start:])
        addresses = set(islice(filter(self._exists, following), LARGEST))
        excluded = None if addresses.isdisjoint(hears) else sender
        if plan is not None and usable and len(addresses) + len(plan.addresses) <= LARGEST:
            new = addresses - plan.addresses
            if all(one[:1] == b"#" and one not in self._directory.topics for one in new):
                plan.add_unheard(self._directory, new)
                return plan
            if plan.excluded is excluded and plan.size <= max(CARRIED, CARRIED_FOR_A_LINE * (len(piece) - start)):
                addresses |= plan.addresses
        old = self._shared if excluded is None else self._own.get(sender)
        if old is not None:
            self._directory.release(old)
        plan = Plan(self._directory, addresses, excluded)
        if excluded is None:
            self._shared = plan
            self._drop_own_plan(sender)
        else:
            self._own.pop(sender, None)
            self._own[sender] = plan
            while len(self._own) > 1 and sum(own.size for own in self._own.values()) > OWN_PLANS:
                self._drop_own_plan(next(iter(self._own)))
        return plan

    def _drop_own_plan(self, sender: IMember) -> None:
        plan = self._own.pop(sender, None)
        if plan is not None:
            self._directory.release(plan)

    def _exists(self, address: bytes) -> bool:
        """Whether an address, as it is written, is a plain name that is here or a topic, heard or not."""
        return address in self._directory.names or (address[:1] == b"#" and is_topic(address))

    @staticmethod
    def _fill(plan: Plan, piece: list[bytes], start: int) -> int:
        """Append lines to the plan's columns up to the first whose address it does not know; the index of that."""
        lists = plan.lists
        lines = iter(piece[start:] if start else piece)
        try:
            if plan.all_topics:
                for line in lines:
                    for column in lists[line.partition(b": ")[0]]:
                        column.append(line)
            else:
                for line in lines:
                    address = line.partition(b": ")[0]
                    columns = lists[address]
                    line = b" to " + line if address[0] == _HASH else line[len(address) :]
                    for column in columns:
                        column.append(line)
        except KeyError:
            return len(piece) - length_hint(lines) - 1
        return len(piece)

    def _empty(self, sender: IMember, plan: Plan, lines: list[bytes], now: float) -> None:
        """Make a batch of each column and put it into the outboxes of the column's members."""
        prefix = topic_prefix(sender.name) if plan.all_topics else b"from " + sender.name
        counted: Counter[bytes] | None = None
        for column in plan.columns if len(lines) > FEW else plan.columns_of(lines):
            count = len(column.lines) - 1
            if not count:
                continue
            data = prefix.join(column.lines)
            del column.lines[1:]
            batch = Batch(column.kind, sender, column.address, data, count, now)
            self._ledger.passages[column.kind].accepted += count * len(column.members)
            for member in column.members:
                # Counting here, once for all hearers, is four times as fast as looking into what is dropped later.
                if batch.counts is None and not batch.address and member.outbox.blocked:
                    if counted is None:
                        counted = Counter([line.partition(b": ")[0] for line in lines])
                    batch.counts = {topic: counted[topic] for topic in column.topics if topic in counted}
                member.outbox.put(batch)

    # A single line, with everything that an address may be

    def _route_one(self, sender: IMember, line: bytes, now: float) -> int:
        """Route one line, whatever its addresses; how many.  0 if it is for the session: a command, or empty."""
        if line[:1] == b"/" or line == b"\n":
            return 0
        most = self._live.peers.max_addresses
        if most and line.count(b",") >= most and lists_more_than(line, most):
            self.refuse(sender, ErrorCode.TOO_MANY_ADDRESSES, b"%d" % most, 1, now)
            return 1
        try:
            send = parse_send(line[:-1])
        except BadLine:
            self.refuse(sender, ErrorCode.BAD_LINE, line[:-1][:EXCERPT], 1, now)
            return 1
        reached: set[IMember] = set()
        for address in dict.fromkeys(send.addresses):
            if address[:1] == b"#" and is_topic(address):
                prefix = topic_prefix(sender.name) + address + b": "
                self._to_topic(sender, address, prefix + send.text + b"\n", 1, now)
                continue
            member = self._member(address)
            if member is None:
                self._no_such_peer(sender, address, 1, now)
            elif member not in reached:
                reached.add(member)
                self._direct.accepted += 1
                data = direct_prefix(sender.name) + send.text + b"\n"
                member.outbox.put(Batch(_DIRECT, sender, address, data, 1, now))
        return len(send.addresses)

    def _member(self, address: bytes) -> IMember | None:
        name, at, node = address.partition(b"@")
        if at and node == self._live.node.name:
            return self._directory.names.get(name)
        return self._directory.reach.get(address) or (self.cluster.find(address) if at else None)

    def _no_such_peer(self, sender: IMember, address: bytes, lines: int, now: float) -> None:
        nodes = self.cluster.nodes_with(address)
        if len(nodes) > 1:
            self.refuse(sender, ErrorCode.AMBIGUOUS_NAME, b" ".join([address, *nodes]), lines, now)
        else:
            self.refuse(sender, ErrorCode.NO_SUCH_PEER, address, lines, now)

    # Errors

    def refuse(self, sender: IMember, code: ErrorCode, detail: bytes, lines: int, now: float) -> None:
        """Answer so many lines with the same error, and count them."""
        self._ledger.refuse(code, lines)
        answer = b"error %b: %b\n" % (code.value, detail) * lines
        sender.outbox.put(Batch(Kind.ANSWER, sender, b"", answer, 0, now))
