"""Two linked nodes as the benchmark starts and measures them, against the real servers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bench import connections
from bench.across import Carried, SlowAcross
from bench.check import check_contents
from bench.connections import RunFailed, _reach, connected, settle
from bench.dialects import Nettool
from bench.identities import certificate_for, trusted_nodes
from bench.launch import running
from bench.measures import Bed
from bench.plan import Addresses, Peer, Plan
from bench.relay import Relay
from bench.report import Results, Row, as_text
from bench.rounds import Run
from bench.servers import SERVERS, Place
from bench.settings import Settings
from bench.workloads import WORKLOADS

KEYS = [
    "nettool",
    pytest.param("nats", marks=pytest.mark.system("nats-server")),
    pytest.param("nats-tls", marks=pytest.mark.system("nats-server")),
]
ALICE, BOB, CAROL = Peer(b"peer000"), Peer(b"peer001", (b"#tea",), 1), Peer(b"peer002", (b"#tea",), 1)
DAVE = Peer(b"peer003", (b"#milk",))
LINES: dict[bytes, tuple[Addresses, ...]] = {
    ALICE.name: ((BOB.name,), (b"#tea",)) * 50,
    CAROL.name: ((ALICE.name,), (b"#milk",)) * 50,
}
PLAN = Plan((ALICE, BOB, CAROL, DAVE), LINES, 32)


@pytest.mark.parametrize("key", KEYS)
def test_lines_cross_both_ways_from_the_first_one_on_each_as_it_is_due(key: str) -> None:
    dialect = SERVERS[key].dialect
    with running(SERVERS[key], None, nodes=2) as nodes, connected(nodes, PLAN.peers) as sockets:
        assert len(set(nodes.ports)) == len(set(nodes.pids)) == 2
        check_contents(PLAN, dialect, sockets)
        settle(sockets, dialect)


@pytest.mark.parametrize("key", KEYS)
def test_the_way_between_the_nodes_is_what_its_key_says(key: str, tmp_path: Path) -> None:
    places = [Place(number, number + 1, number + 11, number + 21, tmp_path / str(number)) for number in (0, 1)]
    for place in places:
        place.directory.mkdir()
    command = " ".join(SERVERS[key].command("program", places, 0, True))
    said = command + "".join(path.read_text() for path in (tmp_path / "0").glob("*.conf"))
    assert "127.0.0.1:22" in said  # the other one, the way it is to be dialled
    assert ("tls {" in said) == (key == "nats-tls")
    assert ("--trusted-nodes" in said) == (key == "nettool")


def _carried(key: str, hearers: tuple[Peer, ...]) -> float:
    plan = Plan((ALICE, *hearers, Peer(b"peer009", node=1)), {ALICE.name: ((b"#tea",),) * 1000}, 32)
    measure, bed = Carried(), Bed(SERVERS[key], Settings(), plan)
    return measure.run(bed, 1000).figures["carried"]


@pytest.mark.parametrize("key", KEYS)
def test_a_topic_that_nobody_hears_there_is_not_carried_and_any_other_once(key: str) -> None:
    here = tuple(Peer(b"peer00%d" % number, (b"#tea",)) for number in (1, 2, 3))
    there = tuple(Peer(peer.name, peer.topics, 1) for peer in here)
    assert _carried(key, here) == 0
    assert 32 <= _carried(key, there) < 2 * 32


def test_the_pair_that_is_stuck_is_held_back_and_the_others_lose_nothing() -> None:
    row = WORKLOADS["across-slow"]
    bed = Bed(SERVERS["nettool"], Settings(), row.plan(Settings().mix, 8192))
    # Four times what may be under way to the one who does not read.
    outcome = SlowAcross().run(bed, 4 * 1024 * 1024 // 512)
    assert outcome.figures["lost"] == 0
    assert set(outcome.figures) == {quantity.key for quantity in SlowAcross.quantities}
    sent, back = (int(word) for word in outcome.remark.split() if word.isdigit())
    assert sent - back < 32, "MiB: more than a window, and what kernels hold, is kept for the one who does not read"


def test_nodes_that_are_not_linked_fail_a_run_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.1)
    (asks, deaf), (hears, dumb) = socket.socketpair(), socket.socketpair()
    with asks, deaf, hears, dumb, pytest.raises(RunFailed, match="not linked"):
        _reach(Nettool(), ALICE, asks, BOB, hears)


def test_a_relay_counts_both_ways() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Relay() as relay:
        port = relay.leads_to(listener.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port)) as one, listener.accept()[0] as other:
            one.sendall(b"12345")
            assert other.recv(100) == b"12345"
            other.sendall(b"123")
            assert one.recv(100) == b"123"
            assert relay.carried == 8
            other.shutdown(socket.SHUT_RDWR)
            assert one.recv(100) == b""


def test_keys_are_made_once_and_known_to_all(tmp_path: Path) -> None:
    states = {b"bench0": tmp_path / "0", b"bench1": tmp_path / "1"}
    lines = trusted_nodes(states)
    assert [line.split()[0] for line in lines] == ["bench0", "bench1"]
    assert trusted_nodes(states) == lines
    first = certificate_for(tmp_path / "key.pem", "127.0.0.1").read_text()
    assert certificate_for(tmp_path / "key.pem", "127.0.0.1").read_text() == first


def test_a_table_has_no_column_for_a_server_that_is_not_measured_so() -> None:
    rate = Carried.quantities
    rows = (Row("one", "", "alone", 32, "", rate), Row("across", "", "two nodes", 32, "", rate))
    runs = (Run("one", "a", 1, {"carried": 1.0}), Run("across", "b", 1, {"carried": 2.0}))
    alone, linked = as_text(Results({}, rows, {"a": "Ay", "b": "Bee"}, runs)).split("\n\n")
    assert "Ay" in alone and "Bee" not in alone
    assert "Bee" in linked and "Ay" not in linked
