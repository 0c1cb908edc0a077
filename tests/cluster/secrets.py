"""What a private key could show itself as, and where it must not."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.logger import LogEvent, eventAsText, globalLogPublisher

from nettool.cluster.identity.keys import KEY_FILE


def secret_of(state_dir: str | Path) -> bytes:
    """The private half of the key that is kept there."""
    key = load_pem_private_key(Path(state_dir, KEY_FILE).read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key.private_bytes_raw()


def shows(text: str, secret: bytes) -> bool:
    """Whether a text has the secret in it, or a good part of it, in one of the ways in which bytes are written."""
    for size in (len(secret), 12):
        part = secret[:size]
        forms = [part.hex(), part.hex(":"), repr(part)[2:-1], str(list(part))[1:-1], str(int.from_bytes(part, "big"))]
        # In base64 it may begin at each of three places of a group.
        forms += [re.sub("=", "", b64encode(b"\0" * pad + part).decode())[4:-4] for pad in range(3)]
        if any(form.lower() in text.lower() for form in forms):
            return True
    return False


@contextmanager
def logged() -> Iterator[list[LogEvent]]:
    """All that is logged meanwhile."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)


def as_texts(events: list[LogEvent]) -> list[str]:
    return [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events]


def all_of(event: dict[str, Any]) -> str:
    """An event with all its fields, as a log of JSON may have it."""
    return f"{eventAsText(event)} {event!r}"
