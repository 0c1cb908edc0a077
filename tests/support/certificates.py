"""Keys and self-signed certificates, as files: the keys are their owner's only."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate_and_key(name: str = "127.0.0.1", passphrase: bytes = b"") -> tuple[bytes, bytes]:
    """A certificate for a name or an address, and its key, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    try:
        names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(name))]
    except ValueError:
        names = [x509.DNSName(name)]
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock
    )


def write_key(path: Path, *pem: bytes) -> Path:
    """A file that only its owner can read."""
    path.touch(0o600)
    path.write_bytes(b"".join(pem))
    return path


def write_pair(directory: Path, name: str = "127.0.0.1") -> tuple[Path, Path]:
    """`key.pem` and `certificate.pem` in the directory, written over those that there are."""
    certificate, key = certificate_and_key(name)
    (directory / "certificate.pem").write_bytes(certificate)
    return write_key(directory / "key.pem", key), directory / "certificate.pem"
