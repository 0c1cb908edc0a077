"""Another evening of docs/console.md: bob is slow on node2, alice waits for him on node1, node3 does not run."""

from __future__ import annotations

import re
from typing import Any, Self

from nettool.embed.cluster import Cluster
from nettool.ops.console.commands import Commands
from nettool.ops.levers import Levers
from tests.cluster.peers import log_in
from tests.support.street import kibibytes


class Elsewhere:
    """Three nodes at one moment of that evening, and somebody who types at node1."""

    def __init__(self) -> None:
        self.cluster = Cluster(["node1", "node2", "node3"])

    def __enter__(self) -> Self:
        cluster = self.cluster.__enter__()
        alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob", b"/join #news")
        log_in(cluster, "node2", b"erin")
        cluster.settle(180.0)
        cluster.kill("node3")
        cluster.settle(7.0)
        alice.say(b"dave@node3: are you there?")
        bob.stop_reading()
        cluster.settle(3.0)
        for _ in range(40):
            alice.say(*(b"bob: " + text for text in kibibytes(200)))
            cluster.settle(0.05)
        return self

    def __exit__(self, *raised: Any) -> None:
        self.cluster.__exit__(*raised)

    def ask(self, source: str) -> str:
        """What is printed for it; addresses are those of the page."""
        node = self.cluster["node1"]
        names = Commands(node, Levers(node, drain=lambda: None)).namespace()
        printed = re.sub(r"inside:\d+", "10.0.0.2:6389", repr(eval(source, {}, names)))
        return printed.replace("the node node3 does not run", "111: Connection refused")
