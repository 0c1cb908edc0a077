"""The books of a storm between nodes: what everybody said and heard on all of them.

In: lines that were sent, lines that were heard, which node was killed when, what the nodes' ledgers say at the end.
Out: silence, or the first sentence that is wrong.  Never: a socket, or an import from the package under test.

Every text names its sender's account and is numbered there.  Whoever hears a sender hears growing numbers, whichever
names and topics they came by: nothing twice, nothing late.  A line to a name is heard or given back, not both.  What is
neither, at the end, has to be in a ledger.  The ledger of a node that was killed is gone with it: of lines to its peers
that were said before that is asked only that they do not come twice.
"""

import re
from collections import Counter
from dataclasses import dataclass

from tests.real.books import Fates, Totals

_TEXT = re.compile(rb"from ([^ @]+)(?:@([^ ]+))?(?: to (#[^ :]+))?: (\d+) (\d+) (x*)")
_RETURNED = re.compile(rb"returned ([^ ]+) ([a-z-]+): (\d+) (\d+) (x*)")
_ERROR = re.compile(rb"error ([a-z-]+): (.*)")


def bare(address: bytes) -> bytes:
    """The name in an address."""
    return address.partition(b"@")[0]


@dataclass
class Tally:
    """What was heard on one node, by all who ever were its peers."""

    texts: int = 0
    returned: int = 0


