"""A storm on linked nodes: real processes, each in a network namespace of its own, and wires that are bad.

    unshare --net --mount --pid --fork --kill-child --mount-proc python -m tests.real.linkstorm SEED

In: a seed.  Out: exit status 0 and some figures, or the first sentence that is wrong and what the nodes wrote.
Never: a moment that is waited for with a sleep; the order of events is the seed's, their timing is the machine's.

It ends when its standard input does, and all that it has started ends with it, for it is the first process of a
namespace.

Four nodes, all linked to all over TLS, and three peers on each, over TCP in the node's namespace.  From first to last
one cable is out, until both its nodes have noticed.  One node is killed and started again; another one is stopped and
goes on.  All other cables are pulled and put back, lose and delay frames, go silent in one direction, and are torn:
connections in them are reset while something is on its way.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

from tests.real.books import Totals
from tests.real.callers import Caller, Crowd, Habit
from tests.real.farbooks import FarBooks
from tests.real.node import KIB, MIB, RealNode
from tests.real.wires import Cable, Yard, inside

NODES = [f"node{number}" for number in range(1, 5)]
PEERS_EACH = 3
EVENTS = 800
PATIENCE = 200.0
"""Seconds for all of it, on a busy machine too: a storm that has nothing but the machine to wait for takes 45."""

PEERS, LINKS, WEB = 6388, 6389, 6390
ALL = b"#all"
"""Everybody hears it, from first to last."""

TOPICS = [ALL, b"#t1", b"#t2"]
OPTIONS = (
    ("--max-line", "16KiB"),
    ("--outbox-bytes", "128KiB"),
    ("--remote-window", "64KiB"),
    ("--direct-patience", "300ms"),
    ("--topic-patience", "20ms"),
    ("--pending-timeout", "3s"),
    ("--presence-grace", "1s"),
    ("--stall-timeout", "5m"),
    ("--drain-timeout", "20s"),
)
"""Of the nodes: small bounds and little patience, so that lines are given back and dropped too."""

GROWTH = 48 * MIB
"""Of a node's memory.  By its options it may hold about half of this: for each of 3 links 2 MiB of lines, 4 MiB of what
goes back and 1 MiB that is not confirmed; for each of 3 peers 1 MiB; and what is being read."""

DELUGE = 6000
"""Lines of 4 KiB that each of three peers says to others whose cable is out: more, in all, than a node may grow by."""


class What(Enum):
    """Kinds of events."""

    SAY = auto()
    FLOOD = auto()
    JOIN = auto()
    LEAVE = auto()
    STOP = auto()
    PULL = auto()
    SILENCE = auto()
    WEATHER = auto()
    TEAR = auto()


WEIGHTS = {
    What.SAY: 40,
    What.FLOOD: 4,
    What.JOIN: 3,
    What.LEAVE: 3,
    What.STOP: 4,
    What.PULL: 4,
    What.SILENCE: 3,
    What.WEATHER: 5,
    What.TEAR: 6,
}


class Home:
    """A node, and what belongs to it whether or not it runs.

    Invariant: `process` is the last one that was started.
    """

    def __init__(self, place: str, directory: Path, options: list[str]) -> None:
        self.place = place
        self.name = place.encode()
        self.directory = directory
        self.options = options
        self.processes: list[RealNode] = []
        self.callers: list[Caller] = []
        self.runs = False
        """It has been started, and its peers are logged in."""
        self.frozen = False
        self.memory_at_first = 0

    @property
    def process(self) -> RealNode:
        return self.processes[-1]

    def start(self) -> None:
        """A process, which does not listen yet."""
        self.processes.append(
            RealNode(
                self.directory,
                *self.options,
                listen=(f"tcp:{PEERS}:interface=127.0.0.1",),
                node_name=self.place,
                launcher=("ip", "netns", "exec", self.place),
            )
        )

    @property
    def listens(self) -> bool:
        """Whether it has said that all its listeners are there."""
        assert self.process.process.poll() is None, f"{self.place} has ended"
        return any("listening" in line and "for the web" in line for line in list(self.process.out))

    def ask(self, path: str) -> Any:
        """What the node's web page says."""
        with inside(self.place):
            connection = http.client.HTTPConnection("127.0.0.1", WEB, timeout=PATIENCE)
            connection.connect()
        connection.request("GET", path)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer


