"""The web of a real node: a slow reader seen by HTTP and in a browser, health while it drains, who asks too much."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nettool.cluster.identity import Identity
from tests.real.conftest import Start
from tests.real.node import MIB, PATIENCE, RealPeer, Street, eventually, in_background

SLOW = ("--direct-patience=5m", "--stall-timeout=10m", "--drain-timeout=5m")
"""Nothing ends by itself while a test looks at it."""

TOKEN = "0123456789abcdef"


class Web:
    """The web of a node, asked by connections of its own."""

    def __init__(self, street: Street) -> None:
        line = street.node.wait_for_log("listening on tcp:.* for the web")
        found = re.search(r"tcp:127\.0\.0\.1:(\d+) for the web", line)
        assert found is not None, line
        self.port = int(found[1])

    def ask(self, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        status, body = self.ask(path)
        assert status == 200, body
        return json.loads(body)

    def slowest(self) -> Any:
        """The peer with the fullest outbox, if that is full."""
        (peer,) = self.json("/api/peers?sort=-queued_bytes&limit=1")["peers"]
        return peer if peer["full_for"] > 0 else None


def with_slow_reader(street: Street, *writers: str) -> RealPeer:
    """Bob, who reads nothing, while others write more than his outbox holds."""
    bob = street.peer("bob", receive_buffer=64 * 1024)
    for name in writers:
        writer = street.peer(name)
        in_background(writer.send, (b"bob: " + b"x" * 1000 + b"\n") * (16 * MIB // 1000))
    return bob


def test_a_slow_reader_is_seen_before_and_while_the_node_drains(start: Start) -> None:
    street = start("--web=tcp:0", *SLOW)
    web = Web(street)
    assert web.ask("/readyz") == (200, b"running\n") and web.ask("/healthz") == (200, b"ok\n")
    bob = with_slow_reader(street, "alice")
    slow = eventually(web.slowest, "bob's outbox is full")
    assert slow["name"] == "bob" and slow["queued_bytes"] >= 4 * MIB
    why = web.json("/api/why?name=bob")
    assert why["blocked"] and [filler["name"] for filler in why["fillers"]] == ["alice"]
    assert [(waiting["name"], waiting["lane"]) for waiting in why["waiting"]] == [("alice", "direct")]

    street.node.signal(signal.SIGTERM)
    eventually(lambda: web.ask("/readyz") == (503, b"draining\n"), "it drains")
    assert web.ask("/healthz") == (200, b"ok\n")
    assert web.json("/api/stats")["state"] == "draining"
    assert web.json("/api/why?name=bob")["peer"]["queued_bytes"] > 0
    with pytest.raises(ConnectionRefusedError):
        street.connect()

    assert bob.to_end()[-1] == b"bye shutdown"
    assert street.node.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        web.ask("/readyz")


def test_who_asks_slowly_or_only_connects_keeps_neither_peers_nor_operators_out(start: Start) -> None:
    street = start("--web=tcp:0")
    web = Web(street)
    idle = [socket.create_connection(("127.0.0.1", web.port)) for _ in range(200)]
    try:
        for one in idle[::2]:
            try:
                one.sendall(b"GET /api/peers?limit=10000 HTTP/1.1\r\nX: ")
            except OSError:
                pass  # it has made room
        assert web.ask("/healthz") == (200, b"ok\n")
        alice, bob = street.peers("alice", "bob")
        alice.say(b"bob: hi")
        bob.expect(b"from alice: hi")
        descriptors = len(os.listdir(f"/proc/{street.node.pid}/fd"))
        assert descriptors < 100, "most of them have made room"
    finally:
        for one in idle:
            one.close()


def test_a_token_is_asked_for_and_another_is_in_force_after_a_reload(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(TOKEN)
    street = start("--web=tcp:0", f"--web-token={file}")
    web = Web(street)
    assert web.ask("/api/peers")[0] == web.ask("/api/peers", Authorization="Bearer x")[0] == 401
    assert web.ask("/api/peers", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert web.ask("/readyz")[0] == web.ask("/")[0] == 200
    file.write_text(TOKEN[::-1])
    street.node.signal(signal.SIGHUP)
    street.node.wait_for_log("web.token: read again")
    assert web.ask("/api/peers", Authorization=f"Bearer {TOKEN}")[0] == 401
    assert web.ask("/api/peers", Authorization=f"Bearer {TOKEN[::-1]}")[0] == 200
    file.write_text("")
    street.node.signal(signal.SIGHUP)
    street.node.wait_for_log("reload refused.*web.token: expected 16 to")
    assert web.ask("/api/peers")[0] == 401, "a token that cannot be read opens nothing"
    assert web.ask("/api/peers", Authorization=f"Bearer {TOKEN[::-1]}")[0] == 200
    assert not any(TOKEN in line or TOKEN[::-1] in line for line in street.node.out + street.node.err)


# --- in a browser


class Page(HTMLParser):
    """What a browser has made of the page: cells by table, texts by id, tags."""

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.hidden: set[str] = set()
        self.text = ""
        self._table = ""
        self.feed(dom)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        if "hidden" in found:
            self.hidden.add(found.get("id") or "")
        if tag == "table":
            self._table = found.get("id") or ""
            self.rows[self._table] = []
        elif tag == "tr":
            self.rows[self._table].append([])
        elif tag in ("td", "th"):
            self.rows[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._table = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._table and self.rows[self._table] and self.rows[self._table][-1]:
            self.rows[self._table][-1][-1] += data


def opened(directory: Path, url: str) -> Page:
    """The page, after a browser has shown it for some seconds of its own time."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={directory}/browser"]
    command += ["--virtual-time-budget=7000", "--dump-dom", url]
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr
    return Page(done.stdout)


