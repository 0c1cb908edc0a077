"""The documentation is true: what it shows is run, what it links to exists, its tables and words are the code's.

Every fenced block of a page is held to something, by what it looks like (`HELD`), or is named in `NOT_RUN` with the
reason.  The programs of docs/embedding.md and docs/examples/ have tests of their own, in tests/test_examples.py.
"""

from __future__ import annotations

import ast
import doctest
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime
from inspect import signature
from pathlib import Path
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.names.authority import BindAuthority
from twisted.protocols.basic import LineOnlyReceiver

from nettool.cluster.ends import ADVICE
from nettool.cluster.identity import parse_trusted
from nettool.cluster.resolver import SrvResolver, parse_nodes
from nettool.embed import Cluster, Node
from nettool.errors import CloseReason, DropReason, ErrorCode, LinkEnd, RefusalReason, ReturnReason
from nettool.ops.logs import Log
from nettool.ops.logs.bursts import BURST
from nettool.ops.logs.events import EVENTS
from nettool.ops.web.answers import Answers
from nettool.ops.web.facts import Facts
from nettool.ops.web.lists import LIMIT, MOST
from nettool.ops.web.site import MOST as VISITS
from nettool.ops.web.site import WITHIN
from nettool.options import TABLE, settle
from nettool.options.pages import reference_page
from nettool.options.sources import from_file
from nettool.settings import Settings
from nettool.tap import Options, makeService
from tests.ops.console.elsewhere import Elsewhere
from tests.ops.console.scene import Scene
from tests.ops.nodes import SeenNode
from tests.ops.test_snapshots import with_slow_bob
from tests.ops.web.browsers import Asker
from tests.support.certificates import certificate_and_key, write_key

ROOT = Path(__file__).resolve().parents[1]
PAGES = [path.relative_to(ROOT).as_posix() for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])]
PROGRAMS_OF = ["docs/embedding.md", "docs/mesh.md"]  # tests/test_examples.py


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def load(path: str) -> ModuleType:
    """A module that belongs to no package."""
    name = "_" + Path(path).stem
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


KEY_AND_CERTIFICATE = certificate_and_key()

names_in: Callable[[str], dict[str, int]] = load("docs/source_links.py").names_in


# --- what is shown is run -------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = text_of(page)
        for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            yield Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2])


BLOCKS = list(blocks())


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_are_true(page: str) -> None:
    parser = doctest.DocTestParser()
    # The fence that ends a block of code would be taken for expected output.
    text = text_of(page).replace("```", "")
    test = parser.get_doctest(text, {"__name__": page}, page, str(ROOT / page), 0)
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert not failed, "".join(said)


class Peer(LineOnlyReceiver):
    delimiter = b"\n"
    transport: Any

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        self.heard.append(line)


def goes_as_printed(block: Block) -> None:
    """Two terminals side by side.  What is printed there and was not said by the node is typed."""
    first, *lines = block.text.splitlines()
    middle = first.index("$ nc", 1)
    if len(set(re.findall(r"localhost (\d+)", first))) == 2:
        with Cluster(["alpha", "beta"]) as cluster:
            peers = cluster["alpha"].connect(Peer()), cluster["beta"].connect(Peer())
            typed(lines, middle, peers, lambda: cluster.settle(0.2))
    else:
        clock = Clock()
        with Node(clock) as node:
            typed(lines, middle, (node.connect(Peer()), node.connect(Peer())), lambda: clock.advance(0))


def typed(lines: list[str], middle: int, peers: tuple[Peer, Peer], go_on: Callable[[], object]) -> None:
    for line in lines:
        for peer, printed in zip(peers, (line[:middle].strip(), line[middle:].strip()), strict=True):
            go_on()
            if peer.heard and peer.heard[0].decode() == printed:
                peer.heard.pop(0)
            elif printed:
                peer.sendLine(printed.encode())
    go_on()
    assert [peer.heard for peer in peers] == [[], []]


