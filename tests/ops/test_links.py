"""What an operator sees of other nodes: in metrics, lists, at the prompt, and in the dump."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from nettool.embed.cable import Cut
from nettool.embed.cluster import Cluster
from nettool.errors import LinkEnd
from nettool.ops import metrics, snapshots
from nettool.ops.console.commands import Commands
from nettool.ops.dump import rows_of
from nettool.ops.levers import LeverError, Levers
from nettool.ops.links import Link, There
from nettool.ops.logs.plain import plain
from nettool.ops.queues import queues
from tests.cluster.peers import Talker, adds_up, log_in
from tests.ops.test_metrics import Page, expect_balance, expect_growth, page_of
from tests.ops.web.browsers import Asker
from tests.support.street import kibibytes

KIB = 1024
MODES = ("direct", "broadcast")
PHASES = ("outgoing-buffer", "outgoing-transfer", "incoming-buffer")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(
        ["node1", "node2", "node3"], remote_window="64KiB", outbox_bytes="256KiB", max_line="16KiB"
    ) as cluster:
        yield cluster


@pytest.fixture
def names(cluster: Cluster) -> dict[str, Any]:
    """What there is at the prompt of node1."""
    node = cluster["node1"]
    return Commands(node, Levers(node, drain=lambda: None)).namespace()


def ask(names: dict[str, Any], source: str) -> str:
    return repr(eval(source, {}, names))


def web(cluster: Cluster, node: str = "node1") -> Asker:
    return Asker(SimpleNamespace(service=cluster[node]))  # type: ignore[arg-type]


def scrape(cluster: Cluster, node: str = "node1") -> Page:
    return page_of(metrics.exposition(cluster[node]))


def one(cluster: Cluster, node: str = "node2") -> Link:
    [found] = [link for link in snapshots.links(cluster["node1"]) if link.node == node]
    return found


def slow_bob(cluster: Cluster) -> tuple[Talker, Talker]:
    """Alice, on node1, writes more to bob, on node2, who reads nothing, than his window holds."""
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    bob.stop_reading()
    for _ in range(40):
        alice.say(*(b"bob: " + text for text in kibibytes(100)))
        cluster.settle(0.05)
    return alice, bob


# --- metrics


def test_a_page_tells_links_and_their_phases_by_mode(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob", b"/join #t")
    alice.say(b"bob: 1", b"#t: 2", b"bob: 3")
    cluster.settle()
    bob.say(b"alice: 4")
    cluster.settle()
    page = scrape(cluster)
    assert page["nettool_links"] == {("up",): 2, ("connecting",): 0, ("down",): 0}
    assert page["nettool_link_peers"] == {(): 1}
    finished = page["nettool_link_phase_finished_total"]
    assert finished == page["nettool_link_phase_started_total"]
    assert set(finished) == {(mode, phase) for mode in MODES for phase in PHASES}
    assert [finished["direct", phase] for phase in PHASES] == [2, 2, 1]
    assert [finished["broadcast", phase] for phase in PHASES] == [1, 1, 0]
    assert page["nettool_link_phase_bytes_total"]["direct", "incoming-buffer"] > 0
    assert page["nettool_link_phase_seconds_total"]["direct", "outgoing-transfer"] > 0
    assert set(page["nettool_link_phase_in_flight"].values()) == {0}
    assert {(end.value,) for end in LinkEnd} == page["nettool_link_ends_total"].keys()
    expect_balance(page)


def test_no_page_has_more_samples_for_more_nodes_peers_and_topics(cluster: Cluster) -> None:
    before = {name: set(values) for name, values in scrape(cluster).items()}
    links = cluster["node1"].links
    assert links is not None
    for number in range(20):
        links.know(b"far%d" % number)
        log_in(cluster, "node2", b"peer%d" % number, b"/join #topic%d" % number)
    assert {name: set(values) for name, values in scrape(cluster).items()} == before
    assert scrape(cluster)["nettool_links"] == {("up",): 2, ("connecting",): 0, ("down",): 20}


def test_a_link_that_is_down_is_told_with_how_long_and_what_waits(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    cluster.cut("node1", "node2")
    alice.say(b"bob@node2: 1", b"bob@node2: 2")
    cluster.settle(7.0)
    page = scrape(cluster)
    assert page["nettool_links"] == {("up",): 1, ("connecting",): 0, ("down",): 1}
    assert page["nettool_link_longest_down_seconds"][()] == pytest.approx(7.0, abs=0.1)
    assert page["nettool_link_queued_lines"] == {(): 2} and page["nettool_link_queued_bytes"][()] > 0
    assert page["nettool_link_ends_total"]["lost",] >= 1 < page["nettool_link_ends_total"]["unreachable",]
    assert page["nettool_link_phase_in_flight"]["direct", "outgoing-buffer"] == 2
    expect_balance(page)


def test_a_confirmation_that_does_not_come_is_told_until_the_link_is_dead(cluster: Cluster) -> None:
    alice, bob = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    cluster.cut("node1", "node2", Cut.SILENT)
    alice.say(b"bob: 1")
    cluster.settle(5.0)
    page = scrape(cluster)
    assert page["nettool_link_unconfirmed_seconds"][()] == pytest.approx(5.0, abs=0.1)
    assert page["nettool_link_unconfirmed_lines"] == {(): 1} and page["nettool_link_unconfirmed_bytes"][()] > 0
    cluster.settle(40.0)
    page = scrape(cluster)
    assert page["nettool_link_unconfirmed_seconds"] == {(): 0}, "no link, no confirmation to wait for"
    assert page["nettool_link_ends_total"]["silent",] == 1
    cluster.mend("node1", "node2")
    cluster.settle(60.0)
    page = scrape(cluster)
    assert page["nettool_link_resent_lines_total"] == {(): 1}
    assert bob.heard() == [b"from alice@node1: 1"]
    expect_balance(page)


def test_a_slow_receiver_elsewhere_is_told_by_those_who_wait_for_him(cluster: Cluster) -> None:
    slow_bob(cluster)
    page = scrape(cluster)
    assert page["nettool_link_slow_receivers"] == {(): 1} == page["nettool_paused_peers"]
    assert page["nettool_links"]["up",] == 2
    expect_balance(page)


def test_no_counter_becomes_less_when_nodes_come_and_go(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    links = cluster["node1"].links
    assert links is not None
    page = scrape(cluster)
    for step in (
        lambda: alice.say(b"bob@node2: 1", b"bob@node3: 2"),
        lambda: cluster.cut("node1", "node3"),
        lambda: alice.say(b"bob@node3: 3"),
        lambda: links.forget(b"node3"),
        lambda: cluster.kill("node2"),
        lambda: cluster.start("node2"),
        lambda: links.know(b"node3", [cluster.endpoint("node1", "node3")]),
        lambda: cluster.mend("node1", "node3"),
    ):
        step()
        cluster.settle(2.0)
        before, page = page, scrape(cluster)
        expect_growth(before, page)
        expect_balance(page)
        for phase, started in page["nettool_link_phase_started_total"].items():
            finished = page["nettool_link_phase_finished_total"][phase]
            assert started == finished + page["nettool_link_phase_in_flight"][phase]


def test_a_node_alone_tells_nothing_of_links_but_that_there_are_none() -> None:
    with Cluster(["node1"]) as cluster:
        node = cluster["node1"]
        node.links = None
        page = scrape(cluster)
        assert page["nettool_links"] == {("up",): 0, ("connecting",): 0, ("down",): 0}
        assert not [name for name in page if name.startswith("nettool_link_")]


# --- lists


def test_links_are_a_list_with_sort_limit_and_offset(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    cluster.cut("node1", "node3")
    alice.say(b"bob@node3: waits")
    cluster.settle(2.0)
    told = web(cluster).ask("/api/links").json
    assert told["total"] == 2 and [link["node"] for link in told["links"]] == ["node2", "node3"]
    up, down = told["links"]
    assert (up["state"], up["advice"], up["peers"]) == ("up", "", 0)
    assert (down["state"], down["queued_lines"], down["address"]) == ("down", 1, "")
    assert down["last_end"] in ("lost", "unreachable") and "see whether that node runs" in down["advice"]
    assert down["state_for"] == pytest.approx(2.0, abs=0.1) == down["oldest"]
    for query, expected in (
        ("sort=-queued_bytes", ["node3", "node2"]),
        ("sort=state", ["node3", "node2"]),
        ("limit=1", ["node2"]),
        ("limit=1&offset=1", ["node3"]),
        ("sort=-node&limit=1", ["node3"]),
    ):
        told = web(cluster).ask(f"/api/links?{query}").json
        assert ([link["node"] for link in told["links"]], told["total"]) == (expected, 2), query
    for name in Link.__dataclass_fields__:
        assert web(cluster).ask(f"/api/links?sort={name}").status == 200
    assert web(cluster).ask("/api/links?sort=colour").status == 400


def test_peers_are_those_of_this_node_and_say_so(cluster: Cluster) -> None:
    log_in(cluster, "node1", b"alice")
    log_in(cluster, "node2", b"bob")
    for node, name in (("node1", "alice"), ("node2", "bob")):
        told = web(cluster, node).ask("/api/peers").json
        assert [(peer["name"], peer["node"]) for peer in told["peers"]] == [(name, node)] and told["total"] == 1


def test_stats_tell_links_and_add_up(cluster: Cluster) -> None:
    alice = log_in(cluster, "node1", b"alice")
    cluster.cut("node1", "node2")
    alice.say(b"bob@node2: 1")
    cluster.settle(1.0)
    stats = web(cluster).ask("/api/stats").json
    assert stats["links"]["states"] == {"up": 1, "connecting": 0, "down": 1}
    assert stats["links"]["queued_lines"] == stats["ledger"]["queued"] == 1
    assert stats["links"]["ends"]["lost"] >= 1
    assert {(phase["mode"], phase["phase"]) for phase in stats["links"]["phases"]} == {
        (mode, phase) for mode in MODES for phase in PHASES
    }
    adds_up(cluster)


# --- why


def test_why_of_a_slow_receiver_elsewhere_says_what_is_under_way_and_who_waits(
    cluster: Cluster, names: dict[str, Any]
) -> None:
    slow_bob(cluster)
    why = snapshots.why(cluster["node1"], "bob@node2")
    assert isinstance(why, There) and why == snapshots.why(cluster["node1"], "bob")
    assert (why.name, why.listed, why.link.state, why.writers) == ("bob@node2", True, "up", ("alice",))
    assert why.under_way_bytes >= why.window == 64 * KIB
    assert [(waiting.name, waiting.lane) for waiting in why.waiting] == [("alice", "direct")]
    [lane] = why.lanes
    assert lane.full_for is not None and lane.full_for > 1.0 and lane.patience == 5.0
    told = ask(names, 'why("bob@node2")')
    assert told.startswith("node2 is linked for ") and "of 64.0 KiB (remote-window)" in told
    assert "Senders wait for " in told and "direct-patience is 5.0 s" in told and "Written by alice." in told
    assert "lines to its name" in told and 'why("bob") at the console of node2' in told
    answer = web(cluster).ask("/api/why?name=bob@node2").json
    assert answer["name"] == "bob@node2" and answer["link"]["node"] == "node2"
    there = web(cluster, "node2").ask("/api/why?name=bob").json
    assert there["fillers"][0]["name"] == "alice@node1", "and his own node knows who fills it"
    cluster.settle(6.0)
    assert "direct-patience, 5.0 s, is over: new ones are given back" in ask(names, 'why("bob@node2")')


def test_who_waits_for_somebody_elsewhere_is_told_for_whom(cluster: Cluster, names: dict[str, Any]) -> None:
    slow_bob(cluster)
    assert "for bob@node2" in ask(names, "who()")
    [alice] = snapshots.peers(cluster["node1"])
    assert alice.paused_by == ("bob@node2",) and alice.paused_for > 1.0


def test_why_of_a_node_that_is_away_says_why_and_what_becomes_of_lines(cluster: Cluster, names: dict[str, Any]) -> None:
    alice = log_in(cluster, "node1", b"alice")
    cluster.cut("node1", "node2")
    alice.say(b"bob@node2: 1", b"bob@node2: 2")
    cluster.settle(12.0)
    told = ask(names, 'why("bob@node2")')
    assert "node2 has not been linked for 12 s." in told and "see whether that node runs" in told
    assert "Waiting for it: 2 lines." in told
    assert "What is not sent goes back after 30 s without a link (pending-timeout), as node-unreachable." in told
    assert "from   lines" in told and "alice      2" in told
    cluster.settle(30.0)
    assert "Nothing waits for bob@node2." in ask(names, 'why("bob@node2")')


def test_why_says_of_how_much_it_is_not_known_whether_it_arrived(cluster: Cluster, names: dict[str, Any]) -> None:
    alice, _ = log_in(cluster, "node1", b"alice"), log_in(cluster, "node2", b"bob")
    alice.say(b"bob: 1")
    cluster.cut("node1", "node2")
    cluster.settle(5.0)
    assert "Of 1 line it is not known whether they arrived" in ask(names, 'why("bob@node2")')
    cluster.mend("node1", "node2")
    cluster.settle(60.0)
    assert "node2 does not say that eve@node2 is there" in ask(names, 'why("eve@node2")')


def test_why_of_one_who_reads_says_that_nothing_is_under_way(cluster: Cluster, names: dict[str, Any]) -> None:
    alice = log_in(cluster, "node1", b"alice")
    log_in(cluster, "node2", b"bob")
    alice.say(b"bob: 1")
    cluster.settle(1.0)
    assert "Nothing is under way to bob@node2" in ask(names, 'why("bob")')
    assert ask(names, 'why("alice@node1")') == ask(names, 'why("alice")'), "this node's own name may be there"


def test_why_of_a_way_says_who_fills_it_and_who_waits(cluster: Cluster, names: dict[str, Any]) -> None:
    alice = log_in(cluster, "node1", b"alice")
    assert "Nothing is on the way there" in ask(names, 'why("@node2")')
    cluster.cut("node1", "node2")
    alice.say(*(b"bob@node2: " + text for text in kibibytes(30)))
    cluster.settle(2.0)
    why = snapshots.why(cluster["node1"], "@node2")
    assert isinstance(why, There) and (why.name, why.queued_lines, why.window) == ("@node2", 30, 8 * 256 * KIB)
    assert [(filler.name, filler.lines) for filler in why.fillers] == [("alice", 30)]
    told = ask(names, 'why("@node2")')
    assert "node2 has not been linked for 2.0 s." in told and "On the way there: 30 lines, of which 0 lines" in told
    assert "Of lines to names, " in told and "of 2.0 MiB wait to be sent." in told and "alice     30" in told
    assert web(cluster).ask("/api/why?name=@node2").json["link"]["state"] == "down"


def test_a_way_that_is_full_says_who_waits_for_it(cluster: Cluster, names: dict[str, Any]) -> None:
    alice = log_in(cluster, "node1", b"alice", b"/join #t")
    log_in(cluster, "node2", b"bob", b"/join #t")
    cluster.cut("node1", "node2", Cut.SILENT)
    for _ in range(400):
        alice.say(*(b"#t: " + text for text in kibibytes(16)))
        cluster.settle(0.0)
    cluster.settle(0.01)
    waits = snapshots.peers(cluster["node1"])[0].paused_by
    told = ask(names, 'why("@node2")')
    assert waits == ("@node2",) and "Who is not read because of it:" in told and "topic lines" in told
    assert {queue.name for queue in queues(cluster["node1"])} == {"@node2", "alice"}
    assert scrape(cluster)["nettool_link_full"] == {(): 1}


def test_why_of_an_ambiguous_or_unknown_name_says_where_to_look(cluster: Cluster, names: dict[str, Any]) -> None:
    for node in ("node2", "node3"):
        log_in(cluster, node, b"bob")
    with pytest.raises(LeverError, match="say which one: bob@node2, bob@node3"):
        ask(names, 'why("bob")')
    with pytest.raises(LeverError, match=r"links\(\) lists the nodes that are known"):
        ask(names, 'why("bob@nowhere")')
    with pytest.raises(LeverError, match=r"closed\(\) lists those who have gone"):
        ask(names, 'why("eve")')
    for name in ("eve", "bob", "bob@nowhere"):
        assert web(cluster).ask(f"/api/why?name={name}").status == 404


# --- at the prompt


def test_links_are_a_table_and_a_view(cluster: Cluster, names: dict[str, Any]) -> None:
    slow_bob(cluster)
    cluster.cut("node1", "node3")
    cluster.settle(2.0)
    head, *rows = ask(names, "links()").splitlines()
    assert head.split()[:3] == ["node", "state", "for"]
    assert [row.split()[:2] for row in rows] == [["node2", "up"], ["node3", "down"]]
    assert rows[0].endswith("slow there: bob@node2") and ("lost: " in rows[1] or "unreachable: " in rows[1])
    links = names["links"]
    assert ask(names, "links") == ask(names, "links()")
    assert list(links) == ["node2", "node3"] and len(links) == 2 and "node9" not in links
    assert links["node2"] is cluster["node1"].links.linked.neighbours[b"node2"]  # type: ignore[union-attr]
    assert [link.node for link in links() if link.state == "up"] == ["node2"]
    assert "other nodes" in ask(names, "stats()") and "(up 1, down 1)" in ask(names, "stats()")


def test_queues_have_the_ways_to_other_nodes_and_slow_receivers_there(cluster: Cluster, names: dict[str, Any]) -> None:
    alice, _ = slow_bob(cluster)
    rows = {row.split()[0]: row for row in ask(names, "queues()").splitlines()}
    assert {"alice", "bob@node2"} <= rows.keys() and "waits" in rows["alice"]
    found = {queue.name: queue for queue in queues(cluster["node1"])}
    assert found["bob@node2"].queued_bytes >= 64 * KIB and found["bob@node2"].full_for > 1.0
    cluster.settle(6.0)  # his patience is over
    cluster.cut("node1", "node2")
    cluster.settle(0.1)
    alice.say(*(b"bob@node2: " + text for text in kibibytes(10)))
    cluster.settle(1.0)
    found = {queue.name: queue for queue in queues(cluster["node1"])}
    assert found["@node2"].queued_lines >= 10 and found["@node2"].oldest == pytest.approx(1.0, abs=0.1)
    assert "bob@node2" not in found, "without a link nobody waits"
    assert sum(queue.queued_lines for queue in found.values()) == cluster["node1"].totals().queued


def test_what_other_nodes_say_is_printed_escaped(cluster: Cluster, names: dict[str, Any]) -> None:
    links = cluster["node1"].links
    assert links is not None
    links.know("b\u202eöse".encode())
    cluster.settle(0.1)
    for source in ("links()", "links", r"why('x@b\u202eöse')", "queues()", "stats()"):
        assert ask(names, source).replace("\n", "").isprintable(), source


# --- the dump


def test_the_dump_has_links_and_those_who_are_slow_elsewhere(cluster: Cluster) -> None:
    slow_bob(cluster)
    rows = list(rows_of(cluster["node1"]))
    assert [kind for kind, _ in rows] == ["node", "peer", "link", "link", "queue"]
    assert isinstance(rows[-1][1], There) and rows[-1][1].name == "bob@node2"
    text = json.dumps([plain(row) for _, row in rows], allow_nan=False)
    assert "node2" in text and "slow_receivers" in text


def test_every_field_of_a_link_is_ordered(cluster: Cluster) -> None:
    for field in fields(Link):
        keys = [getattr(link, field.name) for link in snapshots.links(cluster["node1"], field.name)]
        assert keys == sorted(keys)
    assert one(cluster).instance != one(cluster, "node3").instance
