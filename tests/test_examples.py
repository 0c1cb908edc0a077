"""The programs in docs/examples and the code in docs/embedding.md and docs/mesh.md do what they say."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.real.node import MIB, PATIENCE, RealNode, RealPeer, eventually, who

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXAMPLES = DOCS / "examples"
PAGES = ["embedding.md", "mesh.md"]
TEXT = "".join((DOCS / page).read_text(encoding="utf-8") for page in PAGES)

# Programs of Python in the pages, each with what it prints, if that is shown.
BLOCKS = re.findall(
    r"^```python\n(.*?)^```\n(?:(?:\nprints\n)?\n^```text\n(.*?)^```\n)?",
    TEXT,
    re.DOTALL | re.MULTILINE,
)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_program_in_the_documentation_prints_what_is_shown(number: int, tmp_path: Path) -> None:
    program, output = BLOCKS[number]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)


def test_all_programs_of_the_documentation_are_found() -> None:
    assert len(BLOCKS) == TEXT.count("```python") == 5
    assert sum(bool(output) for _, output in BLOCKS) == TEXT.count("```text")


def test_every_example_is_in_the_documentation() -> None:
    shown = set(re.findall(r"\{literalinclude\} examples/(\S+)", TEXT))
    assert shown == {path.name for path in EXAMPLES.glob("*.py")}


def test_the_tests_of_the_bot_pass_with_nothing_but_pytest(tmp_path: Path) -> None:
    for name in ("bot.py", "test_bot.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


class Program:
    """An example that runs as a process of its own.  Warnings are errors, and what it complains of is output too."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self._out = self.process.stdout

    def line(self) -> str:
        """The next line that it prints."""
        return self._out.readline()

    def end(self) -> tuple[str, int]:
        """What it still prints, and its exit status; it has to end by itself."""
        return self._out.read(), self.process.wait(PATIENCE)

    def close(self) -> None:
        """End it if it has not."""
        self.process.kill()
        self.process.wait()
        self._out.close()


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.close()


# --- The bot


def test_the_bot_rolls_at_a_real_node(tmp_path: Path, programs: list[Program]) -> None:
    node = RealNode(tmp_path)
    alice = None
    try:
        node.wait_until_it_listens()
        alice = RealPeer.connect(node.endpoint()).login("alice")
        alice.say(b"/watch")
        alice.expect(b"ok watch")
        programs.append(bot := Program("bot.py", node.endpoint()))
        alice.expect(b"notice here: dice")
        alice.say(b"dice: roll 3d6", b"dice: what?", b"/join #dice")
        alice.expect(b"ok join #dice")
        assert re.fullmatch(rb"from dice: 3d6: [1-6] \+ [1-6] \+ [1-6] = \d+", alice.line())
        alice.say(b"#dice: roll 1d1")
        alice.expect(b"from dice to #dice: alice: 1d1: 1 = 1")
        assert node.terminate() == 0
        assert bot.end() == ("bye shutdown\n", 0)
    finally:
        node.kill()
        if alice is not None:
            alice.close()


# --- The web program


