"""
How much is read from a socket at a time.

In: a read that took all that it was let.  Out: how large the next ones from there are.  Never: a walk along its lines.

Where lines are long a read has few of them, which share what each batch, each write and each turn of the reactor costs.
So such reads are larger, and largest where they are spread over several receivers: what one read can bring to a single
outbox is what its bound is soft by.
"""

from __future__ import annotations

from nettool.settings import KIB, READ

LONG_LINES_READ = 480 * KIB
"""Bytes read at a time from a peer whose lines are long: with the prefixes that are added, two chunks.

Against 384 KiB, one to one with texts of 1 KiB to 16 KiB gained 1.00 to 1.13 (medians of five to seven pairs).
"""

SPREAD_LINES_READ = 720 * KIB
"""The same where they go to more than one address.

Against 384 KiB, random names with texts of 512 bytes to 16 KiB gained 1.01 to 1.32 (medians of five pairs).
"""

SAMPLE = 4096
"""Bytes of a read by which it is seen how long its lines are."""

LONG_LINE = 256
"""Bytes of a line, on average, from which on reads are longer."""

SHARE = 4
"""How many reads an outbox must have room for: whole batches are dropped, and one that is most of an outbox would take
the newest lines with it."""


def size_after(data: bytes, outbox_bytes: int) -> int:
    """How many bytes to read at a time, after this read, where outboxes have this bound; 0 is none."""
    if data.count(b"\n", 0, SAMPLE) >= SAMPLE // LONG_LINE:
        return READ
    size = SPREAD_LINES_READ if _is_spread(data) else LONG_LINES_READ
    return READ if 0 < outbox_bytes < SHARE * size else size


def _is_spread(data: bytes) -> bool:
    """Whether its first and its last whole line have different addresses."""
    first = data.find(b"\n") + 1
    last = data.rfind(b"\n", first, data.rfind(b"\n", first)) + 1
    head = data[first : data.find(b": ", first) + 1]
    return last > first and not data.startswith(head, last)
