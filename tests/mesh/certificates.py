"""Certificates for tests, made here: an authority, and what it vouches for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.ssl import Certificate, CertificateOptions, PrivateCertificate


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = _key()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return key, builder.sign(key, hashes.SHA256())


@cache
def _vouched_for(host: str, authority: str) -> PrivateCertificate:
    ca_key, ca = _authority(authority)
    key = _key()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
    now = datetime.now(UTC)
    try:
        name: x509.GeneralName = x509.IPAddress(ip_address(host))
    except ValueError:
        name = x509.DNSName(host)
    builder = x509.CertificateBuilder(ca.subject, subject, key.public_key(), 2, now, now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
    certificate = builder.sign(ca_key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    return PrivateCertificate.loadPEM(pem)


def server_options(host: str = "127.0.0.1", authority: str = "ours") -> CertificateOptions:
    """What a listener shows: a certificate for this host."""
    return _vouched_for(host, authority).options()


def client_options(authority: str = "ours") -> CertificateOptions:
    """What a client trusts."""
    _, ca = _authority(authority)
    root = Certificate.loadPEM(ca.public_bytes(serialization.Encoding.PEM))
    return CertificateOptions(trustRoot=root)
