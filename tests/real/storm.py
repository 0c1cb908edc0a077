"""A storm: a thousand things that happen to a node, drawn from a seed, under load.

In: a seed, an endpoint, what ends the node.  Out: books that can be closed.  Never: a moment that is waited for with a
sleep; the order of events is the seed's, their timing is the machine's.

The steady ones are there from first to last, and always read.  The wanderers come, go and are cut off.  The pulse
only asks for pongs: whatever happens, it must get them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from random import Random

from tests.real.books import Account, Books, Totals
from tests.real.callers import Caller, Crowd, Habit
from tests.real.node import KIB

EVENTS = 1000
STEADY = 6
WANDERERS = 24
SMALL = 16 * KIB
"""Of a wanderer's receive buffer: so little fits there that one who does not read is soon noticed."""

TOPICS = [b"#t%d" % number for number in range(5)]
NAMES = [b"s%d" % number for number in range(STEADY)]
# Some are long: many short lines of theirs become more than is handed over at a time.
NAMES += [b"v%d" % number + b"-wanderer" * 5 * (number % 2) for number in range(WANDERERS)]

OPTIONS = (
    ("--max-line", "16KiB"),
    ("--outbox-bytes", "128KiB"),
    ("--direct-patience", "100ms"),
    ("--topic-patience", "20ms"),
    ("--login-timeout", "60s"),
)
"""Of the node: small bounds and little patience, so that all of it happens within a second or two."""


class What(Enum):
    """Kinds of events."""

    SAY = auto()
    SAY_AND_GO = auto()
    FLOOD = auto()
    FLOOD_AND_GO = auto()
    FLOOD_AND_RESET = auto()
    ARRIVE = auto()
    CHAIN = auto()
    STRANGER = auto()
    QUIT = auto()
    HALF_CLOSE = auto()
    RESET = auto()
    VANISH = auto()
    TORN = auto()
    STOP = auto()
    GO_ON = auto()
    SLOW = auto()
    JOIN = auto()
    LEAVE = auto()
    ASK = auto()
    WATCH = auto()


WEIGHTS = {
    What.SAY: 36,
    What.SAY_AND_GO: 5,
    What.FLOOD: 3,
    What.FLOOD_AND_GO: 2,
    What.FLOOD_AND_RESET: 2,
    What.ARRIVE: 12,
    What.CHAIN: 2,
    What.STRANGER: 4,
    What.QUIT: 4,
    What.HALF_CLOSE: 4,
    What.RESET: 4,
    What.VANISH: 3,
    What.TORN: 2,
    What.STOP: 6,
    What.GO_ON: 5,
    What.SLOW: 3,
    What.JOIN: 5,
    What.LEAVE: 3,
    What.ASK: 4,
    What.WATCH: 1,
}
ABRUPT = {What.FLOOD_AND_RESET, What.RESET, What.VANISH, What.TORN, What.STRANGER}
"""What can leave something unheard."""


@dataclass(frozen=True)
class Event:
    """One thing that happens: which slots it concerns, and numbers for whatever it needs."""

    what: What
    who: int
    addresses: list[bytes]
    amount: int
    size: int
    way: int


class Ending(Enum):
    """How the storm ends."""

    CALM = "calm"
    """Everybody reads on, and is answered; then the node is told to stop."""
    SUDDEN = "sudden"
    """The node is told to stop in the middle of it, and those who do not read go on later, or reset."""
    STUCK = "stuck"
    """So too, and some never read again."""
    TWICE = "twice"
    """The node is told to stop, and again before it is done."""


def draw(chance: Random, kinds: dict[What, int], amount: int = EVENTS) -> list[Event]:
    """So many events."""
    some = [*NAMES, *TOPICS, *TOPICS, b"nobody", b"#unheard"]

    def addresses() -> list[bytes]:
        match chance.randrange(8):
            case 0 | 1 | 2:
                return [chance.choice(NAMES)]
            case 3 | 4:
                return [chance.choice(TOPICS)]
            case 5:
                return [chance.choice(NAMES) + b"@node1"]
            case 6:
                return chance.sample(NAMES, chance.randint(2, 8))
            case _:
                drawn = chance.sample(list(dict.fromkeys(some)), chance.randint(2, 12))
                return drawn + drawn[:1] * chance.randrange(2)

    return [
        Event(
            chance.choices(list(kinds), list(kinds.values()))[0],
            chance.randrange(STEADY + WANDERERS),
            addresses(),
            chance.choice([1, 5, 40, 150]),
            chance.choice([0, 20, 200, 1500]),
            chance.randrange(1 << 16),
        )
        for _ in range(amount)
    ]