@pytest.mark.system("chromium")
def test_a_browser_shows_who_is_slow_and_a_name_that_looks_like_html_as_text(start: Start, tmp_path: Path) -> None:
    evil = "<b>&lt;<script>alert(1)<!--"
    street = start("--web=tcp:0", *SLOW)
    web = Web(street)
    with_slow_reader(street, evil)
    eventually(web.slowest, "bob's outbox is full")
    page = opened(tmp_path, f"http://localhost:{web.port}/#bob")
    head, *peers = page.rows["peers"]
    cells = {row[0]: dict(zip(head, row, strict=True)) for row in peers}
    assert cells.keys() == {"bob", evil}
    assert cells["bob"]["queued"].endswith("MiB") and cells["bob"]["full for"]
    assert cells[evil]["waits for"] == "bob"
    assert "Why does bob get its lines late?" in page.text
    assert "takes nothing now" in page.text and f"{evil} (" in page.text
    assert "running" in page.text and "/s" in page.text
    assert "b" not in page.tags and page.tags.count("script") == 1, "what peers are called is no markup"
    assert page.hidden >= {"login"} and "why" not in page.hidden


@pytest.mark.system("chromium")
def test_a_browser_is_asked_for_the_token(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(TOKEN)
    street = start("--web=tcp:0", f"--web-token={file}")
    street.peer("alice")
    page = opened(tmp_path, f"http://localhost:{Web(street).port}/")
    assert "login" not in page.hidden and "alice" not in page.text


class Linked:
    """Two nodes that link, node1 and alpha, and gamma, which both trust and which does not run; asked is node1."""

    def __init__(self, start: Start, directory: Path) -> None:
        names = ("node1", "alpha", "gamma")
        lines = [Identity.kept_in(str(directory / name), name.encode()).public for name in names]
        (directory / "trusted-nodes").write_text("".join(f"{line}\n" for line in lines))

        def node(name: str, *options: str) -> Street:
            trust = f"--trusted-nodes={directory}/trusted-nodes"
            return start(f"--state-dir={directory / name}", trust, *SLOW, *options, node_name=name)

        self.alpha = node("alpha", "--link-listen=tcp:0:interface=127.0.0.1")
        found = re.search(
            r"tcp:127\.0\.0\.1:(\d+) for other nodes",
            self.alpha.node.wait_for_log("listening on tcp:.* for other nodes"),
        )
        assert found is not None
        alpha, gamma = f"--link-connect=alpha=127.0.0.1:{found[1]}", "--link-connect=gamma=127.0.0.1:1"
        self.asked = node("node1", "--web=tcp:0", alpha, gamma)
        self.web = Web(self.asked)
        self.asked.node.wait_for_log("linked to alpha at 127.0.0.1:")

    def link(self, name: str) -> Any:
        return next(link for link in self.web.json("/api/links")["links"] if link["node"] == name)


def test_links_of_real_nodes_are_seen_up_down_and_unreachable(start: Start, tmp_path: Path) -> None:
    nodes = Linked(start, tmp_path)
    line = nodes.asked.node.wait_for_log("gamma cannot be reached at 127.0.0.1:1: ")
    assert "Connection refused" in line and "see whether that node runs" in line
    up, down = nodes.link("alpha"), nodes.link("gamma")
    assert up["state"] == "up" and re.fullmatch(r"127\.0\.0\.1:\d+", up["address"]) and not up["advice"]
    assert down["state"] != "up" and down["last_end"] == "unreachable" and down["advice"]
    bob, alice = nodes.alpha.connect().login("bob", "alpha"), nodes.asked.peer("alice")
    eventually(lambda: nodes.link("alpha")["peers"] == 1, "node1 knows of bob")
    alice.say(b"bob: hello")
    bob.expect(b"from alice@node1: hello")
    eventually(lambda: nodes.link("alpha")["sent_lines"] == 1, "alpha has confirmed it")
    page = nodes.web.ask("/metrics")[1].decode()
    assert 'nettool_links{state="up"} 1.0' in page
    assert 'nettool_link_phase_finished_total{mode="direct",phase="outgoing-transfer"} 1.0' in page
    assert nodes.web.json("/api/why?name=bob")["name"] == "bob@alpha"
    nodes.alpha.node.terminate()
    nodes.asked.node.wait_for_log(
        "the link with alpha at 127.0.0.1:.* ended: shutdown: it says so: the node is stopped"
    )
    eventually(lambda: nodes.link("alpha")["state"] != "up", "the link is down")


@pytest.mark.system("chromium")
def test_a_browser_shows_links_and_who_is_slow_elsewhere(start: Start, tmp_path: Path) -> None:
    nodes = Linked(start, tmp_path)
    nodes.alpha.connect(receive_buffer=64 * 1024).login("bob", "alpha")
    eventually(lambda: nodes.link("alpha")["peers"] == 1, "node1 knows of bob")
    alice = nodes.asked.peer("alice")
    in_background(alice.send, (b"bob: " + b"x" * 1000 + b"\n") * (16 * MIB // 1000))
    eventually(lambda: nodes.link("alpha")["slow"] == ["bob@alpha"], "bob's window is closed")
    page = opened(tmp_path, f"http://localhost:{nodes.web.port}/#bob@alpha")
    head, *links = page.rows["links"]
    cells = {row[0]: dict(zip(head, row, strict=True)) for row in links}
    assert cells["alpha"]["state"] == "up" and cells["alpha"]["slow there"] == "bob@alpha"
    assert "unreachable" in cells["gamma"][""] and "see whether that node runs" in cells["gamma"][""]
    assert "Why does bob@alpha get its lines late?" in page.text and "alice (" in page.text
    assert "1 of 2" in page.text and "in its outbox there" in page.text