class LinkStorm:
    """One storm, from the first process to the end of the last."""

    def __init__(self, seed: str) -> None:
        self.chance = Random(seed)
        self.yard = Yard(NODES, seed)
        self.books = FarBooks()
        self.crowd = Crowd()
        self.homes: dict[str, Home] = {}
        self.happened: Counter[str] = Counter()
        self._deadline = time.monotonic() + PATIENCE
        self._later: list[tuple[int, Callable[[], object]]] = []
        """What is undone, and at which event."""
        self._event = 0

    # --- its beginning

    def begin(self) -> None:
        """All nodes run and are linked, all peers are there."""
        work = Path(mkdtemp(dir="/run"))
        trusted = work / "trusted-nodes"
        for place in NODES:
            directory = work / place
            directory.mkdir()
            self.homes[place] = Home(place, directory, self._options(place, directory, trusted))
        made = [_make_identity(home) for home in self.homes.values()]
        trusted.write_text("".join(making.communicate()[0] for making in made))
        for home in self.homes.values():
            home.start()
        self.until(lambda: all(home.listens for home in self.homes.values()), "all nodes listen")
        for home in self.homes.values():
            home.memory_at_first = home.process.memory("VmRSS")
            self._populate(home)
        self.until(self._everybody_is_seen, "everybody sees everybody")

    def _options(self, place: str, directory: Path, trusted: Path) -> list[str]:
        words = [word for pair in OPTIONS for word in pair]
        words += ["--state-dir", str(directory), "--trusted-nodes", str(trusted)]
        words += ["--web", f"tcp:{WEB}:interface=127.0.0.1", "--link-listen", f"tcp:{LINKS}"]
        for other in NODES:
            if other != place:
                words += ["--link-connect", f"{other}={self.yard.address(other, place)}:{LINKS}"]
        return words

    def _populate(self, home: Home) -> None:
        """All of a node's peers log in."""
        home.callers = []
        for number in range(PEERS_EACH):
            account: Any = self.books.open(b"%s-%d" % (home.name, number), home.name)
            with inside(home.place):
                caller = Caller(self.crowd, account, ("127.0.0.1", PEERS))
            joined = b", ".join([ALL, self.chance.choice(TOPICS[1:])])
            caller.say(account.name + b"\n/join " + joined + b"\n")
            home.callers.append(caller)
        home.runs = True

    # --- what happens

    def blow(self) -> None:
        """All events, in order, and whatever they undo."""
        mortal, sleeper, *_ = order = self.chance.sample(NODES, len(NODES))
        self.long_out = self.yard.cable(*order[-2:])
        self.long_out.pull()
        kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
        for self._event in range(EVENTS):
            if self._event in (EVENTS // 6, EVENTS // 2):
                self._freeze(self.homes[sleeper])
            if self._event in (EVENTS // 3, EVENTS * 3 // 4) and self.homes[mortal].runs:
                self._kill(self.homes[mortal])
            self._happen(self.chance.choices(kinds, weights)[0])
            for when, undo in [it for it in self._later if it[0] <= self._event]:
                self._later.remove((when, undo))
                undo()
            for _ in range(self.chance.choice((0, 1, 2, 5))):
                self.crowd.turn(0.02)

    def _happen(self, what: What) -> None:
        homes = [home for home in self.homes.values() if home.runs]
        caller = self.chance.choice(self.chance.choice(homes).callers)
        cable = self.chance.choice([cable for cable in self.yard.cables if cable is not self.long_out])
        self.happened[what.name.lower()] += 1
        match what:
            case What.SAY:
                self._say(caller, self._addresses(caller), self.chance.choice((1, 1, 5, 40)))
            case What.FLOOD:
                self._say(caller, self._addresses(caller)[:1], 150, 4000)
            case What.JOIN | What.LEAVE:
                caller.say(b"/%s %s\n" % (what.name.lower().encode(), self.chance.choice(TOPICS[1:])))
            case What.STOP:
                caller.turn_to(Habit.STOPPED)
                self._undo(10, lambda: None if caller.ended else caller.turn_to(Habit.READS))
            case What.PULL if not cable.pulled:
                cable.pull()
                self._undo(25, lambda: cable.put_back() if cable.pulled else None)
            case What.SILENCE:
                self._worsen(cable, cut=True)
            case What.WEATHER:
                loss, delay, jitter = (self.chance.choice(it) for it in ((0.01, 0.05, 0.2), (0, 0.01), (0, 0.02)))
                self._worsen(cable, loss=loss, delay=delay, jitter=jitter)
            case What.TEAR:
                # Where much is on its way.
                self.chance.choice(cable.ways).tears = 2
                one, other = (self.homes[place] for place in (cable.one, cable.other))
                for here, there in ((one, other), (other, one)):
                    if here.runs and there.runs:
                        address = self.chance.choice(there.callers).account.name + b"@" + there.name
                        self._say(self.chance.choice(here.callers), [address], 30, 1500)

    def _addresses(self, caller: Caller) -> list[bytes]:
        if self.chance.random() < 0.3:
            return [self.chance.choice(TOPICS)]
        others = [
            account for account in self.books.accounts[: len(NODES) * PEERS_EACH] if account.name != caller.account.name
        ]
        chosen = self.chance.sample(others, self.chance.choice((1, 1, 1, 3)))
        return [it.name + b"@" + it.node if self.chance.random() < 0.5 else it.name for it in chosen]

    def _say(self, caller: Caller, addresses: list[bytes], amount: int, size: int | None = None) -> None:
        size = self.chance.choice((0, 20, 200, 1500)) if size is None else size
        if caller.may_speak and len(caller.outgoing) < 512 * KIB:
            caller.say(caller.account.lines(addresses, amount, size) + caller.account.ping())

    def _worsen(self, cable: Cable, **faults: Any) -> None:
        """One way or, of what is no cut, both."""
        ways = [self.chance.choice(cable.ways)] if "cut" in faults else list(cable.ways)
        whole = dict.fromkeys(faults, 0)
        for way in ways:
            vars(way).update(faults)
        self._undo(20, lambda: [vars(way).update(whole) for way in ways])

    def _undo(self, after: int, call: Callable[[], object]) -> None:
        """In about so many events."""
        self._later.append((self._event + self.chance.randint(1, 2 * after), call))

    def _freeze(self, home: Home) -> None:
        home.process.signal(signal.SIGSTOP)
        home.frozen = True
        self.happened["freeze"] += 1
        self._undo(15, lambda: self._thaw(home))

    def _thaw(self, home: Home) -> None:
        if home.frozen:
            home.process.signal(signal.SIGCONT)
            home.frozen = False

    def _kill(self, home: Home) -> None:
        self.books.killed(home.name)
        home.process.kill()
        home.runs = False
        self.happened["kill"] += 1
        for caller in home.callers:
            if not caller.ended:
                caller.be_torn_off()
        self.until(lambda: all(caller.ended for caller in home.callers), "the end of a killed node is seen")
        self._undo(15, lambda: self._restart(home))

    def _restart(self, home: Home) -> None:
        home.start()
        self._undo(1, lambda: self._arrive(home))

    def _arrive(self, home: Home) -> None:
        """Its peers log in again, as soon as it listens."""
        if home.listens:
            self._populate(home)
        else:
            self._undo(1, lambda: self._arrive(home))

    # --- its end

    def until(self, condition: Callable[[], object], what: str | Callable[[], str]) -> None:
        """Go on until the condition holds, which must happen."""
        while not condition():
            self.crowd.turn(0.05)
            if time.monotonic() > self._deadline:
                told = what if isinstance(what, str) else what()
                raise AssertionError(f"did not happen within {PATIENCE:.0f} s from the beginning: {told}")

    def calm_down(self) -> None:
        """The long cut is noticed; then everything is whole, everybody reads, and everything is where it belongs."""
        for cable in self.yard.cables:
            if cable is not self.long_out:
                cable.mend()
        for home in self.homes.values():
            self._thaw(home)
            if home.process.process.poll() is not None:
                home.start()
        for caller in self.crowd.callers:
            caller.turn_to(Habit.READS)
        for home in self.homes.values():
            if not home.runs:
                self.until(lambda home=home: home.listens, f"{home.place} listens again")  # type: ignore[misc]
                self._populate(home)
        one, other = self.long_out.one, self.long_out.other
        self._pour(self.homes[one], self.homes[other])
        self.until(
            lambda: not self._is_linked(one, other) and not self._is_linked(other, one),
            f"{one} and {other} notice that nothing comes from each other",
        )
        self.long_out.mend()
        self.until(self._everybody_is_seen, "everybody sees everybody again")
        self.until(self._nothing_waits, "nothing is left waiting")

    def _pour(self, here: Home, there: Home) -> None:
        """Peers here say more to peers there than fits anywhere, while the cable between them is out."""
        for caller, receiver in zip(here.callers, there.callers, strict=True):
            account: Any = caller.account
            to = receiver.account.name + b"@" + there.name
            caller.say(account.lines([to], DELUGE, 4000) + account.ping())
        self.until(
            lambda: all(caller.account.pongs == len(caller.account.sent) for caller in here.callers),
            "a deluge is over: its senders are read again",
        )

    def _is_linked(self, one: str, other: str) -> bool:
        links = {link["node"]: link for link in self.homes[one].ask("/api/links")["links"]}
        return bool(links[other]["state"] == "up")

    def _everybody_is_seen(self) -> bool:
        """Every peer's `/who` lists all."""
        asked = [(caller, caller.account.answers) for caller in self._present()]
        for caller, _ in asked:
            caller.say(b"/who\n")
        self.until(lambda: all(caller.account.answers > before for caller, before in asked), "answers to /who")
        everybody = [(caller.account.name, caller.account.node) for caller in self._present()]
        assert len(everybody) == len(NODES) * PEERS_EACH, f"of all peers only these are here: {everybody}"
        for caller in self._present():
            own = caller.account.node
            expected = sorted(name if node == own else name + b"@" + node for name, node in everybody)
            if caller.account.who != expected:
                return False
        return True

    def _present(self) -> list[Any]:
        return [caller for home in self.homes.values() for caller in home.callers if not caller.ended]

    def _nothing_waits(self) -> bool:
        """By what the nodes say of themselves."""
        for home in self.homes.values():
            links = home.ask("/api/links")["links"]
            if any(link["state"] != "up" or link["queued_bytes"] for link in links):
                return False
            stats = home.ask("/api/stats")
            if stats["ledger"]["queued"] or stats["queued_bytes"] or any(wait["waiting"] for wait in stats["waits"]):
                return False
        return True

    def last_round(self) -> None:
        """Everybody says one more line to all on a topic and one to each by name: all hear all of it."""
        present = self._present()
        last = {}
        for caller in present:
            account = caller.account
            others = [it.account.name + b"@" + it.account.node for it in present if it is not caller]
            caller.say(account.lines([ALL], 1, 10) + account.lines(others, 1, 10) + account.ping())
            last[account.number, ALL], last[account.number, b""] = len(account.sent) - 2, len(account.sent) - 1

        def unheard() -> list[str]:
            return [f"{it.account}: pong" for it in present if it.account.pongs < len(it.account.sent)] + [
                f"{caller.account}: of {self.books.accounts[sender]} on {topic!r}"
                for caller in present
                for (sender, topic), line in last.items()
                if sender != caller.account.number and caller.account.last_on.get((sender, topic)) != line
            ]

        self.until(lambda: not unheard(), lambda: f"all hear the last round; not heard: {unheard()}")
        self.until(self._nothing_waits, "nothing is left waiting after the last round")

    def end(self) -> None:
        """All nodes end in order; the books are closed."""
        grown = {name: home.process.memory("VmHWM") - home.memory_at_first for name, home in self.homes.items()}
        for home in self.homes.values():
            home.process.signal(signal.SIGTERM)
        self.until(lambda: not self.crowd.callers, "all hear the end")
        ledgers = {}
        for home in self.homes.values():
            assert home.process.wait() == 0, f"{home.place} ended with {home.process.process.returncode}"
            found = re.search(r"totals: ([^\"]*)", "\n".join(home.process.out))
            assert found is not None, f"{home.place} has told no totals"
            ledgers[home.name] = Totals(found[1])
        for home in self.homes.values():
            for process in home.processes:
                process.expect_no_surprise()
        self.books.close(ledgers, ALL)
        assert self.happened["kill"] and self.happened["freeze"] and self.yard.wires.lost, self.happened
        assert max(grown.values()) < GROWTH, {name: f"{size / MIB:.1f} MiB" for name, size in grown.items()}
        self._tell(ledgers, grown)

    def _tell(self, ledgers: dict[bytes, Totals], grown: dict[str, int]) -> None:
        ends: Counter[str] = Counter()
        for home in self.homes.values():
            for process in home.processes:
                ends.update(re.findall(r"the link with \S+ at .*? ended: ([a-z-]+)", "\n".join(process.out)))
        print("events", dict(self.happened), "frames lost", self.yard.wires.lost)
        print("links ended", dict(ends), "given back", dict(self.books.reasons))
        print("grown by", {name: f"{size / MIB:.1f} MiB" for name, size in grown.items()})
        for name, totals in ledgers.items():
            print(name.decode(), totals.text)

    def report(self) -> str:
        """What all processes wrote."""
        parts = []
        for home in self.homes.values():
            for process in home.processes:
                parts += [f"--- {home.place} ({process.process.poll()})", *process.out[-80:], *process.err[-40:]]
        return "\n".join(parts)


def _make_identity(home: Home) -> "subprocess.Popen[str]":
    command = [str(Path(sys.executable).parent / "nettool"), "identity", "new"]
    return subprocess.Popen(
        [*command, "--state-dir", str(home.directory), "--node-name", home.place],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> int:
    """The whole of it; an exit status."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    storm = LinkStorm(sys.argv[1])
    try:
        for part in (storm.begin, storm.blow, storm.calm_down, storm.last_round, storm.end):
            began = time.monotonic()
            part()
            print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
    except BaseException:
        print(storm.report())
        traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # whatever still runs is ended by this
