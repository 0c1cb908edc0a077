"""
What is written of where nodes are.

In: text: an address, a node with its addresses, a list of nodes, the value of `--link-connect`.
Out: values, or what was expected instead.  Never: a look at a file, or at the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from nettool.errors import Mistake, SettingError
from nettool.wire.names import name_fault

SERVICE = "_nettool-link._tcp"
"""What a domain's SRV records for links are found under."""

MAX_HOST = 253
"""Characters of a host's name in DNS, without the dot at its end."""

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node may be reached: a host's name or IP address, and a TCP port."""

    host: str
    """Without the brackets that an IPv6 address is written in."""
    port: int

    def __str__(self) -> str:
        """As it is written: `parse_address` reads it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Addresses = tuple[Address, ...]
"""In the order in which they are tried."""

Nodes = dict[bytes, Addresses]
"""Addresses by name of the node."""


def parse_address(text: str) -> Address:
    """`HOST:PORT`, with an IPv6 address in brackets; `SettingError` for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise SettingError(f"expected HOST:PORT, with a port from 1 to 65535; not {text!r}")
    if host.startswith("[") and host.endswith("]"):
        return Address(_ipv6(host[1:-1], text), int(port))
    if ":" in host:
        raise SettingError(f"expected an IPv6 address in brackets, such as [2001:db8::2]:6389; not {text!r}")
    if fault := host_fault(host):
        raise SettingError(f"expected HOST:PORT, {fault}; not {text!r}")
    return Address(host, int(port))


def host_fault(host: str) -> str:
    """What is wrong with a host's name or IPv4 address; empty if nothing is."""
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdigit():  # no domain at the top is a number, so it is meant as an address
        try:
            IPv4Address(host)
        except ValueError:
            return "and an IPv4 address has four numbers from 0 to 255"
    elif len(host) > MAX_HOST + 1 or not all(_LABEL.fullmatch(label) for label in labels):
        return "and a host's name has letters, digits, hyphens and dots"
    return ""


def _ipv6(host: str, text: str) -> str:
    try:
        IPv6Address(host)
    except ValueError:
        raise SettingError(f"expected an IPv6 address between the brackets; not {text!r}") from None
    return host


def parse_addresses(text: str) -> Addresses:
    """`HOST:PORT[,HOST:PORT...]`, each once; `SettingError` for anything else."""
    return tuple(dict.fromkeys(parse_address(part.strip()) for part in text.split(",")))


def _parse_node_name(text: str) -> bytes:
    name = text.encode("utf-8", "surrogateescape")
    if fault := name_fault(name):
        raise SettingError(f"expected a node's name, and {fault}; not {text!r}")
    return name


# A list of nodes


def parse_nodes(content: bytes, path: str) -> Nodes:
    """What a list of nodes says: lines of `NAME HOST:PORT[,HOST:PORT...]` or `NAME=...`, comments, blanks.

    Several lines of one node are several addresses of it, in their order.  A name that ends in a = needs the second
    form: `a= HOST:PORT` is the node `a`.  `SettingError` with every mistake and its
    line.
    """
    nodes: Nodes = {}
    mistakes: list[Mistake] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            written = line.partition(b"#")[0].decode("utf-8").strip()  # neither a name nor an address has a #
            if written:
                name, addresses = _parse_line(written)
                nodes[name] = joined(nodes.get(name, ()), addresses)
        except UnicodeDecodeError:
            mistakes.append(Mistake((), "expected UTF-8", f"{path}:{number}"))
        except SettingError as error:
            mistakes.append(Mistake((), str(error), f"{path}:{number}"))
    if mistakes:
        raise SettingError(*mistakes)
    return nodes


def _parse_line(line: str) -> tuple[bytes, Addresses]:
    line = ",".join(part.strip() for part in line.split(","))
    # The last word: a name may have a =, an address has none, and no spaces now.
    addresses = "".join(line.replace("=", " ").split()[-1:])
    name = line[: len(line) - len(addresses)].rstrip()
    name = name.removesuffix("=").rstrip()
    if not name or not line.endswith(addresses or " ") or ":" in name:
        raise SettingError(f"expected NAME HOST:PORT[,HOST:PORT...], not {line!r}")
    return _parse_node_name(name), parse_addresses(addresses)


def joined(first: Addresses, then: Addresses) -> Addresses:
    """All of them, each once."""
    return tuple(dict.fromkeys((*first, *then)))


# The value of an option


@dataclass(frozen=True, slots=True)
class StaticSource:
    """`NAME=HOST:PORT[,HOST:PORT...]`: a node and its addresses."""

    name: bytes
    addresses: Addresses

    def __str__(self) -> str:
        return f"{self.name.decode()}={','.join(map(str, self.addresses))}"


@dataclass(frozen=True, slots=True)
class FileSource:
    """`file:PATH`: a list of nodes, which is watched."""

    path: str

    def __str__(self) -> str:
        return f"file:{self.path}"


@dataclass(frozen=True, slots=True)
class DnsSource:
    """`dns:NAME`: the SRV records of a domain."""

    domain: str
    """Without the dot at its end."""

    def __str__(self) -> str:
        return f"dns:{self.domain}"


WrittenSource = StaticSource | FileSource | DnsSource


def parse_source(text: str) -> WrittenSource:
    """`NAME=HOST:PORT[,HOST:PORT...]`, `file:PATH` or `dns:NAME`; `SettingError` for anything else."""
    kind, colon, rest = text.partition(":")
    if colon and kind == "file":
        if not rest or "\0" in rest:
            raise SettingError(f"expected file:PATH, not {text!r}")
        return FileSource(rest)
    if colon and kind == "dns":
        return DnsSource(_parse_domain(rest, text))
    name, equals, addresses = text.rpartition("=")
    if not equals or not addresses:
        raise SettingError(f"expected NAME=HOST:PORT[,HOST:PORT...], file:PATH or dns:NAME; not {text!r}")
    return StaticSource(_parse_node_name(name), parse_addresses(addresses))


def _parse_domain(domain: str, text: str) -> str:
    domain = domain.removesuffix(".")
    if domain.startswith(SERVICE + "."):
        raise SettingError(f"expected dns:NAME without {SERVICE}, which is put before it; not {text!r}")
    if host_fault(domain) or len(domain) > MAX_HOST - len(SERVICE) - 1 or domain.rpartition(".")[2].isdigit():
        raise SettingError(f"expected dns:NAME, and a domain has letters, digits, hyphens and dots; not {text!r}")
    return domain
