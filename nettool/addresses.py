"""
The other end of a connection, for people.

In: an address of Twisted's.  Out: text.  Never: a name looked up.
"""

from __future__ import annotations

from typing import Any


def address_text(address: Any) -> str:
    """An address as people write it: `127.0.0.1:6388`, `[::1]:6388`, a UNIX socket's path."""
    if address is None:
        return ""
    host = getattr(address, "host", None)
    if host is not None:
        return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
    name = getattr(address, "name", address)
    if name is None:  # whoever connects to a UNIX socket has no name of its own
        return "unix"
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
