"""A hub whose connections echo, beside one whose other end never reads: the rate of those that read, for one transport.

In: a transport, an address.  Out: envelopes a second, on standard output.  Never: an envelope that is lost.

Both ends are in this process, so that it is the same for `inproc`: what counts is the rate with the slow one and
without.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from twisted.internet.task import deferLater, react

from nettool.mesh import Envelope, Mesh, QueueFull, transport

BATCH = 50
"""Envelopes that each connection has under way."""
FILLING = 200
"""Turns in which the slow one is filled."""


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


async def main(reactor: Any, *arguments: str) -> None:
    """Connect, fill the slow one's queue, and measure the others."""
    scheme, address, _, connections, size, seconds, stuck = arguments
    for_listener, for_client = options(scheme)
    listener = await transport(scheme, **for_listener).listen(address)
    client = transport(scheme, **for_client)
    hub, ends = Mesh(4096, 128), Mesh(4096, 128)
    payload = bytes(int(size))
    ids = list(range(int(connections)))
    for id in ids:
        ends.add(await client.connect(listener.endpoint), id)
        hub.add(await listener.accept(10), id)
    slow = None
    if stuck == "1":
        slow = await client.connect(listener.endpoint)
        hub.add(await listener.accept(10), "slow")

    def send_to_slow(payload: bytes) -> None:
        try:
            while slow is not None:
                hub.send(Envelope("slow", payload))
        except QueueFull:
            pass

    # What the kernel takes before it is full is a load of its own: it is full before anything is measured.
    for _ in range(FILLING):
        send_to_slow(bytes(32 * 1024))
        await deferLater(reactor, 0)

    count = 0
    for id in ids:
        hub.send_many([Envelope(id, payload)] * BATCH)
    began = time.process_time()
    end = time.perf_counter() + float(seconds)
    while not count or time.perf_counter() < end:
        for envelope in await ends.recv_many(BATCH):
            await ends.send_when_ready(envelope)
        back = await hub.recv_many(1000)
        count += len(back)
        send_to_slow(payload)
        for envelope in back:
            await hub.send_when_ready(envelope)
    print(count / (time.process_time() - began))
    if slow is not None:
        assert hub.stats()["slow"].queued_out == 128
        slow.abort()
    await listener.close()
    await hub.close(0)
    await ends.close(0)


if __name__ == "__main__":
    react(main, sys.argv[1:])