class Web:
    """The web program, what is asked of it, and peers that come by TCP."""

    def __init__(self, programs: list[Program]) -> None:
        listen = "tcp:0:interface=127.0.0.1"
        programs.append(program := Program("web_with_node.py", listen, listen))
        self.program = program
        said = program.line()
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/topics/ and (tcp:\S+)\n", said)
        assert found is not None, (said, program.process.poll())
        self.port, self.where = int(found[1]), found[2]
        self._opened: list[Any] = []

    def peer(self, name: str, *topics: bytes) -> RealPeer:
        peer = RealPeer.connect(self.where).login(name)
        self._opened.append(peer)
        for topic in topics:
            peer.say(b"/join " + topic)
            peer.expect(b"ok join " + topic)
        return peer

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        """One request: its status, and its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, "/topics/" + path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def events(self, path: str) -> Events:
        events = Events(self.port, path)
        self._opened.append(events)
        return events

    def stop(self) -> None:
        self.program.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        for opened in self._opened:
            opened.close()


class Events:
    """A browser that hears a topic."""

    def __init__(self, port: int, path: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._connection.request("GET", "/topics/" + path)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        assert self._answer.headers["content-type"] == "text/event-stream; charset=utf-8"

    def next(self) -> tuple[str, Any]:
        """The next event and its data; nothing at the end."""
        event, data, blank = (self._answer.readline().decode() for _ in range(3))
        assert blank in ("\n", "")
        return event.removeprefix("event: ").rstrip(), json.loads(data.removeprefix("data: ") or "null")

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


@pytest.fixture
def web(programs: list[Program]) -> Iterator[Web]:
    web = Web(programs)
    try:
        yield web
    finally:
        web.close()


def expect_end(web: Web) -> None:
    web.stop()
    web.close()
    assert web.program.end() == ("", 0)


def test_browsers_and_peers_hear_the_same_topics(web: Web) -> None:
    events = web.events("news")
    assert events.next() == ("node", "ok join #news")
    bob = web.peer("bob", b"#news")
    assert web.ask("POST", "news", "it rains, überall".encode()) == (200, "said\n")
    assert events.next() == ("message", {"from": "web", "text": "it rains, überall"})
    bob.expect("from web to #news: it rains, überall".encode())
    bob.say(b"#news: <b>\r*\xff\n#news: ", b"#tea: not for news", b"#news: data: x")
    assert events.next() == ("message", {"from": "bob", "text": "<b>\r*\ufffd"})
    assert events.next() == ("message", {"from": "bob", "text": ""})
    assert events.next() == ("message", {"from": "bob", "text": "data: x"})
    expect_end(web)


def test_a_topic_has_the_length_and_the_letters_that_a_node_allows(web: Web) -> None:
    for path in ("tea/green", quote("überall")):
        assert web.ask("POST", path, b"x") == (200, "said\n")
    for path in ("", "a%20b", "a%0A/quit", "a,bob", "a:b", "a//b", "/", "%ff", "x" * 300):
        for method in ("GET", "POST"):
            assert web.ask(method, path, b"x") == (404, "no such topic\n")
    assert web.ask("HEAD", "news") == (405, "")
    expect_end(web)


def test_a_post_is_one_line_of_limited_size(web: Web) -> None:
    bob = web.peer("bob", b"#news")
    for wrong in (b"one\n/quit", b"one\r\ntwo", b"x" * (60 * 1024 + 1), b"x" * 5 * MIB):
        assert web.ask("POST", "news", wrong) == (400, "not one line of at most 60 KiB\n")
    assert web.ask("POST", "news", b"x" * 60 * 1024) == (200, "said\n")
    bob.expect(b"from web to #news: " + b"x" * 60 * 1024)
    for text, heard in ((b"", b""), (b"end\r\n", b"end"), (b"a, bob: x", b"a, bob: x")):
        assert web.ask("POST", "news", text) == (200, "said\n")
        bob.expect(b"from web to #news: " + heard)
    expect_end(web)


def test_a_browser_that_leaves_hears_the_topic_no_more(web: Web) -> None:
    bob = web.peer("bob")
    events = web.events("news")
    assert events.next() == ("node", "ok join #news")
    (name,) = who(bob, b"#news")
    assert name.startswith(b"web-")
    events.close()
    eventually(lambda: not who(bob, b"#news"), "the browser's peer has gone")
    expect_end(web)


def test_a_browser_that_does_not_read_keeps_nobody_waiting_and_is_told_what_it_lost(web: Web) -> None:
    events = web.events("news")
    assert events.next() == ("node", "ok join #news")
    bob = web.peer("bob")
    count = 40_000
    for start in range(0, count, 1000):
        bob.say(*(b"#news: %d " % number + b"x" * 1000 for number in range(start, start + 1000)))
        assert bob.barrier() == []
    heard = lost = 0
    expected = 0
    while expected < count:
        event, data = events.next()
        if event == "message":
            number = int(data["text"].partition(" ")[0])
            assert number == expected
            expected, heard = expected + 1, heard + 1
        else:
            assert data.startswith("error lagged: #news ")
            expected, lost = expected + int(data.rpartition(" ")[2]), lost + int(data.rpartition(" ")[2])
    assert heard + lost == count
    assert lost > 0
    expect_end(web)


def test_the_end_of_the_program_is_told_to_all(web: Web) -> None:
    events, bob = web.events("news"), web.peer("bob", b"#news")
    assert events.next() == ("node", "ok join #news")
    bob.say(b"#news: last")
    assert bob.barrier() == []
    web.stop()
    assert events.next() == ("message", {"from": "bob", "text": "last"})
    assert events.next() == ("node", "bye shutdown")
    assert events.next() == ("", None)
    assert bob.to_end() == [b"bye shutdown"]
    bob.close()
    assert web.program.end() == ("", 0)


# --- The mesh


def test_the_echo_hub_echoes_to_threads_and_to_others(tmp_path: Path, programs: list[Program]) -> None:
    programs.append(
        hub := Program("mesh_echo.py", "tcp://127.0.0.1:0", f"unix://{tmp_path}/hub", "ws://127.0.0.1:0/hub")
    )
    addresses = [hub.line().strip() for _ in range(3)]
    assert [address.partition(":")[0] for address in addresses] == ["tcp", "unix", "ws"]
    for number, address in enumerate(addresses, 1):
        programs.append(threads := Program("mesh_threads.py", address))
        assert threads.end() == ("300 came back, of 300 sent\n", 0)
        assert hub.line() == f"{number} has gone: Connection was closed cleanly. (0 unsent)\n"
    hub.process.send_signal(signal.SIGINT)
    assert hub.end()[1] == -signal.SIGINT or hub.process.returncode == 0


def test_the_work_queue_gives_each_answer_to_who_asked(programs: list[Program]) -> None:
    programs.append(work := Program("mesh_work.py"))
    squares = [[number**2 for number in range(start, start + 10)] for start in (0, 10)]
    said = "".join(f"client {number}: {answers}\n" for number, answers in enumerate(squares))
    assert work.end() == (said + "20 done\n", 0)
