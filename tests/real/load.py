"""A full load on a node, whose every line is accounted for: senders that never stop, receivers that always read.

In: an endpoint.  Out: how many lines came, or what is missing, doubled, or out of order.  Never: an import from the
package under test, or a line that may be lost: the node must have patience without end.

`python -m tests.real.load ENDPOINT` is the load's own process, so that a node in the test's has a core to itself.  It
says `loaded`, goes on until its input ends, and says how many copies came.
"""

import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import Future
from typing import Any

from tests.real.node import PATIENCE, ROOT, RealPeer, in_background

SENDERS = 4
RECEIVERS = 4
BLOCK = 400
"""Lines that a sender says at once."""

TOPIC = b"#load"
TEXT = b"x" * 32


class Load:
    """A load in a process of its own."""

    def __init__(self, endpoint: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.real.load", endpoint],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "loaded\n"

    @property
    def goes_on(self) -> bool:
        """Whether nobody of it has ended, which nobody does before `end`."""
        return self._process.poll() is None

    def end(self) -> int:
        """Say no more; how many copies came, which are all that were said."""
        out, _ = self._process.communicate("", PATIENCE)
        assert self._process.returncode == 0, "its standard error says what is wrong"
        return int(out)

    def close(self) -> None:
        """Give up, whatever is under way."""
        self._process.kill()
        self._process.communicate()


class _Crowd:
    """Senders that say numbered lines to a receiver each, and to a topic that all receivers hear."""

    def __init__(self, endpoint: str) -> None:
        self._stop = threading.Event()
        self._receivers = [RealPeer.connect(endpoint).login(f"r{number}") for number in range(RECEIVERS)]
        for peer in self._receivers:
            peer.say(b"/join " + TOPIC)
            peer.expect(b"ok join " + TOPIC)
        self._senders = [RealPeer.connect(endpoint).login(f"s{number}") for number in range(SENDERS)]
        self._heard = [in_background(self._receive, peer) for peer in self._receivers]
        self._said = [in_background(self._send, peer, number) for number, peer in enumerate(self._senders)]
        futures: list[Future[Any]] = [*self._heard, *self._said]
        for future in futures:
            future.add_done_callback(_ended)

    def _send(self, peer: RealPeer, number: int) -> int:
        """Say lines until it is enough; how many."""
        receiver, said = b"r%d: " % (number % RECEIVERS), 0
        while not self._stop.is_set():
            numbers = range(said, said + BLOCK)
            peer.send(b"".join([(TOPIC + b": " if n % 4 == 3 else receiver) + b"%d %b\n" % (n, TEXT) for n in numbers]))
            said += BLOCK
        assert peer.barrier() == [], "something came back"
        return said

    def _receive(self, peer: RealPeer) -> Counter[bytes]:
        """How many lines came from each sender by each address; each of them later than the one before."""
        counts: Counter[bytes] = Counter()
        last: dict[bytes, int] = {}
        while (line := peer.line()) != b"from judge: enough":
            sender, _, text = line.partition(b": ")
            number, _, rest = text.partition(b" ")
            assert rest == TEXT, f"a line that is not whole: {line!r}"
            name = sender.split(b" ")[1]
            assert int(number) > last.get(name, -1), f"{line!r} came after {last[name]}"
            last[name] = int(number)
            counts[sender] += 1
        return counts

    def end(self, endpoint: str) -> int:
        """Say no more, and see that everything has come that was said; how many copies that were."""
        self._stop.set()
        said = [future.result() for future in self._said]
        judge = RealPeer.connect(endpoint).login("judge")
        judge.say(b", ".join(b"r%d" % number for number in range(RECEIVERS)) + b": enough")
        assert judge.barrier() == []
        copies = 0
        for number, future in enumerate(self._heard):
            counts = future.result()
            for sender in range(SENDERS):
                topic = said[sender] // 4
                direct = said[sender] - topic if sender % RECEIVERS == number else 0
                assert counts[b"from s%d to %b" % (sender, TOPIC)] == topic
                assert counts[b"from s%d" % sender] == direct
                copies += topic + direct
        for peer in [*self._senders, *self._receivers, judge]:
            assert peer.quit() == []
        return copies + RECEIVERS


def _ended(future: Future[Any]) -> None:
    """Somebody has a reason to end too early: nothing that follows could be right."""
    if error := future.exception():
        print(f"the load failed: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)


if __name__ == "__main__":
    crowd = _Crowd(sys.argv[1])
    print("loaded", flush=True)
    sys.stdin.read()
    print(crowd.end(sys.argv[1]))
