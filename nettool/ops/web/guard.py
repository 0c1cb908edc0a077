"""
Who may ask.

In: what a request brings.  Out: whether it may be answered.  Never: a secret in a message, or in the time that a
comparison takes.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from nettool.options.kinds import secret_in


def token_in(path: str) -> bytes:
    """The token in a file; `SettingError` for one that is none."""
    return secret_in(path)


def brings(token: bytes, authorization: Sequence[bytes]) -> bool:
    """Whether the headers `Authorization` are one, and bring the token."""
    scheme, _, given = authorization[0].partition(b" ") if len(authorization) == 1 else (b"", b"", b"")
    return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token)


def is_ours(came_to: Any, hosts: Sequence[bytes]) -> bool:
    """Whether a request that came to this address of ours was meant for it, by its `Host`.

    A page from anywhere can have a browser ask a name of its own that it lets point to 127.0.0.1, and read what comes
    back (DNS rebinding).  So what came by the loopback interface has to ask for localhost or for a plain address.  No
    header at all is no browser.
    """
    if not _is_loopback(getattr(came_to, "host", "")) or not hosts:
        return True
    if len(hosts) > 1:
        return False
    host = hosts[0].decode("ascii", "replace").lower()
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    return name == "localhost" or _is_address(name)


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
