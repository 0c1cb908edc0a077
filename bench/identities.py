"""What linked nodes know each other by: keys, and files of whom they trust.

In: directories.  Out: files in them.  Never: a key that is used twice; a key for anything but a run of the benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from nettool.cluster.identity import Identity


def trusted_nodes(states: Mapping[bytes, Path]) -> list[str]:
    """The lines of a file of trusted nodes: a node's name and its state directory, where its key is made."""
    lines = []
    for name, state in states.items():
        identity = Identity.find(str(state), name) or Identity.make(str(state), name)
        assert identity is not None, "it was neither there nor could be made"
        lines.append(str(identity.public))
    return lines


def certificate_for(path: Path, address: str) -> Path:
    """A file with a key and a self-signed certificate for this address, made unless it is there."""
    if path.exists():
        return path
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    kept = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(kept + certificate.public_bytes(serialization.Encoding.PEM))
    return path
