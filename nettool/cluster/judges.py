"""
Whom a node links to where no key decides.

In: a node's name, its transport, the name that was meant.  Out: nothing, or `Refused`, with what to do about it in
words for either end.  Never: trust in a connection that another machine could have made.

`nettool.cluster.secured` has the judge of a node in use, which goes by keys.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from nettool.cluster.identity import Refused
from nettool.errors import RefusalReason

Judge = Callable[[bytes, Any, bytes], object]
"""Takes a node's name, its transport and the name that was meant, if one was; raises `Refused` unless it is trusted."""


def trust_nobody(name: bytes, transport: Any, meant: bytes) -> None:
    """What holds unless something else is said."""
    raise Refused(
        RefusalReason.NOT_TRUSTED,
        f"{escaped(name)} is not trusted, as nobody is: this node was given no judge (nettool.cluster.secured has one)",
        "this node trusts nobody: it was started without trusted nodes",
    )


def trust_nearby(name: bytes, transport: Any, meant: bytes) -> None:
    """For tests with plain connections: whoever is on this machine is who he says, and nobody else."""
    address = transport.getPeer()
    if not is_nearby(address):
        raise Refused(
            RefusalReason.NO_CERTIFICATE,
            f"{escaped(name)} came without TLS, from {address}: plain links are for tests, over the loopback interface "
            "or a UNIX socket; between machines let both ends use nettool.cluster.secured",
            "plain links are taken over the loopback interface or a UNIX socket only: use TLS",
        )


def is_nearby(address: object) -> bool:
    """Whether that is on this machine: the loopback interface, or a UNIX socket."""
    if isinstance(address, UNIXAddress):
        return True
    if not isinstance(address, IPv4Address | IPv6Address):
        return False
    try:
        ip = ip_address(address.host)
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def escaped(name: bytes) -> str:
    """A name that came from outside, as a log may have it."""
    return ascii(name.decode("utf-8", "replace"))[1:-1]