class FarAccount:
    """What one connection said and heard; what `Caller` asks of an account, it has.

    Invariant: `sent[n]` is the addresses and the size of the line that is numbered n.
    """

    def __init__(self, books: "FarBooks", number: int, name: bytes, node: bytes) -> None:
        self.books = books
        self.number = number
        self.name = name
        self.node = node
        self.deed = ""
        self.always_read = True
        self.bye = b""
        self.was_cut_off = False
        self.at_end = False
        self.logged_in = False
        self.sent: list[tuple[tuple[bytes, ...], int]] = []
        self.lost_before: dict[bytes, int] = {}
        """By node: lines to its peers with a lower number than this may have gone with it when it was killed."""
        self.unknown: Counter[bytes] = Counter()
        """By address: how often it was answered `no-such-peer`."""
        self.lagged: Counter[bytes] = Counter()
        self.returns_lost = 0
        self.pongs = -1
        self.who: list[bytes] = []
        """The last whole answer to `/who`."""
        self.answers = 0
        self.heard_on: Counter[tuple[int, bytes]] = Counter()
        """By sender and topic: how many."""
        self.last_on: dict[tuple[int, bytes], int] = {}
        """By sender and topic, or nothing for a name: the last line that was heard."""
        self._last: dict[int, int] = {}
        self._listing: list[bytes] = []

    def __str__(self) -> str:
        state = self.bye or (b"cut off" if self.was_cut_off else b"here")
        return f"{self.number}:{self.name.decode()}@{self.node.decode()} ({state.decode()})"

    @property
    def steady(self) -> bool:
        """Whether it heard all that it was ever to hear."""
        return self.logged_in and not self.was_cut_off and self.bye in (b"", b"shutdown")

    # --- what it says

    def lines(self, addresses: list[bytes], amount: int, size: int) -> bytes:
        """So many lines, numbered and put down."""
        first, end = len(self.sent), len(self.sent) + amount
        head, filler = b", ".join(addresses) + b": %d " % self.number, b" " + b"x" * size + b"\n"
        self.sent += [(tuple(addresses), size)] * amount
        return b"".join([head + b"%d" % number + filler for number in range(first, end)])

    def ping(self) -> bytes:
        """A ping that tells, when it is answered, that all lines up to now have been routed."""
        return b"/ping %d\n" % len(self.sent)

    # --- what it hears

    def hear(self, lines: list[bytes]) -> None:
        """These lines came."""
        for line in lines:
            match = _TEXT.fullmatch(line)
            if match is not None:
                self._hear_text(line, *match.groups())
            elif line.startswith(b"returned "):
                self._hear_returned(line)
            elif line.startswith(b"error "):
                self._hear_error(line)
            else:
                self._hear_word(line)

    def _hear_text(
        self,
        whole: bytes,
        name: bytes,
        node: bytes | None,
        topic: bytes | None,
        number: bytes,
        at: bytes,
        filler: bytes,
    ) -> None:
        sender, line = self.books.accounts[int(number)], int(at)
        what = f"{self} heard line {line} of {sender}"
        addresses, size = sender.sent[line]
        assert (sender.name, None if sender.node == self.node else sender.node) == (name, node), (
            f"{what}: {whole[:90]!r}"
        )
        assert len(filler) == size, f"{what}, and it is not as it was sent: {whole[:90]!r}"
        assert self._last.get(int(number), -1) < line, f"{what} after {self._last[int(number)]}"
        self._last[int(number)] = line
        if topic is not None:
            assert topic in addresses and sender is not self, f"{what} on {topic!r}, which is for {addresses}"
        else:
            address = next((it for it in addresses if it in (self.name, self.name + b"@" + self.node)), None)
            assert address is not None, f"{what}, which is for {addresses}"
            self.books.put_down(sender, line, self.name, b"heard")
        self.heard_on[int(number), topic or b""] += 1
        self.last_on[int(number), topic or b""] = line
        self.books.tallies[self.node].texts += 1

    def _hear_returned(self, line: bytes) -> None:
        match = _RETURNED.fullmatch(line)
        assert match is not None, f"{self}: {line[:200]!r}"
        address, reason, number, at, filler = match.groups()
        assert int(number) == self.number, f"{self} was given back a line of {self.books.accounts[int(number)]}"
        addresses, size = self.sent[int(at)]
        assert address in addresses and len(filler) == size, f"{self} wrote to {addresses}: {line[:200]!r}"
        self.books.put_down(self, int(at), bare(address), b"given back: " + reason)
        self.books.tallies[self.node].returned += 1
        self.books.reasons[reason] += 1

    def _hear_error(self, line: bytes) -> None:
        match = _ERROR.fullmatch(line)
        assert match is not None, f"{self}: {line[:200]!r}"
        code, detail = match.groups()
        if code == b"lagged":
            topic, _, count = detail.partition(b" ")
            self.lagged[topic] += int(count)
        elif code == b"returns-lost":
            self.returns_lost += int(detail)
        else:  # a name alone is unknown while its node is
            assert code == b"no-such-peer", f"{self}: {line[:200]!r}"
            self.unknown[detail] += 1

    def _hear_word(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        if word == b"pong":
            assert int(rest) >= self.pongs, f"{self}: pong {rest!r} after {self.pongs}"
            self.pongs = int(rest)
        elif word == b"peer":
            self._listing.append(rest)
        elif line.startswith(b"ok who "):
            assert int(line[7:]) == len(self._listing), f"{self}: {line!r} after {self._listing}"
            self.who, self._listing = self._listing, []
            self.answers += 1
        elif line.startswith(b"ok login "):
            assert rest == b"login %s@%s" % (self.name, self.node), f"{self}: {line!r}"
            self.logged_in = True
        elif word == b"bye":
            self.bye = rest
        else:
            assert word == b"ok", f"{self}: {line[:200]!r}"

    # --- its end

    def end_came(self) -> None:
        """The node has closed its side, in order or because it was killed."""
        self.at_end = True
        self.was_cut_off = self.was_cut_off or not self.bye

    def cut_off(self) -> None:
        """The connection was reset."""
        self.was_cut_off = True


class FarBooks(Fates):
    """All accounts, and what became of each line to a name."""

    def __init__(self) -> None:
        super().__init__()
        self.accounts: list[FarAccount] = []
        self.tallies: dict[bytes, Tally] = {}
        self.reasons: Counter[bytes] = Counter()
        self._killed: set[bytes] = set()

    def open(self, name: bytes, node: bytes) -> FarAccount:
        """A new account, for a new connection."""
        account = FarAccount(self, len(self.accounts), name, node)
        self.accounts.append(account)
        self.tallies.setdefault(node, Tally())
        return account

    def killed(self, node: bytes) -> None:
        """This node was killed now: with its ledger, what it had, and what was on its way to it."""
        self._killed.add(node)
        for account in self.accounts:
            account.lost_before[node] = len(account.sent)

    # --- at the end

    def close(self, ledgers: dict[bytes, Totals], always: bytes) -> None:
        """Nobody hears anything any more.

        `ledgers` are the last words of the nodes that ran at the end; `always` is a topic that all heard from first to
        last.
        """
        for totals in ledgers.values():
            totals.expect_balance()
            assert totals.counts["queued"] == 0, totals.text
        self._look_for_lines_to_names(ledgers)
        for node in ledgers.keys() - self._killed:
            self._compare_counts(node, ledgers[node])
            self._look_for_topic_lines(node, always)

    def _look_for_lines_to_names(self, ledgers: dict[bytes, Totals]) -> None:
        """What steady peers have said to steady peers was heard, given back, answered or dropped, with a reason."""
        nowhere: Counter[tuple[bytes, bool]] = Counter()
        """By the sender's node, and whether the receiver's was killed."""
        for sender in self.accounts:
            if sender.steady:
                for address, count in self._nowhere(sender).items():
                    nowhere[sender.node, self._homes[bare(address)].node in self._killed] += count
        dropped = {node: totals.reasons["dropped"] for node, totals in ledgers.items()}
        for (node, killed), count in nowhere.items():
            if killed:
                # Its end may be noticed late: what was said after it was sent on the old link.
                counted = dropped[node][b"link-lost"]
            else:
                counted = sum(it[b"sender-gone"] + it[b"return-overflow"] + it[b"shutdown"] for it in dropped.values())
            assert count <= counted, (
                f"{count} lines from {node!r} to {'a node that was killed' if killed else 'others'} are nowhere: "
                f"{[f'{it}: {dict(self._nowhere(it))}' for it in self.accounts if it.steady and self._nowhere(it)]}; "
                f"{[totals.text for totals in ledgers.values()]}"
            )

    @property
    def _homes(self) -> dict[bytes, FarAccount]:
        """By name, the last account of each."""
        return {account.name: account for account in self.accounts}

    def _nowhere(self, sender: FarAccount) -> Counter[bytes]:
        """By address, how many lines have had no end that could be seen."""
        assert sender.pongs == len(sender.sent), f"{sender}: its last ping was not answered"
        homes = self._homes
        lost: Counter[bytes] = Counter()
        for line, (addresses, _) in enumerate(sender.sent):
            for address in addresses:
                receiver = homes.get(bare(address))
                if receiver is None or not receiver.steady or line < sender.lost_before.get(receiver.node, 0):
                    continue
                lost[address] += (sender.number, line, receiver.name) not in self._fates
        return lost - sender.unknown

    def _compare_counts(self, node: bytes, totals: Totals) -> None:
        """Of a node that ran from first to last: its peers have heard as many lines as its ledger says, if all did."""
        if not all(account.steady for account in self.accounts if account.node == node):
            return
        here, count = self.tallies[node], totals.counts
        lost = sum(account.returns_lost for account in self.accounts if account.node == node)
        assert lost <= totals.reasons["dropped"][b"return-overflow"], f"{lost} returns on {node!r}: {totals.text}"
        left = count["delivered"] + count["returned"] - count["forwarded"]
        assert here.texts + here.returned == left, f"{here} on {node!r}: {totals.text}"

    def _look_for_topic_lines(self, node: bytes, topic: bytes) -> None:
        """What was said to it on this node all there have heard, or they were told how much they have not."""
        there = [account for account in self.accounts if account.node == node and account.steady]
        for hearer in there:
            missing = 0
            for sender in there:
                if sender is not hearer:
                    said = sum(topic in addresses for addresses, _ in sender.sent)
                    missing += said - hearer.heard_on[sender.number, topic]
            assert missing <= hearer.lagged[topic], f"{hearer} has not heard {missing} lines of {topic!r}"