def starts_a_node(block: Block, tmp_path: Path) -> None:
    """A command line of twistd: a node is made of it, on a reactor in memory, with a key where it names one."""
    words = [word for word in shlex.split(block.text.replace("\\\n", " ")) if not word.startswith("--pidfile=")]
    at = next(index for index, word in enumerate(words) if word.endswith("twistd"))
    assert words[at + 1 : at + 3] == ["-n", "nettool"]
    for name in re.findall(r"[kK]ey=(\w+\.pem)", block.text):
        write_key(tmp_path / name, *KEY_AND_CERTIFICATE)
    for name in re.findall(r"--authorized-keys (\S+)", block.text):
        (tmp_path / name).touch(0o600)
    options = Options()
    options.parseOptions(words[at + 3 :])
    node = makeService(options, MemoryReactorClock())
    node.privilegedStartService()
    doors = words.count("--manhole") + words.count("--web") + words.count("--link-listen")
    assert len(node.listeners) == max(1, words.count("--listen")) + doors


def configures_a_node(block: Block, tmp_path: Path) -> None:
    """The command, then a node that reads what it made."""
    for line in block.text.splitlines():
        command, _, into = line.partition(" > ")
        if command.startswith("nettool "):
            words = [str(Path(sys.executable).with_name("nettool")), *shlex.split(command)[1:]]
            said = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
            if into:
                (tmp_path / into).write_text(said, encoding="utf-8")
        else:
            starts_a_node(replace(block, text=line), tmp_path)


def makes_keys(block: Block, tmp_path: Path) -> None:
    """Commands of a shell: all succeed, and what they print are lines of trusted nodes."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = ["sh", "-e", "-c", block.text + "cat trusted-nodes 2> /dev/null || true"]
    environment = {"PATH": path, "HOME": str(tmp_path)}
    said = subprocess.run(shell, capture_output=True, check=True, cwd=tmp_path, env=environment).stdout
    assert parse_trusted(b"\n".join(set(said.splitlines()))).keys


def is_a_file_of_trusted_nodes(block: Block) -> None:
    assert parse_trusted(block.text.encode()).keys.keys() == {b"alpha", b"beta", b"gamma"}


def is_a_list_of_nodes(block: Block) -> None:
    nodes = parse_nodes(block.text.encode(), "nodes")
    assert {name: len(addresses) for name, addresses in nodes.items()} == {b"alpha": 1, b"beta": 2, b"gamma": 1}


def is_a_zone(block: Block, tmp_path: Path) -> None:
    """A server of Twisted's own reads it, and answers for the domain."""
    (tmp_path / "zone").write_text(block.text, encoding="utf-8")
    resolver = SrvResolver(
        "cluster.example.net", BindAuthority(str(tmp_path / "zone")).lookupService, Clock(), Random()
    )
    resolver.startService()
    resolver.stopService()
    assert {name: len(resolver.addresses(name)) for name in resolver.names()} == {b"alpha": 1, b"beta": 2, b"gamma": 1}
    assert resolver.addresses(b"beta")[0].host == "beta.cluster.example.net"


def is_a_file_of_options(block: Block) -> None:
    settle([from_file("example.toml", block.text.encode())], Settings())


def says_only_what_the_node_takes(block: Block) -> None:
    """A shell's `printf` into nc: nc is left out, and what is printed is said to a node with an alice."""
    command, _, nc = block.text.strip().rpartition(" | ")
    assert re.fullmatch(r"nc -N localhost 6388", nc)
    said = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout
    clock = Clock()
    with Node(clock) as node:
        alice, script = node.connect(Peer()), node.connect(Peer())
        alice.sendLine(b"alice")
        script.transport.write(said)
        script.transport.loseWriteConnection()
        clock.advance(0)
    assert script.heard == [b"ok login clock@node1", b"bye quit"]
    assert alice.heard[1].startswith(b"from clock: it is ")


def is_a_line_of_the_log(block: Block) -> None:
    if block.text.startswith("totals: "):
        clock = Clock()
        with Node(clock) as node:
            alice, bob = node.connect(Peer()), node.connect(Peer())
            bob.transport.write(b"bob\n")
            clock.advance(0)
            alice.transport.write(b"alice\nbob: 1\nbob: 2\ndave: 3\n")
            clock.advance(0)
            assert block.text == f"totals: {node.totals()}\n"
    else:
        service = makeService(Options(), MemoryReactorClock())
        service.privilegedStartService()
        where = service.listeners[0].where.replace("0.0.0.0", "127.0.0.1")  # a port in memory says so of any
        assert block.text == f"node1 listening on {where}\n"


