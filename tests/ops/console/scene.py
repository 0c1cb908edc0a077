"""The evening of docs/console.md: bob is slow, alice waits for him, carol is well, erin has gone."""

from __future__ import annotations

from pathlib import Path

from nettool.ops.console.sitting import LOOK
from tests.ops.console.manholes import Manhole
from tests.support.street import kibibytes


class Scene:
    """A node at one moment of that evening, and somebody at its console."""

    def __init__(self, directory: Path) -> None:
        self.manhole = manhole = Manhole(directory, outbox_bytes=4 * 1024 * 1024)
        alice, bob, self.carol, self.dave, erin = manhole.peers(b"alice", b"bob", b"carol", b"dave", b"erin")
        for hearer in (alice, bob, self.carol):
            hearer.say(b"/join #news")
        manhole.pass_time(188)
        erin.say(b"/quit")
        erin.half_close()
        manhole.pass_time(12)
        bob.stop_reading()
        self.carol.say(*(b"bob: " + text for text in kibibytes(600)))
        self.carol.hear()
        manhole.pass_time(1)
        for _ in range(400):
            alice.say(*(b"bob: " + text for text in kibibytes(10)))
        manhole.pass_time(2)

    def ask(self, source: str) -> str:
        """`ssh localhost 'source'`, and what follows if it is a tail."""
        client = self.manhole.ssh()
        session = client.run(source)
        if session.status is None:
            self.dave.say(b"carol: is bob asleep?", b"#news: \x1b[1mlunch\x1b[0m", b"carol: so it seems")
            client.pass_time(LOOK)
        return session.output.decode()
