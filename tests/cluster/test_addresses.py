"""What is written of where nodes are."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nettool.cluster.resolver import Address, DnsSource, FileSource, StaticSource, parse_nodes, parse_source
from nettool.cluster.resolver.addresses import parse_address, parse_addresses
from nettool.errors import SettingError
from nettool.wire.names import is_name

LABEL = "a" * 63

hosts = (
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{2,5}){0,3}", fullmatch=True).filter(
        lambda host: not host.rpartition(".")[2].isdigit()
    )
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str)
)
addresses = st.builds(Address, hosts, st.integers(1, 65535))
several = st.lists(addresses, min_size=1, max_size=4, unique=True).map(tuple)
names = st.text(min_size=1, max_size=20).map(str.encode).filter(is_name)


@pytest.mark.parametrize(
    "text, host, port",
    [
        ("10.0.0.2:6389", "10.0.0.2", 6389),
        ("node2:1", "node2", 1),
        ("node2.example.net:65535", "node2.example.net", 65535),
        ("node2.example.net.:6389", "node2.example.net.", 6389),
        ("NODE_2.x-y:6389", "NODE_2.x-y", 6389),
        ("1a:6389", "1a", 6389),
        ("a.1b:6389", "a.1b", 6389),
        ("[::1]:6389", "::1", 6389),
        ("[2001:db8::3]:6389", "2001:db8::3", 6389),
        ("[::ffff:10.0.0.2]:6389", "::ffff:10.0.0.2", 6389),
        ("[fe80::1%eth0]:6389", "fe80::1%eth0", 6389),
        (".".join([LABEL] * 3) + ":6389", ".".join([LABEL] * 3), 6389),
    ],
)
def test_an_address_is_read_and_written_again(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)
    assert str(Address(host, port)) == text


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "expected HOST:PORT, with a port from 1 to 65535"),
        ("node2", "with a port from 1 to 65535"),
        ("node2:", "with a port from 1 to 65535"),
        (":6389", "a host's name has letters, digits, hyphens and dots"),
        ("node2:0", "with a port from 1 to 65535"),
        ("node2:65536", "with a port from 1 to 65535"),
        ("node2:+1", "with a port from 1 to 65535"),
        ("node2:٦٣", "with a port from 1 to 65535"),
        ("node2:6389 ", "with a port from 1 to 65535"),
        ("node2:99999999999999999999", "with a port from 1 to 65535"),
        ("::1:6389", "an IPv6 address in brackets, such as [2001:db8::2]:6389"),
        ("2001:db8::3", "an IPv6 address in brackets"),
        ("[node2]:6389", "an IPv6 address between the brackets"),
        ("[::1:6389", "an IPv6 address in brackets"),
        ("[]:6389", "an IPv6 address between the brackets"),
        ("[10.0.0.2]:6389", "an IPv6 address between the brackets"),
        ("[::1]", "with a port from 1 to 65535"),
        ("10.0.0:6389", "an IPv4 address has four numbers from 0 to 255"),
        ("10.0.0.256:6389", "an IPv4 address has four numbers from 0 to 255"),
        ("010.0.0.2:6389", "an IPv4 address has four numbers from 0 to 255"),
        ("6388:6389", "an IPv4 address has four numbers from 0 to 255"),
        ("node 2:6389", "a host's name has letters, digits, hyphens and dots"),
        ("-node:6389", "a host's name has letters, digits, hyphens and dots"),
        ("node-:6389", "a host's name has letters, digits, hyphens and dots"),
        ("a..b:6389", "a host's name has letters, digits, hyphens and dots"),
        ("nöde:6389", "a host's name has letters, digits, hyphens and dots"),
        ("node@x:6389", "a host's name has letters, digits, hyphens and dots"),
        ("a" * 64 + ":6389", "a host's name has letters, digits, hyphens and dots"),
        (".".join([LABEL] * 4) + ":6389", "a host's name has letters, digits, hyphens and dots"),
        ("tcp://node2:6389", "an IPv6 address in brackets"),
    ],
)
def test_what_is_no_address_is_told_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=re.escape(said)) as caught:
        parse_address(text)
    assert str(caught.value).startswith("expected ") and str(caught.value).endswith(f"; not {text!r}")


@given(addresses)
def test_what_is_written_is_read(address: Address) -> None:
    assert parse_address(str(address)) == address


@given(st.text() | st.text("[]:.%0123456789abcdef-"))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except SettingError:
        return
    assert address.host and 1 <= address.port <= 65535
    assert parse_address(str(address)) == address


def test_several_addresses_keep_their_order_each_once() -> None:
    assert parse_addresses("b:1, a:2,b:1 ,[::1]:3") == (Address("b", 1), Address("a", 2), Address("::1", 3))


# --- lists of nodes -------------------------------------------------------------------------------


def test_a_list_has_either_form_comments_and_blanks() -> None:
    content = (
        b"\xef\xbb\xbf# nodes\r\n"
        b"\n"
        b"node2 10.0.0.2:6389\r\n"
        b"node3=[2001:db8::3]:6389,node3.example.net:6389  # Berlin\n"
        b"\tnode4 \t a:1 ,  b:2\n"
        b"node5 = a:1\n"
        b"n\xc3\xb6de=6= a:1\n"
        b"node7 a:1"
    )
    assert parse_nodes(content, "/etc/nodes") == {
        b"node2": (Address("10.0.0.2", 6389),),
        b"node3": (Address("2001:db8::3", 6389), Address("node3.example.net", 6389)),
        b"node4": (Address("a", 1), Address("b", 2)),
        b"node5": (Address("a", 1),),
        "nöde=6".encode(): (Address("a", 1),),
        b"node7": (Address("a", 1),),
    }


def test_several_lines_of_a_node_are_several_addresses_in_their_order() -> None:
    nodes = parse_nodes(b"node2 b:1\nnode3 x:1\nnode2 a:1,b:1\n", "f")
    assert nodes == {b"node2": (Address("b", 1), Address("a", 1)), b"node3": (Address("x", 1),)}


@pytest.mark.parametrize("content", [b"", b"\n", b"# node2 a:1\n"])
def test_an_empty_list_has_no_nodes(content: bytes) -> None:
    assert parse_nodes(content, "f") == {}


@pytest.mark.parametrize(
    "line, said",
    [
        (b"node2", "expected NAME HOST:PORT[,HOST:PORT...], not 'node2'"),
        (b"node2 ", "expected NAME HOST:PORT[,HOST:PORT...], not 'node2'"),
        (b"a:1", "expected NAME HOST:PORT[,HOST:PORT...], not 'a:1'"),
        (b"=a:1", "expected NAME HOST:PORT[,HOST:PORT...], not '=a:1'"),
        (b"node2=", "expected NAME HOST:PORT[,HOST:PORT...], not 'node2='"),
        (b"node2 a:1 b:2", "expected NAME HOST:PORT[,HOST:PORT...], not 'node2 a:1 b:2'"),
        (b" = ", "expected NAME HOST:PORT[,HOST:PORT...], not '='"),
        (b"node2 a:1,", "expected HOST:PORT, with a port from 1 to 65535; not ''"),
        (b"node2 ::1:6389", "expected an IPv6 address in brackets"),
        (b"no@de a:1", "expected a node's name, and a name has none of"),
        (b"no de a:1", "expected a node's name, and a name has no white space"),
        (b"n" * 65 + b" a:1", "expected a node's name, and a name has 1 to 64 bytes"),
        (b"node\xff a:1", "expected UTF-8"),
    ],
)
def test_a_line_that_is_wrong_is_named_with_its_file(line: bytes, said: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_nodes(b"node9 a:1\n" + line + b"\n", "/etc/nodes")
    assert str(caught.value).startswith(f"/etc/nodes:2: {said}")


def test_every_mistake_of_a_list_is_told_at_once() -> None:
    with pytest.raises(SettingError) as caught:
        parse_nodes(b"x\nnode2 a:1\n\xff\ny:1\n", "f")
    assert [mistake.place for mistake in caught.value.mistakes] == ["f:1", "f:3", "f:4"]


@example([(b"=", (Address("a", 1),)), (b"a=", (Address("b", 2),))], " ", ",", "\n")
@given(
    st.lists(st.tuples(names, several), max_size=5, unique_by=lambda node: node[0]),
    st.sampled_from([" ", "=", "\t", " = ", "= "]),
    st.sampled_from([",", ", ", " ,"]),
    st.sampled_from(["\n", "\r\n", " # x\n", "\n\n"]),
)
def test_a_list_that_is_written_is_read(
    nodes: list[tuple[bytes, tuple[Address, ...]]], is_: str, comma: str, end: str
) -> None:
    # After a name that itself ends in one, the = is needed: `a= HOST:PORT` is the node `a`.
    ises = ["=" if name.endswith(b"=") and "=" not in is_ else is_ for name, _ in nodes]
    lines = zip(nodes, ises, strict=True)
    content = "".join(name.decode() + its + comma.join(map(str, all_of)) + end for (name, all_of), its in lines)
    assert parse_nodes(content.encode(), "f") == dict(nodes)


@given(st.binary(max_size=200) | st.text("ab=:,1 \n#[]").map(str.encode))
def test_any_content_is_a_list_or_refused_with_its_lines(content: bytes) -> None:
    try:
        nodes = parse_nodes(content, "f")
    except SettingError as error:
        lines = content.count(b"\n") + 1
        assert all(1 <= int(mistake.place.removeprefix("f:")) <= lines for mistake in error.mistakes)
    else:
        assert all(is_name(name) and all_of for name, all_of in nodes.items())


# --- what --link-connect says ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, source",
    [
        ("node2=a:1", StaticSource(b"node2", (Address("a", 1),))),
        ("node2=a:1,[::1]:2", StaticSource(b"node2", (Address("a", 1), Address("::1", 2)))),
        ("file=a:1", StaticSource(b"file", (Address("a", 1),))),
        ("dns=a:1", StaticSource(b"dns", (Address("a", 1),))),
        ("a=b=c:1", StaticSource(b"a=b", (Address("c", 1),))),
        ("file:/etc/nettool/nodes", FileSource("/etc/nettool/nodes")),
        ("file:a=b:1", FileSource("a=b:1")),
        ("dns:cluster.example.net", DnsSource("cluster.example.net")),
        ("dns:cluster", DnsSource("cluster")),
    ],
)
def test_a_source_is_read_and_written_again(text: str, source: object) -> None:
    assert parse_source(text) == source
    assert str(source) == text


def test_the_dot_at_the_end_of_a_domain_is_understood() -> None:
    assert parse_source("dns:example.net.") == DnsSource("example.net")


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "expected NAME=HOST:PORT[,HOST:PORT...], file:PATH or dns:NAME; not ''"),
        ("node2", "expected NAME=HOST:PORT[,HOST:PORT...], file:PATH or dns:NAME"),
        ("node2:6389", "expected NAME=HOST:PORT[,HOST:PORT...], file:PATH or dns:NAME"),
        ("node2=", "expected NAME=HOST:PORT[,HOST:PORT...], file:PATH or dns:NAME"),
        ("=a:1", "expected a node's name"),
        ("no/de=a:1", "expected a node's name"),
        ("node2=a", "expected HOST:PORT"),
        ("node2=a:1,", "expected HOST:PORT"),
        ("file:", "expected file:PATH"),
        ("dns:", "expected dns:NAME"),
        ("dns:a b", "expected dns:NAME, and a domain has letters, digits, hyphens and dots"),
        ("dns:10.0.0.2", "expected dns:NAME, and a domain has letters, digits, hyphens and dots"),
        ("dns:_nettool-link._tcp.example.net", "expected dns:NAME without _nettool-link._tcp, which is put before it"),
        ("dns:" + ".".join([LABEL] * 4), "expected dns:NAME"),
        ("DNS:example.net", "expected NAME=HOST:PORT[,HOST:PORT...], file:PATH or dns:NAME"),
    ],
)
def test_what_is_no_source_is_told_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=re.escape(said)):
        parse_source(text)


@given(
    st.builds(StaticSource, names, several)
    | st.builds(FileSource, st.text(min_size=1).filter(lambda path: "\0" not in path))
    | st.builds(DnsSource, st.from_regex(r"[a-z]{1,9}(\.[a-z]{1,9}){0,3}", fullmatch=True))
)
def test_a_source_that_is_written_is_read(source: StaticSource | FileSource | DnsSource) -> None:
    assert parse_source(str(source)) == source
