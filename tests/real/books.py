"""The books of a storm: what everybody said and heard, and whether it agrees with the node's own ledger.

In: lines that were sent, lines that were heard, the ledger's totals.  Out: silence, or the first sentence that is
wrong.  Never: a socket, or an import from the package under test.

Every text names its sender's account and is numbered.  What can be said of a single line is checked as soon as it is
heard: it is whole, it was sent, to this receiver, by this sender, it was not heard before nor given back, and nothing
that was sent after it has been heard.  What can be said only of all of them is checked at the end, in `close`.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Protocol

NODE = b"@node1"

_TEXT = re.compile(rb"from ([^ ]+)(?: to (#[^ :]+))?: (\d+) (\d+) (x*)")
_RETURNED = re.compile(rb"returned ([^ ]+) ([a-z-]+): (\d+) (\d+) (x*)")
_ERROR = re.compile(rb"error ([a-z-]+): (.*)")
_TOTAL = re.compile(r"([a-z]+)(?:\[([a-z-]+)\])?=(\d+)")


class Totals:
    """The ledger, as a node writes it: `accepted=2 delivered=1 returned=1 returned[queue-full]=1 ...`."""

    def __init__(self, text: str) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: dict[str, Counter[bytes]] = defaultdict(Counter)
        for word, reason, count in _TOTAL.findall(text):
            if reason:
                self.reasons[word][reason.encode()] = int(count)
            else:
                self.counts[word] = int(count)
        self.text = text

    def expect_balance(self) -> None:
        """Each copy that was accepted is somewhere, once, and each has its reason."""
        count = self.counts
        assert {"accepted", "delivered", "returned", "dropped", "queued", "refused"} <= count.keys(), self.text
        assert min(count.values()) >= 0, self.text
        assert count["accepted"] == count["delivered"] + count["returned"] + count["dropped"] + count["queued"], (
            self.text
        )
        for word in ("returned", "dropped", "refused"):
            assert sum(self.reasons[word].values()) == count[word], self.text


class Numbered(Protocol):
    """An account, as far as lines are told apart by it."""

    number: int


@dataclass(frozen=True)
class Route:
    """The addresses of some lines: each with its place in the list, since copies of one line have an order too."""

    names: dict[bytes, tuple[int, bytes]]
    """By receiver: the place, and the address as it was written."""
    topics: dict[bytes, int]

    @classmethod
    def of(cls, addresses: list[bytes]) -> "Route":
        """The route of a list in which nobody is written in two ways."""
        names: dict[bytes, tuple[int, bytes]] = {}
        topics: dict[bytes, int] = {}
        for place, address in enumerate(addresses):
            if address[:1] == b"#":
                topics.setdefault(address, place)
            else:
                names.setdefault(address.removesuffix(NODE), (place, address))
        return cls(names, topics)


class Account:
    """What one connection said and heard.

    Invariant: `sent[n]` is the route and the size of the line that is numbered n.
    """

    def __init__(self, books: "Books", number: int, name: bytes) -> None:
        self.books = books
        self.number = number
        self.name = name
        self.deed = ""
        """How it ended by its own will, if it did: quit, half-close, reset, vanish."""
        self.always_read = True
        self.login = b""
        """`ok`, or the code of the error it got instead; nothing as long as nothing was heard."""
        self.bye = b""
        self.at_end = False
        self.was_cut_off = False
        self.sent: list[tuple[Route, int]] = []
        self.topic_lines: dict[bytes, dict[int, int]] = defaultdict(dict)
        """By topic: for the number of each line to it, how many of this account went there before."""
        self.known = -1
        """The last line that has been routed for sure: it was heard, given back, or followed by an answered ping."""
        self.heard_by_others = 0
        self.texts = 0
        self.returned: Counter[bytes] = Counter()
        self.errors: Counter[bytes] = Counter()
        self.no_such: Counter[bytes] = Counter()
        self.lagged: Counter[bytes] = Counter()
        self.returns_lost = 0
        self.pongs = -1
        self.joined: dict[bytes, Membership] = {}
        self.always_heard: set[bytes] = set()
        """Topics that it joined before anybody said anything, and never leaves."""
        self.heard_of_topic: Counter[tuple[bytes, int]] = Counter()
        self._last: dict[int, int] = {}
        self._notices: dict[bytes, bytes] | None = None

    def __str__(self) -> str:
        state = self.bye or (b"cut off" if self.was_cut_off else b"here")
        return f"{self.number}:{self.name.decode()} ({self.deed or '-'}, {state.decode()})"

    # --- what it says

    def lines(self, addresses: list[bytes], amount: int, size: int) -> bytes:
        """So many lines, numbered and put down."""
        route, first = Route.of(addresses), len(self.sent)
        head, filler = b", ".join(addresses) + b": %d " % self.number, b" " + b"x" * size + b"\n"
        for topic in route.topics:
            index = self.topic_lines[topic]
            index.update(zip(range(first, first + amount), range(len(index), len(index) + amount), strict=True))
        self.sent += [(route, size)] * amount
        return b"".join([head + b"%d" % number + filler for number in range(first, first + amount)])

    def ping(self) -> bytes:
        """A ping that tells, when it is answered, that all lines up to now have been routed."""
        return b"/ping %d\n" % len(self.sent)

    # --- what it hears

    def hear(self, lines: list[bytes]) -> None:
        """These lines came."""
        for line in lines:
            assert not self.bye, f"{self} heard {line[:200]!r} after its bye"
            match = _TEXT.fullmatch(line)
            if match is not None:
                assert self.login == b"ok", f"{self} is not logged in, and heard {line[:200]!r}"
                self._hear_text(*match.groups())
            elif line.startswith(b"returned "):
                self._hear_returned(line)
            elif line.startswith(b"error "):
                self._hear_error(line)
            else:
                self._hear_word(line)

    def _sender(self, number: bytes, line: bytes, filler: bytes) -> tuple["Account", Route]:
        sender = self.books.accounts[int(number)]
        route, size = sender.sent[int(line)]
        assert len(filler) == size, f"{self} heard a line of {sender} that is not as it was sent"
        sender.known = max(sender.known, int(line))
        return sender, route

    def _hear_text(self, name: bytes, topic: bytes | None, number: bytes, line: bytes, filler: bytes) -> None:
        sender, route = self._sender(number, line, filler)
        n, what = int(line), f"{self} heard line {int(line)} of {sender}"
        assert sender.name == name, f"{what} from {name!r}"
        if topic is None:
            assert self.name in route.names, f"{what}, which is for {list(route.names)}"
            place = route.names[self.name][0]
            self.books.put_down(sender, n, self.name, b"heard")
        else:
            assert topic in route.topics, f"{what} on {topic!r}, which is for {list(route.topics)}"
            assert topic in self.joined, f"{what} on {topic!r}, which it does not hear"
            assert sender is not self, f"{what}, which is its own"
            place = route.topics[topic]
            self.joined[topic].heard(sender.number, sender.topic_lines[topic][n])
            self.heard_of_topic[topic, sender.number] += 1
        order = n * 256 + place
        assert self._last.get(sender.number, -1) < order, f"{what} again, or too late"
        self._last[sender.number] = order
        sender.heard_by_others += 1
        self.texts += 1

    def _hear_returned(self, line: bytes) -> None:
        match = _RETURNED.fullmatch(line)
        assert match is not None, f"{self}: {line[:200]!r}"
        address, reason, number, text, filler = match.groups()
        sender, route = self._sender(number, text, filler)
        receiver = address.removesuffix(NODE)
        assert sender is self, f"{self} was given back a line of {sender}"
        assert receiver in route.names, f"{self} was given back a line to {address!r} that was for {list(route.names)}"
        assert route.names[receiver][1] == address
        self.books.put_down(self, int(text), receiver, b"returned")
        self.returned[reason] += 1

    def _hear_error(self, line: bytes) -> None:
        match = _ERROR.fullmatch(line)
        assert match is not None, f"{self}: {line[:200]!r}"
        code, detail = match.groups()
        if code == b"lagged":
            topic, _, count = detail.partition(b" ")
            self.lagged[topic] += int(count)
            if topic in self.joined:
                self.joined[topic].lost += int(count)
            elif topic == b"/watch":
                self._notices = {}
            return
        if code == b"returns-lost":
            self.returns_lost += int(detail)
            return
        self.errors[code] += 1
        self.login = self.login or code
        if code == b"no-such-peer":
            self.no_such[detail] += 1

    def _hear_word(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        if word == b"ok":
            self._hear_ok(line, *rest.partition(b" ")[::2])
        elif word == b"pong":
            assert int(rest) >= self.pongs, f"{self}: pong {rest!r} after {self.pongs}"
            self.pongs = int(rest)
            self.known = max(self.known, self.pongs - 1)
        elif word == b"bye":
            self.bye = rest
            for topic in list(self.joined):
                self._left(topic)
        elif word == b"notice" and self._notices is not None:
            what, _, name = rest.partition(b": ")
            assert self._notices.get(name) != what, f"{self} was told twice in a row that {name!r} is {what!r}"
            self._notices[name] = what
        else:
            assert word in (b"peer", b"topic", b"notice", b"help"), f"{self}: {line[:200]!r}"

    def _hear_ok(self, line: bytes, what: bytes, detail: bytes) -> None:
        if what == b"login":
            assert not self.login and detail == self.name + NODE, f"{self}: {line!r}"
            self.login = b"ok"
        elif what == b"join":
            self.joined.setdefault(detail, Membership())
        elif what == b"leave":
            self._left(detail)
        elif what == b"watch" and self._notices is None:
            self._notices = {}

    def _left(self, topic: bytes) -> None:
        membership = self.joined.pop(topic, None)
        if membership is not None:
            assert membership.missing <= membership.lost, (
                f"{self} has not heard {membership.missing} lines of {topic!r}, and was told of {membership.lost}"
            )

    # --- its end

    def end_came(self) -> None:
        """The node has closed its side, in order."""
        assert self.bye or self.books.was_hasty, f"{self} got the end without a bye"
        self.at_end = True

    def cut_off(self) -> None:
        """The connection was reset."""
        self.was_cut_off = True

    @property
    def orderly(self) -> bool:
        """Whether it has heard all that the node ever wrote to it."""
        return bool(self.bye)

    @property
    def routed(self) -> int:
        """How many of its lines have been routed for sure."""
        if self.bye and self.deed in ("quit", "half-close") and self.bye == b"quit":
            return len(self.sent)
        return self.known + 1


class Membership:
    """What came of one topic between `ok join` and `ok leave`."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self.missing = 0
        self.lost = 0

    def heard(self, sender: int, index: int) -> None:
        """A line came: those of its sender that were left out before it are missing."""
        last = self._last.get(sender)
        if last is not None:
            self.missing += index - last - 1
        self._last[sender] = index