class Storm:
    """One storm on one node."""

    def __init__(
        self,
        seed: str,
        endpoint: str,
        *,
        takeover: bool,
        kinds: dict[What, int] = WEIGHTS,
        amount: int = EVENTS,
    ) -> None:
        self.takeover = takeover
        self.chance = Random(seed)
        self.events = draw(self.chance, kinds, amount)
        scheme, _, where = endpoint.partition(":")
        host, _, port = where.rpartition(":")
        self.address: tuple[str, int] | str = where if scheme == "unix" else (host, int(port))
        self.books = Books()
        self.crowd = Crowd()
        self.connects = 0
        self._pings = 0
        self._slots: list[Caller] = []
        self._left: list[Caller] = []
        """Those who do not read, and whose slot is another's by now: they hold a name, until they go on."""

    # --- who is there

    def _connect(self, name: bytes, receive_buffer: int | None = None) -> Caller:
        self.connects += 1
        return Caller(self.crowd, self.books.open(name), self.address, receive_buffer)

    def _arrive(self, slot: int, way: int) -> Caller:
        """A new connection under the name of this slot, whoever has it: its own from now on, if that can be."""
        before = self._slots[slot]
        caller = self._connect(before.account.name, SMALL)
        caller.say(caller.account.name + b"\n")
        if self.takeover or not before.may_speak:
            self._slots[slot] = caller
            if before.habit is Habit.STOPPED and not before.ended:
                self._left.append(before)
        if way % 4:
            caller.say(b"/join " + TOPICS[way % 5] + b"\n")
        return caller

    def set_up(self) -> None:
        """All are there, and nobody has said anything."""
        self.pulse = self._connect(b"pulse")
        self._slots = [self._connect(name, None if number < STEADY else SMALL) for number, name in enumerate(NAMES)]
        self.steady = self._slots[:STEADY]
        for caller in (self.pulse, *self._slots):
            caller.say(caller.account.name + b"\n")
        for number, caller in enumerate(self.steady):
            caller.account.always_heard = set(TOPICS[: 1 + number])
            caller.say(b"/join " + b", ".join(TOPICS[: 1 + number]) + b"\n")
        for number, caller in enumerate(self._slots[STEADY:]):
            caller.say(b"/join " + TOPICS[number % 5] + b"\n")
        self.steady[0].say(b"/watch\n")
        self.everybody_is_answered()

    # --- what happens

    def blow(self) -> None:
        """All events, in order; every so often the pulse must be answered."""
        for number, event in enumerate(self.events):
            self._happen(event)
            self.crowd.turn()
            if number % 8 == 0:
                self.feel_pulse()

    def feel_pulse(self) -> None:
        """A round trip of one who has nothing to do with all this."""
        self._pings += 1
        self.pulse.say(b"/ping %d\n" % self._pings)
        self.crowd.until(lambda: self.pulse.account.pongs >= self._pings or self.pulse.ended, "the pulse")
        assert not self.pulse.ended or self.pulse.account.bye, "the pulse was cut off"

    def _happen(self, event: Event) -> None:
        slot = event.who
        if event.what is What.STRANGER:
            self._stranger(event)
            return
        if slot < STEADY:
            caller = self.steady[slot]
            if caller.may_speak:
                self._say(caller, event.addresses, event.amount, event.size)
            return
        caller = self._slots[slot]
        if event.what in (What.RESET, What.VANISH) and not caller.ended:  # in the middle of its own close, too
            caller.reset() if event.what is What.RESET else caller.vanish()
        elif event.what is What.CHAIN:
            for _ in range(3):
                # What is sent before the answer counts only if the name is won.
                self._say(self._arrive(slot, event.way), event.addresses, 1 + event.way % 3, event.size)
        elif event.what is What.ARRIVE or not caller.may_speak:
            newcomer = self._arrive(slot, event.way)
            if event.way % 2:
                self._say(newcomer, event.addresses, event.amount, event.size)
        else:
            self._concerns(caller, event)

    def _say(self, caller: Caller, addresses: list[bytes], amount: int, size: int) -> None:
        if len(caller.outgoing) < 512 * KIB:
            caller.say(caller.account.lines(addresses, amount, size) + caller.account.ping())

    def _flood(self, caller: Caller, event: Event) -> None:
        """More than all buffers take, to one who does not read if there is such a one."""
        stopped = [other for other in self._slots if other.habit is Habit.STOPPED and other is not caller]
        names = [other.account.name for other in stopped]
        topics = sorted({topic for other in stopped for topic in other.account.joined})
        drawn = (topics if event.way % 3 == 0 and topics else names) or event.addresses
        amount, size = (6000, 0) if names and event.way % 16 == 1 else (400, 5000)
        self._say(caller, [drawn[event.way % len(drawn)]], amount, size)

    def _concerns(self, caller: Caller, event: Event) -> None:
        topics = [TOPICS[event.way % 5], TOPICS[event.way % 3]]
        match event.what:
            case What.SAY:
                self._say(caller, event.addresses, event.amount, event.size)
            case What.SAY_AND_GO:
                self._say(caller, event.addresses, 2 * event.amount, event.size)
                self._go(caller, event.way)
            case What.FLOOD:
                self._flood(caller, event)
            case What.FLOOD_AND_GO:
                self._flood(caller, event)
                self._go(caller, event.way)
            case What.FLOOD_AND_RESET:
                self._flood(caller, event)
                for _ in range(event.way % 4):
                    self.crowd.turn()
                if not caller.ended:
                    caller.reset()
            case What.QUIT:
                caller.quit()
            case What.HALF_CLOSE:
                caller.half_close()
            case What.TORN:
                caller.say(b"s0: never whole"[: event.way % 15])
                caller.reset() if event.way % 2 else caller.vanish()
            case What.STOP:
                caller.turn_to(Habit.STOPPED)
            case What.GO_ON:
                caller.turn_to(Habit.READS)
                for _ in range(min(2, len(self._left))):
                    self._left.pop(event.way % len(self._left)).turn_to(Habit.READS)
            case What.SLOW:
                caller.turn_to(Habit.SLOW)
            case What.JOIN:
                caller.say(b"/join " + b", ".join(topics) + b"\n")
            case What.LEAVE:
                caller.say(b"/leave " + b", ".join(topics) + b"\n")
            case What.ASK:
                caller.say([b"/who\n", b"/topics\n", b"/help\n", b"/who #t0\n"][event.way % 4] * (1 + event.way % 7))
            case What.WATCH:
                caller.say(b"/watch\n")

    @staticmethod
    def _go(caller: Caller, way: int) -> None:
        (caller.quit, caller.half_close)[way % 2]()

    def _stranger(self, event: Event) -> None:
        """Somebody who does not log in."""
        caller = self._connect(b"")
        match event.way % 7:
            case 0:
                caller.reset()
            case 1:
                caller.vanish()
            case 2:
                caller.half_close()
            case 3:
                caller.say(b"n" * 20_000 + b"\n")
            case 4:
                caller.say(b"s0: hello\npulse: hello\n")
            case 5 if not self.takeover:
                caller.say(b"pulse\npulse: not I\n/quit\n")
            case _:
                pass  # silent, until the node ends or for good

    # --- how it ends

    def everybody_is_answered(self) -> None:
        """Whoever is there reads on, and gets an answer: nobody waits for anybody any more."""
        asked = []
        for caller in self.crowd.callers:
            caller.turn_to(Habit.READS)
            if caller.account.name and caller.may_speak:
                self._pings += 1
                token = max(self._pings, len(caller.account.sent) + 1)
                caller.say(b"/ping %d\n" % token if caller is self.pulse else caller.account.ping())
                asked.append((caller, token if caller is self.pulse else len(caller.account.sent)))

        def answered() -> bool:
            return all(caller.ended or caller.account.pongs >= token for caller, token in asked)

        self.crowd.until(answered, "everybody is answered")

    def everybody_goes(self) -> None:
        """All end in order, the steady ones last; those who say nothing at all are closed."""
        last = [self.pulse, *self.steady]
        self._go_and_end([caller for caller in self.crowd.callers if caller not in last])
        self._go_and_end(last)

    def _go_and_end(self, leaving: list[Caller]) -> None:
        for caller in leaving:
            caller.turn_to(Habit.READS)
            if not caller.account.name:
                caller.half_close()
            elif caller.may_speak:
                caller.quit()
        self.crowd.until(lambda: all(caller.ended for caller in leaving), "all have gone")

    def end(self, ending: Ending, stop: Callable[[], None]) -> None:
        """The node is told to stop, and all hear it who are to hear it."""
        if ending is Ending.CALM:
            self.everybody_is_answered()
        stop()
        for caller in self.crowd.callers:
            self._at_the_end(caller, ending)
        for _ in range(self.chance.randrange(20)):
            self.crowd.turn()
        if ending is Ending.TWICE:
            self.books.was_hasty = True
            stop()
        for caller in self.crowd.callers:
            if caller.habit is not Habit.READS and (ending is not Ending.STUCK or self.chance.random() < 0.5):
                caller.turn_to(Habit.READS)
        self.crowd.until(lambda: all(caller.habit is Habit.STOPPED for caller in self.crowd.callers), "all have heard")

    def _at_the_end(self, caller: Caller, ending: Ending) -> None:
        if ending is Ending.CALM or caller in self.steady or caller is self.pulse:
            return
        number = self.chance.randrange(10)
        if number < 2 and not caller.ended:
            caller.reset() if number else caller.vanish()
        elif caller.habit is not Habit.STOPPED and number < 5:
            caller.turn_to(Habit.STOPPED if number < 3 else Habit.SLOW)

    def close_books(self, totals: str, *, strict: bool) -> None:
        """Compare; where it is strict, all who went in order heard everything, and the drain had time for all."""
        ledger = Totals(totals)
        accounts: list[Account] = [caller.account for caller in self.steady]
        if strict:
            for account in [self.pulse.account, *accounts]:
                assert account.orderly, f"{account} has not heard the end"
            for account in self.books.accounts:
                if account.always_read and account.deed in ("quit", "half-close") and account.was_cut_off:
                    raise AssertionError(f"{account} went in order, and was cut off")
            assert b"shutdown" not in ledger.reasons["returned"].keys() | ledger.reasons["dropped"].keys(), totals
        self.books.close(ledger, accounts)
