"""Connections inside the process: what was taken arrived or is unsent, wherever they end; names are the process's."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock

from nettool.mesh import ConnectionGone, Disconnected, Envelope, FrameTooLong, Mesh, NotFound, QueueFull, transport
from nettool.mesh.testing import fails
from nettool.settings import KERNEL_SEND_BUFFER
from tests.mesh.test_mesh import result_of

_names = count()


async def test_each_end_takes_envelopes_as_long_as_its_transport_was_told() -> None:
    wide, narrow = transport("inproc", max_envelope=20 * 1024 * 1024), transport("inproc", max_envelope=10)
    for here, there, arrives in ((wide, wide, True), (wide, narrow, False), (narrow, wide, True)):
        listener = await there.listen(f"inproc://ends-{next(_names)}")
        near = await here.connect(listener.endpoint)
        far = await listener.accept()
        longest = b"x" * (10 if here is narrow else 18 * 1024 * 1024)
        await near.send(longest)
        if arrives:
            assert await far.recv(10) == longest
        else:
            failure = await fails(far.recv(10), ConnectionGone)
            assert isinstance(failure.reason, FrameTooLong)
        near.abort()
        await gatherResults([near.lost, listener.close()])
        far.abort()


class Pair:
    """A connection in a mesh, and its far end, which is in none."""

    def __init__(self, **capacities: int) -> None:
        self.clock = Clock()
        inproc = transport("inproc", reactor=self.clock)
        listener = result_of(inproc.listen(f"inproc://pair-{next(_names)}"))
        self.mesh = Mesh(reactor=self.clock, **capacities)
        self.told: list[Any] = []
        self.mesh.subscribe(self.told.append)
        self.near = result_of(inproc.connect(listener.endpoint))
        self.mesh.add(self.near, "a")
        self.far = result_of(listener.accept())
        result_of(listener.close())
        self.taken: list[bytes] = []
        self.arrived: list[bytes] = []

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(0)

    def send(self, payloads: list[bytes]) -> None:
        refused = 0
        try:
            self.mesh.send_many(Envelope("a", payload) for payload in payloads)
        except (QueueFull, NotFound, ConnectionGone) as error:
            refused = len(error.envelopes)
        self.taken += payloads[: len(payloads) - refused]

    def receive(self) -> bool:
        """Receive one, if one is there, or comes soon."""
        receiving = self.far.recv()
        self.turn(3)
        payload = result_of(receiving)
        if isinstance(payload, bytes):
            self.arrived.append(payload)
            return True
        if payload == "waits":
            receiving.cancel()
        return False


STEPS = st.lists(st.sampled_from(["send", "send large", "turn", "receive", "receive many"]), max_size=20)
ENDS = ["far.abort", "far.close", "near.abort", "near.close"]


@given(STEPS, st.sampled_from(ENDS), st.integers(0, 3), st.data())
def test_what_was_taken_arrives_or_is_unsent(steps: list[str], end: str, turns: int, data: Any) -> None:
    pair = Pair(outgoing_capacity=3)
    for step in steps:
        if step.startswith("send"):
            size = KERNEL_SEND_BUFFER // 3 if step == "send large" else 1
            start = len(pair.taken)
            pair.send([bytes([(start + n) % 256]) * size for n in range(data.draw(st.integers(1, 6)))])
        elif step == "turn":
            pair.turn()
        elif pair.receive() and step == "receive many":
            while pair.receive():
                pass
    end_of, how = end.split(".")
    getattr(getattr(pair, end_of), how)()
    pair.turn(turns)
    if data.draw(st.booleans()):
        pair.send([b"late"])
    while pair.receive():
        pass
    pair.clock.advance(10)
    pair.turn(5)
    while pair.receive():
        pass
    [event] = [event for event in pair.told if isinstance(event, Disconnected)]
    assert pair.arrived + [envelope.payload for envelope in event.unsent] == pair.taken
    assert isinstance(result_of(pair.far.recv()), ConnectionGone)
    assert not pair.clock.getDelayedCalls()


def test_a_name_belongs_to_one_listener_until_that_is_closed() -> None:
    clock = Clock()
    here, there = transport("inproc", reactor=clock), transport(reactor=clock)
    listener = result_of(here.listen("inproc://mine"))
    assert isinstance(result_of(there.listen("inproc://mine")), CannotListenError)
    result_of(listener.close())
    again = result_of(there.listen("inproc://mine"))
    assert result_of(listener.close()) is None  # closing the first again takes nothing from the second
    assert isinstance(result_of(here.listen("inproc://mine")), CannotListenError)
    result_of(again.close())


@pytest.mark.parametrize("address", ["inproc://", "inproc:", "mine"])
def test_an_address_without_a_name_is_refused(address: str) -> None:
    for call in (transport("inproc", reactor=Clock()).listen, transport("inproc", reactor=Clock()).connect):
        assert isinstance(result_of(call(address)), ValueError)
