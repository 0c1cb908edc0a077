"""A hub whose connections echo, with one more whose other end never reads, and one without it: for one transport.

In: a transport, where it may listen.  Out: the share of their rate that those that read keep, on standard output.
Never: an envelope that is lost.

Both hubs and both ends of all connections are in this process, so that it is the same for `inproc`.  They run in turn,
for moments, since a machine's speed changes within seconds: the share is the median of pairs, by processor time.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Any

from twisted.internet.task import deferLater, react

from nettool.mesh import Envelope, Mesh, QueueFull, transport

BATCH = 50
"""Envelopes that each connection has under way."""
OUTGOING = 128
"""Envelopes that an outgoing queue has room for."""
FILLING = 200
"""Turns in which the slow one is filled."""
MOMENT = 0.04
"""Seconds that each hub runs at a time."""


def free_address(scheme: str, directory: str, number: int) -> str:
    """Where a hub of this scheme may listen."""
    return {
        "inproc": f"inproc://hub-{number}",
        "unix": f"unix://{directory}/hub-{number}",
    }.get(scheme, f"{scheme}://127.0.0.1:0")


def options(scheme: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a listener and a client need."""
    if scheme not in ("tls", "wss"):
        return {}, {}
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from twisted.internet.ssl import CertificateOptions, PrivateCertificate

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    host = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = builder.add_extension(host, critical=False).sign(key, hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed.public_bytes(Encoding.PEM)
    certificate = PrivateCertificate.loadPEM(pem)
    return {"options": certificate.options()}, {"options": CertificateOptions(trustRoot=certificate)}


class Hub:
    """A mesh whose connections echo, and the mesh with their other ends; with a slow one, or without."""

    def __init__(self, listener: Any, client: Any, size: int) -> None:
        self._listener = listener
        self._client = client
        self._payload = bytes(size)
        self._hub, self._ends = Mesh(4096, OUTGOING), Mesh(4096, OUTGOING)
        self._slow: Any = None

    async def connect(self, id: Any) -> Any:
        """A connection to the hub; its near end."""
        near = await self._client.connect(self._listener.endpoint)
        self._hub.add(await self._listener.accept(10), id)
        return near

    async def begin(self, reactor: Any, connections: int, stuck: bool) -> None:
        """Connect, fill the slow one's queue, and put under way what goes round."""
        for id in range(connections):
            self._ends.add(await self.connect(id), id)
        if stuck:
            self._slow = await self.connect("slow")
        # What the kernel takes before it is full is a load of its own: it is full before anything is measured.
        for _ in range(FILLING):
            self._send_to_slow(bytes(32 * 1024))
            await deferLater(reactor, 0)
        for id in range(connections):
            self._hub.send_many([Envelope(id, self._payload)] * BATCH)

    def _send_to_slow(self, payload: bytes) -> None:
        try:
            while self._slow is not None:
                self._hub.send(Envelope("slow", payload))
        except QueueFull:
            pass

    async def run(self, seconds: float) -> float:
        """Envelopes that came to the hub in so many seconds, for each second of processor time."""
        count, began, end = 0, time.process_time(), time.perf_counter() + seconds
        while not count or time.perf_counter() < end:
            for envelope in await self._ends.recv_many(BATCH):
                await self._ends.send_when_ready(envelope)
            back = await self._hub.recv_many(1000)
            count += len(back)
            self._send_to_slow(self._payload)
            for envelope in back:
                await self._hub.send_when_ready(envelope)
        return count / (time.process_time() - began)

    async def end(self) -> None:
        """Close everything; the slow one's queue must have been full until now."""
        if self._slow is not None:
            assert self._hub.stats()["slow"].queued_out == OUTGOING
            self._slow.abort()
        await self._listener.close()
        await self._hub.close(0)
        await self._ends.close(0)


async def main(reactor: Any, scheme: str, directory: str, connections: str, size: str, seconds: str) -> None:
    """Two hubs, one of them with a slow connection, for a moment each in turn."""
    for_listener, for_client = options(scheme)
    hubs = []
    for stuck in (False, True):
        listener = await transport(scheme, **for_listener).listen(free_address(scheme, directory, int(stuck)))
        hubs.append(Hub(listener, transport(scheme, **for_client), int(size)))
        await hubs[-1].begin(reactor, int(connections), stuck)
    without, beside = hubs
    shares = []
    for _ in range(max(1, round(float(seconds) / MOMENT))):
        alone = await without.run(MOMENT)
        shares.append(await beside.run(MOMENT) / alone)
    print(median(shares))
    for hub in hubs:
        await hub.end()


if __name__ == "__main__":
    react(main, sys.argv[1:])
