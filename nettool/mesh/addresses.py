"""
What an address says.

In: an address as somebody wrote it.  Out: its parts.  Never: a guess where it is unclear.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from nettool.mesh.errors import BadAddress, UnknownScheme


@dataclass(frozen=True, slots=True)
class HostPort:
    """The parts of `scheme://host:port/path`; `host` is without the brackets of an IPv6 address."""

    host: str
    port: int
    path: str

    @property
    def written(self) -> str:
        """`host:port`, as it stands in an address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def scheme_of(address: str) -> str:
    """The scheme; a bare `host:port` is TCP, and anything else without one has none."""
    scheme, separator, _ = address.partition("://")
    return scheme.lower() if separator else "tcp" if _HOST_PORT.fullmatch(address) else ""


_HOST_PORT = re.compile(r"([^:/]*|\[[^]]*\]):[0-9]+")


def host_port(address: str, schemes: Sequence[str], *, path: bool = False) -> HostPort:
    """The parts of an address of one of these schemes; `path` says whether it may have one."""
    scheme, separator, rest = address.partition("://")
    if not separator or scheme.lower() not in schemes:
        raise UnknownScheme(scheme if separator else address, schemes)
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadAddress(f"{address!r}: {error}") from None
    if port is None or parts.username is not None or parts.query or parts.fragment or (parts.path and not path):
        raise BadAddress(f"{address!r} is not {scheme}://host:port{'/path' if path else ''}")
    return HostPort(host or "", port, parts.path)


def socket_path(address: str) -> str:
    """The path of `unix:///path`."""
    scheme, separator, rest = address.partition("://")
    if not separator or scheme.lower() != "unix":
        raise UnknownScheme(scheme if separator else address, ("unix",))
    if not rest.startswith("/"):
        raise BadAddress(f"{address!r} is not unix:///path, with a path from the root on")
    return rest
