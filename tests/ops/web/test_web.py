"""What is told over HTTP, to whom, and at which cost: on a node in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from nettool.errors import SettingError
from nettool.ops import snapshots
from nettool.ops.metrics import exposition
from nettool.ops.web import site
from nettool.ops.web.facts import Facts
from nettool.ops.web.lists import Part
from nettool.ops.web.site import MOST, WITHIN
from tests.conftest import LoggedFailures
from tests.ops.nodes import SeenNode
from tests.ops.test_snapshots import with_slow_bob
from tests.ops.web.browsers import LOOPBACK, Asker

LISTS = ["peers", "topics", "links", "closed"]
OPEN = ["/", "/page.css", "/page.js", "/icon.svg", "/healthz", "/readyz"]
KEPT = ["/metrics", "/api/stats", "/api/why?name=alice", *(f"/api/{word}" for word in LISTS)]


@pytest.fixture
def node() -> SeenNode:
    return SeenNode().start()


@pytest.fixture
def web(node: SeenNode) -> Asker:
    return Asker(node)


# --- what is told


def test_the_peers_are_those_that_there_are(node: SeenNode, web: Asker) -> None:
    with_slow_bob(node)
    told = web.ask("/api/peers?sort=-queued_bytes&limit=1")
    assert told.status == 200 and told.headers["content-type"] == "application/json"
    assert told.json["total"] == 3
    (bob,) = told.json["peers"]
    assert (bob["name"], bob["node"], bob["full_for"]) == ("bob", "node1", 2.0)
    assert bob["queued_bytes"] >= 256 * 1024
    waiting = {peer["name"]: peer["paused_by"] for peer in web.ask("/api/peers").json["peers"]}
    assert waiting == {"alice": ["bob"], "bob": [], "carol": ["bob"]}


def test_why_says_who_fills_and_who_waits(node: SeenNode, web: Asker) -> None:
    with_slow_bob(node)
    why = web.ask("/api/why?name=bob").json
    assert [filler["name"] for filler in why["fillers"]] == ["alice", "carol"]
    assert {waiting["name"] for waiting in why["waiting"]} == {"alice", "carol"}
    assert why["lanes"][0]["patience_left"] == 3.0 and why["peer"]["name"] == "bob"


def test_what_never_ends_is_told_in_a_word(web: Asker) -> None:
    node = SeenNode(direct_patience=float("inf"), stall_timeout=float("inf")).start()
    with_slow_bob(node)
    why = Asker(node).ask("/api/why?name=bob").json
    assert why["lanes"][0]["patience"] == "forever" and why["given_up_in"] is None


def test_why_of_nobody_is_not_found_and_of_no_name_is_a_mistake(web: Asker) -> None:
    told = web.ask("/api/why?name=d%C3%A4ve%FF")
    assert told.status == 404 and told.json == {"error": "no-such-peer: däve\\udcff"}
    for query in ("", "?name=", "?name=a&name=b", "?peer=a"):
        assert web.ask("/api/why" + query).status == 400


def test_topics_and_closed_connections_are_told(node: SeenNode, web: Asker) -> None:
    alice, bob = node.peers(b"alice", b"bob")
    alice.say(b"/join #news", b"/join #weather")
    bob.say(b"/join #news", b"/quit")
    node.pass_time(5)
    alice.say(b"/ping 1")
    assert web.ask("/api/topics?sort=-hearers").json["total"] == 2
    closed = web.ask("/api/closed").json
    assert closed["total"] == len(closed["closed"])
    assert (closed["closed"][0]["name"], closed["closed"][0]["reason"]) == ("bob", "quit")
    assert web.ask("/api/links").json == {"links": [], "total": 0}


def test_the_ledgers_equation_can_be_read_off_the_stats(node: SeenNode, web: Asker) -> None:
    with_slow_bob(node)
    stats = web.ask("/api/stats").json
    ledger = stats["ledger"]
    ended = ledger["delivered"] + sum(ledger["returned"].values()) + sum(ledger["dropped"].values())
    assert ledger["accepted"] == ended + ledger["queued"] > 0
    assert (stats["state"], stats["largest"], stats["paused"], stats["full"]) == ("running", "bob", 2, 1)


def test_metrics_are_for_prometheus(node: SeenNode, web: Asker) -> None:
    node.peers(b"alice")
    told = web.ask("/metrics")
    assert told.status == 200 and b"# TYPE nettool_" in told.body
    told_of, known = (
        [line.split(b" ")[2] for line in text.splitlines() if line.startswith(b"# TYPE ")]
        for text in (told.body, exposition(node.service))
    )
    assert told_of == known
    assert told.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_it_is_ready_only_while_it_runs() -> None:
    node = SeenNode()
    web = Asker(node)
    assert (web.ask("/readyz").status, web.ask("/readyz").body) == (503, b"starting\n")
    node.start()
    assert (web.ask("/readyz").status, web.ask("/readyz").body) == (200, b"running\n")
    (alice,) = node.peers(b"alice")
    alice.stop_reading()
    node.service.stopService()
    assert (web.ask("/readyz").status, web.ask("/readyz").body) == (503, b"draining\n")
    assert web.ask("/healthz").body == b"ok\n"
    assert web.ask("/api/stats").json["state"] == "draining"
    node.pass_time(20)


# --- how it is asked


@pytest.mark.parametrize("word", LISTS)
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort=nonsense", "sort: expected one of "),
        ("sort=", "sort: expected one of "),
        ("sort=--name", "sort: expected one of "),
        ("limit=x", "limit: expected a whole number from 0 to 10000"),
        ("limit=-1", "limit: expected a whole number"),
        ("limit=10001", "limit: expected a whole number"),
        ("limit=%D9%A3", "limit: expected a whole number"),
        ("offset=1.5", "offset: expected a whole number from 0 to 1000000000"),
        ("offset=" + "9" * 5000, "offset: expected a whole number"),
        ("limit=1&limit=2", "limit: expected once, not 2 times"),
        ("order=name", "order: expected sort or limit or offset"),
    ],
)
def test_a_parameter_that_cannot_be_is_told_with_what_was_expected(
    web: Asker, word: str, query: str, expected: str
) -> None:
    told = web.ask(f"/api/{word}?{query}")
    assert told.status == 400 and told.json["error"].startswith(expected), told.body


@pytest.mark.parametrize("word", LISTS)
def test_a_list_can_be_sorted_by_each_of_its_fields(node: SeenNode, web: Asker, word: str) -> None:
    kinds = {
        "peers": snapshots.Peer,
        "topics": snapshots.Topic,
        "links": snapshots.Link,
        "closed": snapshots.Closed,
    }
    with_slow_bob(node)
    for field in kinds[word].__dataclass_fields__:  # type: ignore[attr-defined]
        rows = web.ask(f"/api/{word}?sort={field}").json[word]
        back = web.ask(f"/api/{word}?sort=-{field}").json[word]
        values = [row[field] for row in rows]
        assert values == sorted(values) and [row[field] for row in back] == values[::-1]


def test_a_hundred_rows_are_told_unless_more_are_asked_for(node: SeenNode, web: Asker) -> None:
    names = [b"p%03d" % number for number in range(250)]
    node.peers(*names)

    def told(query: str) -> list[str]:
        answer = web.ask("/api/peers" + query).json
        assert answer["total"] == 250
        return [peer["name"] for peer in answer["peers"]]

    everybody = [name.decode() for name in names]
    assert told("") == everybody[:100]
    assert told("?limit=10000") == everybody
    assert told("?sort=-name&limit=3&offset=1") == everybody[::-1][1:4]
    assert told("?limit=0") == told("?offset=250") == []


@pytest.mark.parametrize("path", [*OPEN, *KEPT])
def test_head_has_the_headers_alone_and_other_methods_are_refused(node: SeenNode, web: Asker, path: str) -> None:
    node.peers(b"alice")
    told, head = web.ask(path), web.ask(path, method="HEAD")
    assert told.status == head.status == 200
    assert head.body == b"" and len(told.body) == int(told.headers["content-length"])
    del told.headers["date"], head.headers["date"]
    if path == "/metrics":  # the process's own figures may have become longer
        del told.headers["content-length"], head.headers["content-length"]
    assert head.headers == told.headers
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
        refused = web.ask(path, method=method)
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path", ["/none", "//", "/api", "/api/", "/api/peers/", "/../etc/passwd", "/page.html", "/%00"]
)
def test_what_is_not_there_is_not_found(web: Asker, path: str) -> None:
    told = web.ask(path)
    assert told.status == 404 and "/api/peers" in told.json["error"]


@pytest.mark.parametrize("path", [*OPEN, *KEPT, "/none", "/api/peers?limit=x"])
def test_every_answer_is_safe_in_a_browser(web: Asker, path: str) -> None:
    headers = web.ask(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers and "access-control-allow-origin" not in headers


def test_the_page_has_nothing_from_elsewhere_and_no_script_or_style_within(web: Asker) -> None:
    page = web.ask("/").body.decode()
    assert "//" not in page and "style=" not in page and "<style" not in page and " on" not in page.replace(" one", "")
    script = web.ask("/page.js").body.decode()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser", "srcdoc"):
        assert way not in script


# --- who asks


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text("a token of sixteen\n".replace(" ", "-"))
    return path


def test_with_a_token_only_who_brings_it_is_told(node: SeenNode, token: Path) -> None:
    node.peers(b"alice")
    web = Asker(node, token_file=str(token))
    for path in OPEN:
        assert web.ask(path).status == 200
    good = "a-token-of-sixteen"
    for path in KEPT:
        for wrong in ("", "Bearer", "Bearer ", f"Basic {good}", f"Bearer {good}x", "Bearer a-token-of-sixtee", good):
            refused = web.ask(path, Authorization=wrong)
            assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer realm="nettool"')
            assert b"alice" not in refused.body and good.encode() not in refused.body
        assert web.ask(path).status == web.ask(path, method="HEAD").status == 401
        assert web.ask(path, Authorization=f"Bearer {good}").status == 200
        assert web.ask(path, Authorization=f"bearer {good}").status == 200


def test_a_token_that_is_none_makes_no_site(node: SeenNode, token: Path) -> None:
    token.write_text("short")
    with pytest.raises(SettingError, match="expected 16 to 4096 characters"):
        site(node.service, str(token))
    token.unlink()
    with pytest.raises(SettingError, match="expected a file that can be read"):
        site(node.service, str(token))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:6390", 200),
        ("127.0.0.1:6390", 200),
        ("10.0.0.7", 200),
        ("[::1]:6390", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:6390", 403),
        ("localhost.evil.example", 403),
        ("evil.example\r\nHost: localhost", 403),
        ("", 403),
    ],
)
def test_by_loopback_only_the_machines_own_names_are_answered(web: Asker, host: str, status: int) -> None:
    for path in ("/api/peers", "/readyz", "/"):
        assert web.ask(path, host=host).status == status


def test_names_matter_on_loopback_only_and_to_browsers_only(web: Asker) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: node.example\r\n\r\n"
    for elsewhere in (IPv4Address("TCP", "10.0.0.7", 1), IPv6Address("TCP", "2001:db8::1", 1), UNIXAddress("/w")):
        assert web.send(request, elsewhere).status == 200
    for ours in (LOOPBACK, IPv6Address("TCP", "::1", 1), IPv6Address("TCP", "::ffff:127.0.0.1", 1)):
        assert web.send(request, ours).status == 403
    assert web.send(b"GET /healthz HTTP/1.0\r\n\r\n").status == 200


# --- what it may cost


def test_a_connection_has_one_request_whatever_else_it_sends(web: Asker) -> None:
    protocol, transport = web.connect()
    protocol.dataReceived(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000)
    assert transport.value().count(b"HTTP/1.1 200") == 1 and transport.disconnecting
    protocol.connectionLost(None)


@pytest.mark.parametrize("more", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
def test_a_body_is_not_waited_for(web: Asker, more: str) -> None:
    told = web.send(f"POST /api/peers HTTP/1.1\r\nHost: localhost\r\n{more}\r\n\r\n".encode())
    assert told.status == 405


@pytest.mark.parametrize("endless", [b"GET /" + b"a" * 70000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000])
def test_an_endless_request_is_refused(web: Asker, endless: bytes) -> None:
    protocol, transport = web.connect()
    protocol.dataReceived(endless)
    assert transport.disconnecting and b" 200 " not in transport.value()
    protocol.connectionLost(None)


def test_a_request_that_comes_byte_by_byte_has_so_much_time_and_no_more(node: SeenNode, web: Asker) -> None:
    protocol, transport = web.connect()
    for _ in range(int(WITHIN) - 1):
        protocol.dataReceived(b"G")
        node.reactor.advance(1)
    assert not transport.aborted
    node.reactor.advance(1)
    assert transport.aborted
    protocol.connectionLost(None)


def test_an_answer_that_is_not_read_has_so_much_time(node: SeenNode, web: Asker) -> None:
    protocol, transport = web.connect()
    protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
    assert transport.disconnecting and not transport.aborted
    node.reactor.advance(WITHIN)
    assert transport.aborted
    protocol.connectionLost(None)


def test_who_only_connects_keeps_nobody_out(web: Asker) -> None:
    idle = [web.connect() for _ in range(MOST + 5)]
    assert [transport.aborted for _, transport in idle] == [True] * 5 + [False] * MOST
    assert web.ask("/healthz").status == 200
    for protocol, _ in idle:
        protocol.connectionLost(None)
    assert not web.node.reactor.getDelayedCalls()


def test_when_it_is_shut_all_connections_end(web: Asker) -> None:
    protocol, transport = web.connect()
    web.factory.doStart()
    web.factory.doStop()
    assert transport.disconnecting
    protocol.connectionLost(None)


def test_a_fault_of_ours_is_that_requests_alone(
    node: SeenNode, monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures
) -> None:
    def fail(node: object) -> bytes:
        raise ZeroDivisionError("alice")

    monkeypatch.setattr("nettool.ops.web.answers.exposition", fail)
    web = Asker(node)
    told = web.ask("/metrics")
    assert told.status == 500 and b"alice" not in told.body and b"Traceback" not in told.body
    assert len(logged_failures.flush(ZeroDivisionError)) == 1
    assert web.ask("/healthz").status == 200


def test_looking_takes_a_tenth_of_the_time_at_most(node: SeenNode) -> None:
    clock, looks = node.reactor, []

    def look(node: object) -> int:
        looks.append(clock.seconds())
        clock.advance(0.1)
        return len(looks)

    facts = Facts(node.service, clock)
    assert [facts.of(look) for _ in range(100)] == [1] * 100
    clock.advance(0.89)
    assert facts.of(look) == 1
    clock.advance(0.02)
    assert facts.of(look) == 2
    clock.rightNow -= 1000  # somebody put the clock back
    assert facts.of(look) == 3


class Shelf:
    """A list of a hundred rows, each of which takes a millisecond to make."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.looks: list[tuple[float, int]] = []
        """When, and how many rows were made."""

    def look(self, node: object, order: str = "", limit: int | None = None, offset: int = 0) -> list[snapshots.Topic]:
        numbers = sorted(range(100), reverse=order.startswith("-"))[offset : None if limit is None else offset + limit]
        self.looks.append((self.clock.seconds(), len(numbers)))
        self.clock.advance(len(numbers) / 1000)
        return [snapshots.Topic(f"#{number:02}", number) for number in numbers]


def test_only_the_rows_that_are_asked_for_are_made(node: SeenNode) -> None:
    shelf, facts = Shelf(node.reactor), Facts(node.service, node.reactor)
    for _ in range(10):
        rows, total = facts.part_of(shelf.look, lambda node: 100, Part("-hearers", 2, 1))
        assert [row.hearers for row in rows] == [98, 97] and total == 100
    assert [count for _, count in shelf.looks] == [2], "the same part is kept for a moment"


def test_whatever_parts_are_asked_for_looking_takes_a_tenth_of_the_time_at_most(node: SeenNode) -> None:
    clock = node.reactor
    shelf, facts = Shelf(clock), Facts(node.service, clock)
    began = clock.seconds()
    for number in range(5000):
        part = Part(("", "hearers", "-hearers")[number % 3], number % 7, number % 101)
        rows, total = facts.part_of(shelf.look, lambda node: 100, part)
        everything = sorted(range(100), reverse=part.order.startswith("-"))
        assert [row.hearers for row in rows] == everything[part.offset :][: part.limit] and total == 100
        clock.advance(0.001)
    passed, spent = clock.seconds() - began, sum(count for _, count in shelf.looks) / 1000
    assert 0.05 < spent / passed < 0.125, "the last look is not made up for yet"
