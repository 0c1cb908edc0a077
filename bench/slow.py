"""One hearer of a topic that never reads, beside others that do: what do the others notice, and the server's memory?

In: a plan of one sender and the hearers of one topic, of whom the last does not read; a server with its own bounds.
Out: the rate of those who read and the growth of the server's memory, beside a run without the one who does not.
Never: a server whose bounds were chosen for this; a line that those who read lost and nobody counts.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from bench import machine
from bench.check import check_contents
from bench.connections import connected, settle
from bench.dialects import Dialect
from bench.load import RECEIVE, Block, encode, flows_for, stream
from bench.machine import Stopwatch
from bench.measures import CALIBRATION_SECONDS, WARM_UP, Bed, Measure, Outcome
from bench.plan import Plan
from bench.quantities import GROWTH_BESIDE, GROWTH_WITHOUT, HELD_UP, KEPT, LOST, RATE_BESIDE, RATE_WITHOUT, SLOW_LOST
from bench.readers import send_and_read
from bench.settings import Settings

Sockets = dict[bytes, socket.socket]

LONGER = 3.0
"""Than other runs: every server has filled what it holds for the one who does not read."""
CLOSED = "the one who does not read was closed"
QUIET_SECONDS = 1.0
PINGS = 5


@dataclass(frozen=True)
class Half:
    """The run beside the one who does not read, or the run without it."""

    rate: float
    """Of those who read, by the clock in any case: a server that waits uses no processor time."""
    seconds: float
    """Until the last of them had all."""
    growth: tuple[float | None, ...]
    """Of each process's memory."""
    lost: float
    watch: Stopwatch
    slow_lost: float | None = None
    """The share that the slow one lost, if it was not closed."""
    remark: str = ""


class Beside(Measure):
    """Two runs, each in a fresh server with its own default bounds: without the one who does not read, and beside it.

    The amount is lines of each sender who is read.
    """

    title = "slow reader"

    def healthy(self, plan: Plan) -> Plan:
        """The plan without the one who does not read, and without who sends to it alone."""
        raise NotImplementedError

    def copies(self, healthy: Plan) -> int:
        """Deliveries for each line of every sender."""
        raise NotImplementedError

    def send(
        self, plan: Plan, dialect: Dialect, block: Block, repeats: int, sockets: Sockets, watch: Stopwatch
    ) -> None:
        """Send so much, and read all of it."""
        raise NotImplementedError

    def half(self, bed: Bed, plan: Plan, amount: int) -> Half:
        """One of the two."""
        raise NotImplementedError

    def more(self, beside: Half, without: Half) -> dict[str, float | None]:
        """What else is told of them, as far as it is known."""
        raise NotImplementedError

    def prepare(self, bed: Bed) -> int:
        plan = self.healthy(bed.plan)
        block = encode(plan, bed.server.dialect)
        with bed.started(own_bounds=True) as node, connected(node, plan.peers) as sockets:
            check_contents(plan, bed.server.dialect, sockets)
            settle(sockets, bed.server.dialect)
            repeats, amounts, watch = 1, [1], Stopwatch(*node.pids)
            while watch.seconds < CALIBRATION_SECONDS:
                self.send(plan, bed.server.dialect, block, repeats, sockets, watch)
                amounts.append(round(block.lines * repeats * self.seconds(bed.settings) / watch.seconds))
                repeats *= 2
        return max(amounts)

    def resized(self, bed: Bed, amount: int, outcome: Outcome) -> int:
        """By the rate without: what the one who does not read costs must not make its run shorter."""
        rate = outcome.figures[RATE_WITHOUT.key] / self.copies(self.healthy(bed.plan))
        return max(1, round(rate * self.seconds(bed.settings)))

    def seconds(self, settings: Settings) -> float:
        return settings.seconds * LONGER

    def expected_seconds(self, settings: Settings, waiting: float, rounds: int) -> float:
        return 2 * super().expected_seconds(settings, waiting, rounds)

    def run(self, bed: Bed, amount: int) -> Outcome:
        without = self.half(bed, self.healthy(bed.plan), amount)
        beside = self.half(bed, bed.plan, amount)
        figures = {
            KEPT.key: beside.rate / without.rate,
            HELD_UP.key: beside.seconds - without.seconds,
            RATE_BESIDE.key: beside.rate,
            RATE_WITHOUT.key: without.rate,
            LOST.key: beside.lost + without.lost,
        }
        figures |= {key: value for key, value in self.more(beside, without).items() if value is not None}
        watch = max(beside.watch, without.watch, key=lambda half: half.others_share or 0.0)
        return Outcome(figures, watch, without.remark + beside.remark)