# What the page about the log shows, by its event.
LOGGED = {
    "listening": ("{node} listening on {where}", {"node": "node1", "where": "tcp:127.0.0.1:6388"}),
    "slow-consumer": ("slow consumer: {name!r} at {peer}", {"name": "bob", "peer": "10.0.0.7:50112"}),
    "linked": ("linked to {node} at {peer}", {"node": "node2", "peer": "10.0.0.2:6389"}),
    "link-ended": (
        "{ended} with {node} at {peer} ended: {why}: {detail} ({advice})",
        {
            "ended": "the link",
            "node": "node2",
            "peer": "10.0.0.2:6389",
            "why": "lost",
            "detail": str(ConnectionDone()),
            "advice": ADVICE[LinkEnd.LOST],
        },
    ),
    "node-unreachable": (
        "{node} cannot be reached at {peer}: {error} ({advice})",
        {
            "node": "node2",
            "peer": "10.0.0.2:6389",
            "error": "Connection was refused by other side: 111: Connection refused.",
            "advice": ADVICE[LinkEnd.UNREACHABLE],
        },
    ),
}


def is_written_by_the_log(block: Block) -> None:
    """Lines as a log writes them, of events as the node has them, at the times that are shown."""
    clock, lines = Clock(), []
    sink: Any = SimpleNamespace(is_terminal=block.info != "json", lost=0)
    sink.write = lambda line, level: lines.append(line) or True  # type: ignore[func-returns-value]
    sink.go_on = lambda patience: True
    log = Log(clock, sink)
    for shown in block.text.splitlines():
        time, name = re.findall(r"\d{4}-[\d:T.-]+Z", shown)[0], re.findall("|".join(LOGGED), shown)[0]
        then = datetime.fromisoformat(time).timestamp()
        template, fields = LOGGED[name]
        namespace = "nettool.peers.protocol.PeerProtocol"
        event = {"log_format": template, "log_time": then, "log_namespace": namespace, "event": name, **fields}
        level = EVENTS[name].level
        event["log_level"] = LogLevel.lookupByName(level)
        held = re.search(r"repeated (\d+) times in (\d+) s", shown)
        if held:
            clock.advance(then - int(held[2]))
            for _ in range(BURST + int(held[1])):
                log(event)
            clock.advance(int(held[2]))
        else:
            log(event)
        assert lines[-1] == shown


def is_in_the_unit_file(block: Block) -> None:
    assert f"--listen={block.text.strip()}\n" in text_of("contrib/systemd/nettool.service.d/socket.conf")


def is_elsewhere(asked: str) -> bool:
    """Whether it is asked of other nodes."""
    return "links" in asked or "@" in asked


def is_asked_at_a_console(block: Block, tmp_path: Path) -> None:
    """`ssh` with a command: what it prints is what is shown, but for the numbers."""
    for number, asked in enumerate(re.split(r"^\$ ", block.text, flags=re.MULTILINE)):
        if not asked:
            continue
        command, _, shown = asked.partition("\n")
        *ssh, source = shlex.split(command)
        assert ssh == ["ssh", "-p", "6022", "localhost"]
        directory = tmp_path / str(number)
        directory.mkdir()
        if is_elsewhere(source):
            with Elsewhere() as elsewhere:
                printed = elsewhere.ask(source)
        else:
            printed = Scene(directory).ask(source)
        assert not shown or without_numbers(printed) == without_numbers(shown)
        assert shown or "Traceback" not in printed


def without_numbers(text: str) -> list[str]:
    """The lines of a text: each number, or amount, is any, and so is the width of a column."""
    text = re.sub(r"SHA256:[\w+/]{43}", "KEY", text)
    return [re.sub(r"\s+", " ", re.sub(r"\d[\d,.:]*( [KM]iB| B)?", "#", line)).strip() for line in text.splitlines()]