class Fates:
    """What became of each line to a name: one thing, and nothing else."""

    def __init__(self) -> None:
        self._fates: dict[tuple[int, int, bytes], bytes] = {}
        """By the sender's account, the line's number there and the receiver."""

    def put_down(self, sender: "Numbered", line: int, receiver: bytes, fate: bytes) -> None:
        """This became of this line to this receiver, and nothing else may."""
        copy = sender.number, line, receiver
        before = self._fates.get(copy)
        assert before is None, f"line {line} of {sender} to {receiver!r} was {before!r}, and now {fate!r}"
        self._fates[copy] = fate


class Books(Fates):
    """All accounts, and what became of each line to a name."""

    def __init__(self) -> None:
        super().__init__()
        self.accounts: list[Account] = []
        self.was_hasty = False
        """The node was told to stop at once: it may have closed without a word."""

    def open(self, name: bytes) -> Account:
        """A new account, for a new connection."""
        account = Account(self, len(self.accounts), name)
        self.accounts.append(account)
        return account

    # --- at the end

    def close(self, totals: Totals, steady: list[Account]) -> None:
        """Nobody hears anything any more: compare.  Those who are steady were there, and read, from first to last."""
        totals.expect_balance()
        assert totals.counts["queued"] == 0, totals.text
        self._expect_nothing_of_the_refused()
        self._compare_counts(totals)
        stayed = [account for account in steady if account.bye in (b"quit", b"shutdown")]  # and was not too slow
        self._look_for_lines_to_names(totals, stayed)
        for hearer in stayed:
            self._look_for_topic_lines(hearer)

    def _expect_nothing_of_the_refused(self) -> None:
        for account in self.accounts:
            if account.login not in (b"", b"ok"):
                assert not account.heard_by_others, f"{account} was refused, and was heard"
                assert not account.returned, f"{account} was refused, and was given lines back"

    def _compare_counts(self, totals: Totals) -> None:
        """What was heard is no more than the ledger says, and as much, if all have heard everything."""
        told: list[tuple[str, int, int]] = [
            ("texts", sum(account.texts for account in self.accounts), totals.counts["delivered"])
        ]
        returned = sum((account.returned for account in self.accounts), Counter[bytes]())
        errors = sum((account.errors for account in self.accounts), Counter[bytes]())
        for word, heard in (("returned", returned), ("refused", errors)):
            for reason in heard.keys() | totals.reasons[word].keys():
                told.append((f"{word} {reason.decode()}", heard[reason], totals.reasons[word][reason]))
        lagged = sum(n for account in self.accounts for topic, n in account.lagged.items() if topic != b"/watch")
        told.append(("lagged", lagged, totals.reasons["dropped"][b"lagged"]))
        lost = sum(account.returns_lost for account in self.accounts)
        told.append(("returns lost", lost, totals.reasons["dropped"][b"return-overflow"]))
        all_heard = all(account.orderly for account in self.accounts)
        for what, heard_of, counted in told:
            assert heard_of <= counted, f"{what}: {heard_of} were heard of, {counted} are counted: {totals.text}"
            if all_heard:
                assert heard_of == counted, f"{what}: {heard_of} of {counted} were heard of: {totals.text}"

    def _look_for_lines_to_names(self, totals: Totals, steady: list[Account]) -> None:
        """Each line to a name that was routed was heard, given back, answered with an error, or is counted as lost."""
        dropped = totals.reasons["dropped"]
        counted = dropped[b"sender-gone"] + dropped[b"return-overflow"] + dropped[b"shutdown"]
        in_kernels = totals.counts["delivered"] - sum(account.texts for account in self.accounts)
        names = {account.name for account in steady}
        nowhere = Counter[bool]()
        for sender in self.accounts:
            if not sender.orderly or sender.login != b"ok":
                continue
            lost = Counter[bytes]()
            for line, (route, _) in enumerate(sender.sent[: sender.routed]):
                for receiver, (_, address) in route.names.items():
                    if (sender.number, line, receiver) not in self._fates:
                        lost[address] += 1
            for address, count in (lost - sender.no_such).items():
                nowhere[address.removesuffix(NODE) in names] += count
        assert nowhere[True] <= counted, f"{nowhere[True]} lines to steady peers are nowhere: {totals.text}"
        assert nowhere.total() <= counted + in_kernels, f"{nowhere.total()} lines are nowhere: {totals.text}"

    def _look_for_topic_lines(self, hearer: Account) -> None:
        """It heard its topics from before the first line to after the last: all of them, or it knows how many not."""
        missing = Counter[bytes]()
        for sender in self.accounts:
            if sender is hearer or sender.login != b"ok" or not sender.orderly:
                continue
            for topic, index in sender.topic_lines.items():
                if topic in hearer.always_heard:
                    routed = sum(line < sender.routed for line in index)
                    heard = hearer.heard_of_topic[topic, sender.number]
                    missing[topic] += max(0, routed - heard)
        for topic, count in missing.items():
            assert count <= hearer.lagged[topic], (
                f"{hearer} has not heard {count} lines of {topic!r}, and was told of {hearer.lagged[topic]}"
            )
