"""What is sent: texts, receivers, and the table of workloads."""

from __future__ import annotations

from functools import cache

import pytest

from bench.crowd import IdlePeers, Logins
from bench.dialects import Mosquitto, Nats, Nettool, Redis
from bench.load import encode
from bench.plan import Peer, Plan, peer_name
from bench.settings import Mix
from bench.workloads import WORKLOADS, Workload

SMALL = Mix(senders=6, topics=3, hearers=2, shared=True)
BLOCK_BYTES = 64 * 1024
WITH_LINES = [row for row in WORKLOADS.values() if not isinstance(row.measure, IdlePeers | Logins)]


@pytest.mark.parametrize("text_bytes", [8, 32, 16384])
def test_no_two_texts_of_a_block_are_alike(text_bytes: int) -> None:
    plan = Plan((), {}, text_bytes)
    texts = [plan.text(peer_name(sender), number) for sender in (0, 1, 63) for number in (0, 1, 99, 16_383)]
    assert len(set(texts)) == len(texts)
    assert {len(text) for text in texts} == {text_bytes}


def test_a_sender_hears_itself_on_a_topic_only_where_the_server_echoes() -> None:
    alice, bob = Peer(b"alice", (b"#tea",)), Peer(b"bob", (b"#tea",))
    plan = Plan((alice, bob), {}, 8)
    assert plan.receivers(b"alice", b"#tea") == (bob,)
    assert plan.receivers(b"alice", b"#tea", echoes=True) == (alice, bob)
    assert plan.receivers(b"alice", b"alice") == (alice,)
    assert plan.without(bob).receivers(b"alice", b"#tea") == ()


@pytest.mark.parametrize("row", WITH_LINES, ids=lambda row: row.key)
def test_the_same_workload_is_the_same_plan_every_time(row: Workload) -> None:
    plan = _plan(row.key)
    assert plan == row.plan(SMALL, BLOCK_BYTES)
    assert all(len(peer.name) == 7 for peer in plan.peers)
    assert {len(plan.text(peer_name(0), number)) for number in range(9)} == {row.text_bytes}


@cache
def _plan(key: str) -> Plan:
    return WORKLOADS[key].plan(SMALL, BLOCK_BYTES)


@pytest.mark.parametrize("row", WITH_LINES, ids=lambda row: row.key)
@pytest.mark.parametrize("dialect", [Nettool(), Nats(), Redis(), Mosquitto()], ids=lambda one: type(one).__name__)
def test_what_is_due_is_known_to_the_byte(row: Workload, dialect: Nettool | Nats | Redis | Mosquitto) -> None:
    plan = _plan(row.key).cut(3)
    due: dict[bytes, int] = {}
    deliveries = 0
    for sender, lines in plan.lines.items():
        for number, addresses in enumerate(lines):
            for address in addresses:
                for receiver in plan.receivers(sender, address, dialect.echoes):
                    said = dialect.delivery(plan.peer(sender), address, receiver, plan.text(sender, number))
                    due[receiver.name] = due.get(receiver.name, 0) + len(said)
                    deliveries += 1
    block = encode(plan, dialect)
    assert block.due == due
    assert block.deliveries == deliveries


def test_every_size_has_its_row_in_both_families() -> None:
    for family in ("one", "names"):
        sizes = {row.text_bytes: row.key for row in WORKLOADS.values() if row.family == family}
        expected = {8: "8", 32: "", 128: "128", 512: "512", 1024: "1k", 4096: "4k", 16384: "16k"}
        assert sizes == {size: family + name for size, name in expected.items()}


def test_a_first_look_has_something_of_each_kind_but_memory() -> None:
    kinds = {type(row.measure) for row in WORKLOADS.values() if row.nodes == 1}
    assert kinds - {type(row.measure) for row in WORKLOADS.values() if row.quick} == {IdlePeers}
    assert any(row.quick for row in WORKLOADS.values() if row.nodes > 1)


@pytest.mark.parametrize("row", WITH_LINES, ids=lambda row: row.key)
def test_a_workload_says_how_many_nodes_its_peers_are_on(row: Workload) -> None:
    assert _plan(row.key).nodes == row.nodes


CROSSING = [row for row in WITH_LINES if row.key.startswith("across") and row.key != "across-unheard"]


@pytest.mark.parametrize("row", CROSSING, ids=lambda row: row.key)
def test_every_line_of_a_workload_of_two_nodes_crosses(row: Workload) -> None:
    plan = _plan(row.key).cut(50)
    for sender, lines in plan.lines.items():
        for (address,) in lines:
            receivers = plan.receivers(sender, address)
            assert receivers and all(receiver.node != plan.peer(sender).node for receiver in receivers)