def is_a_line_of_the_manholes_log(block: Block, tmp_path: Path) -> None:
    told: list[str] = []
    see: Callable[[dict[str, Any]], None] = lambda event: told.append(str(formatEvent(event)))  # noqa: E731
    globalLogPublisher.addObserver(see)
    try:
        Scene(tmp_path).ask('kick("bob")')
    finally:
        globalLogPublisher.removeObserver(see)
    lines = [without_numbers(line.replace(f"{tmp_path}/", "")) for line in told]
    assert without_numbers(block.text) in lines


def shape(value: Any) -> Any:
    """What JSON is made of, whatever its values are; of a list, its first row."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value[:1]] if isinstance(value, list) else isinstance(value, str)


def is_told_by_the_web(block: Block) -> None:
    """What curl prints, of a node with a slow bob, here or elsewhere: field by field, if not with the same figures."""
    asked, told = block.text.splitlines()
    path = shlex.split(asked)[-1].removeprefix("http://localhost:6390")
    node: Any = SeenNode().start()
    with_slow_bob(node)
    with Elsewhere() as elsewhere:
        if is_elsewhere(path):
            node = SimpleNamespace(service=elsewhere.cluster["node1"])
        answer = Asker(node).ask(path)
    assert answer.status == 200 and shape(answer.json) == shape(json.loads(told))


def test_the_page_about_the_web_has_every_path() -> None:
    told = {code.partition("?")[0] for row in rows("docs/web.md")[1:] for code in codes(row[0]) if code[0] == "/"}
    node = SeenNode().service
    assert told == {path.decode() for path in Answers(node, Facts(node, node.reactor)).paths}
    limits = {row[0].strip("`"): row[1] for row in rows("docs/web.md", "## Facts as JSON")}
    assert limits["limit"] == str(LIMIT) and f"at most {MOST}" in text_of("docs/web.md")
    assert f"At most {VISITS} connections" in text_of("docs/web.md")
    assert f"{WITHIN:.0f} seconds from connecting" in text_of("docs/web.md")


def is_a_benchmark(block: Block) -> None:
    """The benchmark's own tests run it; here it says that it has these options."""
    for line in block.text.splitlines():
        _, *module, options = [*shlex.split(line)[:3], shlex.split(line)[3:]]
        done = subprocess.run([sys.executable, *module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert all(word in done.stdout for word in options if word.startswith("--"))


def shows_a_file(block: Block) -> None:
    assert (ROOT / block.page).parent.joinpath(block.info.split()[1]).is_file()


# The first that matches is what a block is held to.
HELD: list[tuple[str, str, Callable[..., None] | None]] = [
    (r"", r">>> ", None),  # test_the_examples_of_a_page_are_true
    (r"\{(include|literalinclude)\} ", r"", shows_a_file),
    (r"\{(toctree|eval-rst)\}", r"", None),  # Sphinx
    (r"", r"\$ nc .* \$ nc ", goes_as_printed),
    (r"", r"(python3 -m venv .*)?\S*twistd -n (--pidfile=\S+ )?nettool", starts_a_node),
    (r"", r"printf .* \| nc ", says_only_what_the_node_takes),
    (r"", r"(totals: |\S+ listening on )", is_a_line_of_the_log),
    (r"", r"nettool default-config", configures_a_node),
    (r"toml", r"", is_a_file_of_options),
    (r"(json)?$", r"(\{\"time\"|\d{4}-\d\d-\d\dT)", is_written_by_the_log),
    (r"", r"systemd:", is_in_the_unit_file),
    (r"", r"\$ curl ", is_told_by_the_web),
    (r"", r"python -m bench", is_a_benchmark),
    (r"", r"nettool identity ", makes_keys),
    (r"", r"# trusted-nodes", is_a_file_of_trusted_nodes),
    (r"", r"# nodes", is_a_list_of_nodes),
    (r"", r"\$ORIGIN ", is_a_zone),
    (r"", r"(\$ )?ssh -p 6022 localhost '", is_asked_at_a_console),
    (r"", r"manhole: ", is_a_line_of_the_manholes_log),
]

# What no test of its own holds, by its first words.
NOT_RUN = {
    "python3 -m venv .venv && .venv/bin/pip install tox": "needs an index of packages; .ci/run does it",
    "apt install ": "needs an index of packages; .ci/run installs what the tests need",
    "STORM_SEEDS=10 tox -e py": "takes minutes; the tests that it names are in every run, with fewer seeds",
    "SIMULATION_SEEDS=10 tox -e py": "takes minutes; the tests that it names are in every run, with fewer steps",
    "openssl rand ": "needs openssl; what a token is has tests of its own, in tests/options/test_files.py",
    "journalctl ": "needs a journal; the fields that it names are those of the page's example",
    "ssh-keygen -t ed25519": "asks where to; tests/real/test_manhole.py makes such keys",
    "cat ~/.ssh/": "is of one's own home",
    "   alice's socket": "a picture; the steps that it names are run",
}


def held(block: Block) -> Callable[..., None] | None:
    for info, text, check in HELD:
        if re.match(info, block.info) and re.match(text, block.text):
            return check
    if block.page in PROGRAMS_OF and block.info in ("python", "text"):
        return None
    assert any(block.text.startswith(words) for words in NOT_RUN), f"{block}: nothing holds this block to the truth"
    return None


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_is_held_to_the_truth(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = held(block)
    if check is not None:
        monkeypatch.chdir(tmp_path)
        check(block, tmp_path) if "tmp_path" in signature(check).parameters else check(block)


def test_nothing_is_excused_that_is_not_there() -> None:
    assert [words for words in NOT_RUN if not any(block.text.startswith(words) for block in BLOCKS)] == []


def test_the_measurements_of_the_decisions_can_be_made() -> None:
    measure: Any = load("docs/decisions/measure.py")
    assert measure.cutters(1).keys() >= {"Cutter", "LineReceiver"}
    assert len(measure.batches(1)) == 4
    assert measure.charge().keys() == {"a batch, beside its data"}


# --- what is linked exists ------------------------------------------------------------------------

LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def links(page: str) -> list[tuple[str, str]]:
    """Text and target of each, blocks of code left out."""
    text = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    return [(found[1].strip("`"), found[2]) for found in LINK.finditer(text)]


def anchors(path: Path) -> set[str]:
    """What can be linked to in a page: its headings, as the repository's pages and Sphinx make anchors of them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for text, target in links(page):
        if re.match(r"https?://", target):
            continue  # `tox -e links`
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent.joinpath(name).resolve() if name else ROOT / page
        assert path.is_file() and path.is_relative_to(ROOT), f"{page}: {target}"
        if path.suffix == ".md":
            assert not anchor or anchor in anchors(path), f"{page}: {target}"
        elif path.suffix == ".py":
            assert not anchor
            own = path.relative_to(ROOT).as_posix()
            module = own.removesuffix(".py").replace("/", ".")
            known = {path.name, own, module, module.rpartition(".")[0], *names_in(path.read_text(encoding="utf-8"))}
            assert text in known, f"{page}: {text} is not in {target}"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_is_there(page: str) -> None:
    for path in re.findall(r"`((?:nettool|tests|docs|bench)/[\w./]+)`", text_of(page)):
        assert (ROOT / path).exists(), f"{page}: {path}"


def test_every_page_is_in_the_contents() -> None:
    listed = {
        (ROOT / block.page).parent.joinpath(line + ".md").resolve()
        for block in BLOCKS
        if block.info == "{toctree}"
        for line in block.text.splitlines()
        if line and not line.startswith(":")
    }
    pages = {ROOT / page for page in PAGES if page.startswith("docs/") and "/news/" not in page}
    assert listed == pages - {ROOT / "docs/index.md"}


# --- tables and words -----------------------------------------------------------------------------


def rows(page: str, heading: str = "") -> list[list[str]]:
    """The rows of all tables below a heading, as text without their code marks."""
    text = text_of(page)
    if heading:
        text = re.split(r"^#+ ", text.partition(heading + "\n")[2], flags=re.MULTILINE)[0]
    found = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [row for row in found if not set(row[0]) <= {"-", "|", " "}]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]*)`", cell)


def test_the_page_of_options_is_made_of_the_table() -> None:
    page = "docs/reference/options.md"
    assert text_of(page) == reference_page(), "run python docs/options_page.py"
    shown = {row[0].split()[0].strip("`"): row for row in rows(page) if row[0].startswith("`--")}
    assert shown.keys() == {f"--{option.name}" for option in TABLE}
    for option in TABLE:
        row = shown[f"--{option.name}"]
        assert codes(row[1]) == [option.variable, option.key]
        if not option.here and row[3] != "off":
            written = tuple(row[3].strip("`").split()) if option.several else (row[3].strip("`"),)
            assert option.parse(written) == option.of(Settings())


def test_the_protocols_tables_have_all_codes_and_reasons() -> None:
    page = "docs/protocol.md"
    table = [row for row in rows(page, "### Errors") if len(row) == 3 and row[2].strip(" |") in ("yes", "no")]
    told = {code: row[2].strip(" |") == "yes" for row in table for code in codes(row[0])}
    assert told.keys() == {code.value.decode() for code in ErrorCode}
    reasons = dict(re.findall(r"^- Reasons for `(\w+)`: (.*?)\.$", text_of(page), re.MULTILINE | re.DOTALL))
    assert set(codes(reasons["returned"])) == {reason.value.decode() for reason in ReturnReason}
    unsaid = {CloseReason.DISCONNECTED, CloseReason.BROKEN}
    closing = {code for code, closes in told.items() if closes}
    assert set(codes(reasons["bye"])) | closing == {reason.value.decode() for reason in set(CloseReason) - unsaid}


def test_the_page_of_the_cluster_has_all_reasons_to_refuse_a_node() -> None:
    told = [code for row in rows("docs/cluster.md", "## Refused")[1:] for code in codes(row[0])]
    assert told == [reason.value.decode() for reason in RefusalReason]


def test_the_logs_table_has_all_events_with_their_levels_and_fields() -> None:
    told = {row[0].strip("`"): row[1:] for row in rows("docs/logs.md", "## Events")[1:]}
    assert list(told) == list(EVENTS)
    for name, event in EVENTS.items():
        level, *fields, meaning = told[name]
        assert level == event.level
        assert tuple(codes(" ".join(fields))) == event.fields
        assert meaning.strip(" |") == event.meaning


def test_the_ledgers_table_has_all_counts() -> None:
    table = [row[0] for row in rows("docs/delivery.md", "## The ledger")][1:]
    assert {code for cell in table for code in codes(cell)} == {reason.value.decode() for reason in DropReason}
    words = [re.split(r"[:,]", cell)[0] for cell in table]
    snapshot: Any = Node(Clock()).totals()
    assert list(dict.fromkeys(words)) == [
        "accepted",
        "delivered",
        "returned",
        "dropped",
        "forwarded",
        "queued",
        "refused",
    ]
    assert {field.name for field in fields(snapshot)} == set(words)


ROOMS_WITH_WORDS = [
    "broker",
    "outbox",
    "peers",
    "embed",
    "service",
    "tap",
    "options",
    "listening",
    "reloading",
    "files",
    "cluster/identity",
    "cluster/resolver",
    "mesh",
    "mesh/testing",
]
# Classes that are no word of their own.
NO_WORDS = {"Options": "a command line's grammar", "Routing": "the room's own word, by its ways"}


def test_every_word_has_its_place_in_the_code_and_every_class_its_word() -> None:
    table = rows("docs/glossary.md")
    for word, *_, place in table:
        assert word == "word" or LINK.search(place), f"{word} is nowhere in the code"
    linked = {text.partition(".")[0] for text, _ in links("docs/glossary.md")}
    for room in ROOMS_WITH_WORDS:
        for path in [*ROOT.glob(f"nettool/{room}/*.py"), *ROOT.glob(f"nettool/{room}.py")]:
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in NO_WORDS:
                    assert node.name in linked, f"docs/glossary.md does not have {node.name} of {path.name}"


def test_no_word_is_explained_twice() -> None:
    words = [word for row in rows("docs/glossary.md") if row[0] != "word" for word in row[0].split(", ")]
    assert len(words) == len(set(words))


def test_the_decisions_have_one_shape() -> None:
    pages = sorted(ROOT.glob("docs/decisions/[0-9]*.md"))
    for number, path in enumerate(pages, 1):
        text = path.read_text(encoding="utf-8")
        assert path.name.startswith(f"{number:02}-") and text.startswith(f"# {number}. ")
        sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert [name for name in sections if name != "Figures"] == [
            "About",
            "Decision",
            "Rejected",
            "Consequences",
            "Look again",
        ]