class SlowReader(Beside):
    """One hearer of a topic never reads."""

    quantities = (KEPT, HELD_UP, RATE_BESIDE, RATE_WITHOUT, GROWTH_BESIDE, GROWTH_WITHOUT, LOST, SLOW_LOST)

    def healthy(self, plan: Plan) -> Plan:
        return plan.without(plan.peers[-1])

    def copies(self, healthy: Plan) -> int:
        return len(healthy.peers) - 1

    def send(
        self, plan: Plan, dialect: Dialect, block: Block, repeats: int, sockets: Sockets, watch: Stopwatch
    ) -> None:
        send_and_read(plan, dialect, block, repeats, sockets, watch)

    def more(self, beside: Half, without: Half) -> dict[str, float | None]:
        return {
            GROWTH_BESIDE.key: beside.growth[0],
            GROWTH_WITHOUT.key: without.growth[0],
            SLOW_LOST.key: beside.slow_lost,
        }

    def half(self, bed: Bed, plan: Plan, amount: int) -> Half:
        dialect = bed.server.dialect
        stuck = plan.peers[-1] if plan.peers[-1] is bed.plan.peers[-1] else None
        reading = plan if stuck is None else plan.without(stuck)
        block = encode(plan, dialect)
        repeats = max(1, round(amount / block.lines))
        with bed.started(own_bounds=True) as node, connected(node, plan.peers) as sockets:
            # Here everybody reads, the slow one too.
            stream(flows_for(block, max(1, round(repeats * WARM_UP)), sockets), Stopwatch(*node.pids))
            settle(sockets, dialect)
            machine.forget_peak(node.pid)
            before = machine.memory(node.pid)
            watch = Stopwatch(*node.pids)
            readers = send_and_read(reading, dialect, block, repeats, sockets, watch)
            peak = machine.peak_memory(node.pid)
            due = block.due[readers[0].name] * repeats
            width = due / (block.lines * repeats)
            got = sum(reader.got for reader in readers)
            closed = sum(reader.closed for reader in readers)
            remark = f"{closed} of those who read were closed; " if closed else ""
            slow_lost, fate = _fate(sockets[stuck.name], dialect, due) if stuck else (None, "")
        return Half(
            rate=got / width / watch.seconds,
            seconds=watch.seconds,
            growth=(None if before is None or peak is None else float(peak - before),),
            lost=(due * len(readers) - got) / width,
            watch=watch,
            slow_lost=slow_lost,
            remark=remark + fate,
        )


def _fate(opened: socket.socket, dialect: Dialect, due: int) -> tuple[float | None, str]:
    """What became of the one who did not read, found out by reading: the share that it lost, or what happened."""
    got, tail = 0, b""
    opened.settimeout(QUIET_SECONDS)
    for _ in range(PINGS):
        try:
            opened.sendall(dialect.ping)
            while not tail.endswith(dialect.pong):
                said = opened.recv(RECEIVE)
                if not said:
                    return None, CLOSED
                got += len(said)
                tail = (tail + said)[-len(dialect.pong) :]
            return 1 - (got - len(dialect.pong)) / due, ""
        except TimeoutError:
            pass  # Mosquitto drops the answer too while its queue is full
        except OSError:
            return None, CLOSED
    return None, "the one who does not read gets no answer any more"
