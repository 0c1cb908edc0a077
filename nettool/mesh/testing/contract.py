"""
The tests of a transport.

In: a transport.  Out: tests.  Never: an assertion about time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import CannotListenError, ConnectError

from nettool.mesh.envelope import Added, Disconnected, Envelope, Event, Removed
from nettool.mesh.errors import AlreadyInUse, ConnectionGone, FrameTooLong, MeshClosed, NotFound, UnknownScheme
from nettool.mesh.interfaces import IConnection, IListener, ITransport
from nettool.mesh.mesh import Mesh
from nettool.mesh.testing.ends import BOUND, TURNS, Ends, fails, fill, turn


class TransportContract:
    """Tests of a transport.  A subclass says which, and where it may listen."""

    def transport(self) -> Any:
        """A transport; the same for both ends, unless `connector` says otherwise."""
        raise NotImplementedError

    def connector(self) -> Any:
        """The transport of who connects."""
        return self.transport()

    def address(self) -> str:
        """Where to listen: another place each time, or one whose port is 0."""
        raise NotImplementedError

    @asynccontextmanager
    async def ends(self, *ids: str, there: bool = True) -> AsyncIterator[Ends]:
        """Connections by these ids; without `there`, their far ends are `loose`.  All is closed in the end."""
        listener = await self.transport().listen(self.address())
        connector = self.connector()
        ends = Ends()
        try:
            for id in ids:
                ends.here.add(await connector.connect(listener.endpoint), id)
                far = await listener.accept(BOUND)
                if there:
                    ends.there.add(far, id)
                else:
                    ends.loose.append(far)
            yield ends
        finally:
            await listener.close()
            for far in ends.loose:
                far.abort()
            await ends.here.close(0)
            await ends.there.close(0)

    # Connections

    async def test_it_says_what_it_is(self) -> None:
        transport = self.transport()
        assert ITransport.providedBy(transport) and transport.schemes
        listener = await transport.listen(self.address())
        assert IListener.providedBy(listener)
        near = await self.connector().connect(listener.endpoint)
        far = await listener.accept(BOUND)
        for connection in (near, far):
            assert IConnection.providedBy(connection)
            assert connection.local_endpoint.partition("://")[0] == listener.endpoint.partition("://")[0]
        assert not near.lost.called and "open" in repr(near)
        await listener.close()
        near.abort()
        assert isinstance(await near.lost, BaseException)
        assert isinstance(await near.lost, BaseException), "whoever asks is told"
        far.abort()
        assert isinstance(await far.lost, BaseException)

    async def test_an_address_of_another_scheme_is_refused_by_name(self) -> None:
        for call in (self.transport().listen, self.connector().connect):
            error = await fails(call("gopher://there:70"), UnknownScheme)
            assert "gopher" in str(error)

    async def test_a_second_listener_at_one_address_is_refused_and_the_first_goes_on(self) -> None:
        listener = await self.transport().listen(self.address())
        await fails(self.transport().listen(listener.endpoint), CannotListenError)
        near = await self.connector().connect(listener.endpoint)
        far = await listener.accept(BOUND)
        await listener.close()
        near.abort()
        far.abort()

    async def test_nobody_is_there(self) -> None:
        listener = await self.transport().listen(self.address())
        await listener.close()
        await fails(self.connector().connect(listener.endpoint), ConnectError)
        again = await self.transport().listen(listener.endpoint)
        await again.close()

    async def test_accept_waits_times_out_and_can_be_cancelled(self) -> None:
        listener = await self.transport().listen(self.address())
        await fails(listener.accept(0), TimeoutError)
        cancelled, first = listener.accept(), listener.accept()
        cancelled.cancel()
        await fails(cancelled, CancelledError)
        near = await self.connector().connect(listener.endpoint)
        far = await first
        last = listener.accept()
        await listener.close()
        await fails(last, MeshClosed)
        await fails(listener.accept(), MeshClosed)
        near.abort()
        far.abort()

    async def test_a_listener_is_iterated_until_it_is_closed(self) -> None:
        listener = await self.transport().listen(self.address())
        near = [await self.connector().connect(listener.endpoint) for _ in range(3)]
        far = []
        async for connection in listener:
            far.append(connection)
            if len(far) == 3:
                await listener.close()
        for connection in near + far:
            connection.abort()

    async def test_connections_that_nobody_accepted_are_closed_with_their_listener(self) -> None:
        listener = await self.transport().listen(self.address())
        near = await self.connector().connect(listener.endpoint)
        reading = near.recv(BOUND)
        await turn(TURNS)
        await listener.close()
        await fails(reading, ConnectionGone)

    # Outside a mesh

    async def test_a_connection_outside_a_mesh_sends_and_receives(self) -> None:
        async with self.ends("a", there=False) as ends:
            far = ends.loose[0]
            near = await ends.here.remove("a")
            await fails(far.recv(0), TimeoutError)
            cancelled = far.recv()
            cancelled.cancel()
            await fails(cancelled, CancelledError)
            for payload in (b"", b"one", b"2" * 100_000):
                await near.send(payload)
            assert [await far.recv(BOUND) for _ in range(3)] == [b"", b"one", b"2" * 100_000]
            await far.send(b"back")
            assert await near.recv(BOUND) == b"back"
            await far.send(b"the last")
            await far.close()
            assert await near.recv(BOUND) == b"the last"
            await fails(near.recv(BOUND), ConnectionGone)
            await near.close()

    async def test_a_connection_is_in_one_mesh_only(self) -> None:
        async with self.ends("a", there=False) as ends:
            [far] = ends.loose
            waiting = far.recv()
            try:
                ends.there.add(far, "a")
            except AlreadyInUse:
                waiting.cancel()
            await fails(waiting, CancelledError)
            ends.there.add(far, "a")
            await fails(far.recv(), AlreadyInUse)
            await fails(far.send(b""), AlreadyInUse)
            try:
                Mesh().add(far, "b")
            except AlreadyInUse:
                return
            raise AssertionError("a connection was added to two meshes")

    # Envelopes

    async def test_envelopes_of_all_sizes_arrive_whole_and_in_order(self) -> None:
        sizes = [0, 1, 2, 125, 126, 127, 65_535, 65_536, 262_143, 262_144, 1_000_000, 3, 3_000_000, 0, 5]
        async with self.ends("a") as ends:
            payloads = [bytes([number]) * size for number, size in enumerate(sizes)]
            for payload in payloads:
                await ends.here.send_when_ready(Envelope("a", payload))
                await ends.there.send_when_ready(Envelope("a", payload[::-1]))
            assert [(await ends.there.recv(BOUND)).payload for _ in sizes] == payloads
            assert [(await ends.here.recv(BOUND)).payload for _ in sizes] == [p[::-1] for p in payloads]

    async def test_many_small_ones_are_all_received_by_id(self) -> None:
        async with self.ends("a", "b", "c") as ends:
            sent = {id: [b"%s %d" % (id.encode(), number) for number in range(2_000)] for id in "abc"}
            received: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
            for start in range(0, 2_000, 50):
                for id in "abc":
                    for payload in sent[id][start : start + 50]:
                        await ends.here.send_when_ready(Envelope(id, payload))
                while sum(map(len, received.values())) < 3 * (start + 50):
                    for envelope in await ends.there.recv_many(7, BOUND):
                        received[str(envelope.id)].append(envelope.payload)
            assert received == sent

    # Bounds

    async def test_who_never_reads_fills_his_own_queue_and_nobody_elses(self) -> None:
        async with self.ends("slow", "well", there=False) as ends:
            slow, well = ends.loose
            ends.there.add(well, "well")
            taken = await fill(ends.here, "slow")
            assert ends.here.stats()["slow"].queued_out == 16
            assert ends.here.stats()["slow"].blocked_since is not None
            for number in range(100):
                ends.here.send(Envelope("well", b"%d" % number))
                assert (await ends.there.recv(BOUND)).payload == b"%d" % number
            ends.there.add(slow, "slow")
            assert [(await ends.there.recv(BOUND)).payload for _ in taken] == taken
            await ends.here.send_when_ready(Envelope("slow", b"again"))
            assert await ends.there.recv(BOUND) == Envelope("slow", b"again")

    async def test_who_waits_for_room_gets_it_in_order_and_may_give_up(self) -> None:
        async with self.ends("a", there=False) as ends:
            taken = await fill(ends.here, "a")
            first, given_up, second = (ends.here.send_when_ready(Envelope("a", word)) for word in (b"1", b"no", b"2"))
            await turn(TURNS)
            assert not first.called
            given_up.cancel()
            await fails(given_up, CancelledError)
            ends.there.add(ends.loose[0], "a")
            received = [(await ends.there.recv(BOUND)).payload for _ in range(len(taken) + 2)]
            assert received == [*taken, b"1", b"2"]
            await first
            await second

    async def test_a_full_incoming_queue_pauses_fairly(self) -> None:
        async with self.ends("a", "b", "c") as ends:
            for id in "abc":
                await fill(ends.here, id, 1_000)
            stats = ends.there.stats()
            assert sum(stats[id].queued_in for id in "abc") >= 64
            assert [id for id in "abc" if stats[id].paused_since is None] == []
            # One round: each of the others may put in a queue's worth before it is this one's turn again.
            order = [(await ends.there.recv(BOUND)).id for _ in range(5 * 64)]
            assert set(order[: 3 * 64]) == set("abc")
            assert set(order[64 : 4 * 64]) == set("abc")

    async def test_an_envelope_that_is_too_long_ends_that_connection_alone(self) -> None:
        async with self.ends("a", "b", there=False) as ends:
            small = Mesh(max_envelope=1000)
            told: list[Event] = []
            small.subscribe(told.append)
            for far, id in zip(ends.loose, "ab", strict=True):
                small.add(far, id)
            ends.here.send(Envelope("a", b"x" * 1000))
            ends.here.send(Envelope("a", b"x" * 1001))
            ends.here.send(Envelope("a", b"after"))
            assert (await small.recv(BOUND)).payload == b"x" * 1000
            event = await ends.disconnected(told)
            assert event.id == "a" and "1001" in str(event.reason)
            assert isinstance(event.reason, FrameTooLong) or type(event.reason).__name__ == "BadMessage"
            assert (await ends.disconnected(ends.told_here)).id == "a"
            ends.here.send(Envelope("b", b"well"))
            assert await small.recv(BOUND) == Envelope("b", b"well")
            await small.close(0)

    # Ends

    async def test_a_close_is_noticed_after_all_that_was_sent(self) -> None:
        async with self.ends("a") as ends:
            for number in range(10):
                ends.here.send(Envelope("a", b"%d" % number))
            await ends.here.close()
            assert ends.told_here == [Added("a"), Disconnected("a", ends.told_here[1].reason, [])]  # type: ignore[union-attr]
            assert isinstance(ends.told_here[1].reason, MeshClosed)  # type: ignore[union-attr]
            assert [(await ends.there.recv(BOUND)).payload for _ in range(10)] == [b"%d" % n for n in range(10)]
            event = await ends.disconnected(ends.told_there)
            assert event == Disconnected("a", event.reason, [])
            try:
                ends.there.send(Envelope("a", b"too late"))
            except NotFound as error:
                assert error.envelope == Envelope("a", b"too late")

    async def test_what_was_not_sent_when_a_connection_ends_is_told(self) -> None:
        async with self.ends("a", there=False) as ends:
            taken = await fill(ends.here, "a")
            waiting = ends.here.send_when_ready(Envelope("a", b"waiting"))
            [far] = ends.loose
            received = [await far.recv(BOUND) for _ in range(3)]
            far.abort()
            event = await ends.disconnected(ends.told_here)
            error = await fails(waiting, ConnectionGone)
            assert error.envelope == Envelope("a", b"waiting")
            unsent = [envelope.payload for envelope in event.unsent]
            assert received == taken[:3]
            assert unsent == taken[len(taken) - len(unsent) :] and len(unsent) >= 16
            assert {envelope.id for envelope in event.unsent} == {"a"}

    async def test_remove_sends_what_is_queued_and_hands_the_live_connection_back(self) -> None:
        async with self.ends("a", there=False) as ends:
            [far] = ends.loose
            for number in range(200):
                await far.send(b"%d" % number)  # more than the queue has room for
            first = await ends.here.recv(BOUND)
            taken = await fill(ends.here, "a")
            removing = ends.here.remove("a")
            try:
                ends.here.send(Envelope("a", b"too late"))
            except NotFound:
                pass
            assert [await far.recv(BOUND) for _ in taken] == taken
            near = await removing
            assert ends.told_here == [Added("a"), Removed("a")]
            queued = [first] + [await ends.here.recv(BOUND) for _ in range(len(ends.here._incoming))]
            assert {envelope.id for envelope in queued} == {"a"}
            rest = [await near.recv(BOUND) for _ in range(200 - len(queued))]
            assert [*(envelope.payload for envelope in queued), *rest] == [b"%d" % number for number in range(200)]
            ends.here.add(near, "again")
            await far.send(b"alive")
            assert await ends.here.recv(BOUND) == Envelope("again", b"alive")

    async def test_where_nothing_is_queued_no_time_is_enough_to_remove(self) -> None:
        async with self.ends("a") as ends:
            await (await ends.here.remove("a", 0)).close()

    async def test_a_remove_that_takes_too_long_leaves_the_connection_where_it_was(self) -> None:
        async with self.ends("a", there=False) as ends:
            [far] = ends.loose
            taken = await fill(ends.here, "a")
            await fails(ends.here.remove("a", 0), TimeoutError)
            removing = ends.here.remove("a")
            await fails(ends.here.remove("a"), NotFound)
            removing.cancel()
            await fails(removing, CancelledError)
            assert [await far.recv(BOUND) for _ in taken] == taken
            await ends.here.send_when_ready(Envelope("a", b"and on"))
            assert await far.recv(BOUND) == b"and on"
            await far.send(b"back")
            assert await ends.here.recv(BOUND) == Envelope("a", b"back")

    async def test_a_close_that_is_cancelled_ends_the_connection_once(self) -> None:
        async with self.ends("a", there=False) as ends:
            await fill(ends.here, "a")
            try:
                await ends.here.remove("a", 0)
            except TimeoutError:
                pass
            [far] = ends.loose
            cancelled, closing = far.close(), far.close()
            cancelled.cancel()
            await fails(cancelled, CancelledError)
            await closing
            assert isinstance(await far.lost, BaseException)
            await fails(far.recv(BOUND), ConnectionGone)

    async def test_a_close_that_takes_too_long_is_cut_off_and_told(self) -> None:
        async with self.ends("slow", "well", there=False) as ends:
            _slow, well = ends.loose
            taken = await fill(ends.here, "slow")
            ends.here.send(Envelope("well", b"the last"))
            closing = ends.here.close(0.05)
            assert await well.recv(BOUND) == b"the last"
            await closing
            event = next(e for e in ends.told_here if isinstance(e, Disconnected) and e.id == "slow")
            unsent = [envelope.payload for envelope in event.unsent]
            assert unsent and unsent == taken[len(taken) - len(unsent) :]
            assert isinstance(event.reason, MeshClosed)
