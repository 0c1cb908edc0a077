"""
A node's key, and the certificate made from it.

In: a state directory, the node's name.  Out: its identity, made at the first start; the line by which others know it.
Never: a key that is overwritten, that others can read, or that shows in a repr.

The certificate says nothing that the key and the name do not: it is made again, to the byte, whenever it is missing or
of another name.  It does not end, since trust in it is a line in a file, and ends with that line.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from OpenSSL.SSL import Context
from twisted.logger import Logger

from nettool.errors import Mistake, SettingError
from nettool.files import StateDirectory
from nettool.wire.names import name_fault

KEY_FILE = "node-key.pem"
CERTIFICATE_FILE = "node-certificate.pem"

KEY_BYTES = 32
KEY_KIND = "ed25519:"

# RFC 5280's values for "no end", and a beginning before any clock that is wrong: a clock decides nothing here.
_BEGIN, _END = datetime(2000, 1, 1), datetime(9999, 12, 31, 23, 59, 59)

_log = Logger()


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node's name and its public key: what a line of trusted-nodes says."""

    name: bytes
    key: bytes
    """32 bytes."""

    def __str__(self) -> str:
        """The line, as `nettool identity show` prints it."""
        return f"{self.name.decode()} {written(self.key)}"


def written(key: bytes) -> str:
    """A public key as it is written: `ed25519:` and base64."""
    return KEY_KIND + b64encode(key).decode()


def parse_key(text: str) -> bytes:
    """The public key that is written so; `SettingError` for anything else."""
    kind, data = text[: len(KEY_KIND)], text[len(KEY_KIND) :]
    try:
        key = b64decode(data.encode("ascii"), validate=True) if kind == KEY_KIND else b""
    except (NotBase64, UnicodeEncodeError):
        key = b""
    # Base64 has several ways to write some keys: only the one that is printed will do, so that lines can be compared.
    if len(key) != KEY_BYTES or written(key) != text:
        raise SettingError(f"expected {KEY_KIND} and {KEY_BYTES} bytes in base64, as `nettool identity show` prints it")
    return key


class Identity:
    """A node's name, its private key, and its certificate.

    Invariant: what it shows of itself, in a repr or a log, is public.
    """

    __slots__ = ("_key", "certificate", "public")

    def __init__(self, name: bytes, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = NodeKey(name, _public_bytes(key))
        self.certificate = _certificate_of(self.public, key)

    @classmethod
    def new(cls, name: bytes) -> Identity:
        """One that is kept nowhere: for tests, and for nodes inside a program."""
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def kept_in(cls, state_dir: str, name: bytes) -> Identity:
        """The one that is kept there; made now if there is none.

        `SettingError` if it can be neither read nor made, or if others can read it.
        """
        directory = StateDirectory(state_dir)
        made = directory.keep_once(KEY_FILE, _new_key_file)
        key = _read_key(directory)
        if key is None:
            raise _mistake(f"{directory.where(KEY_FILE)} leads nowhere, or was removed just now")
        identity = cls(name, key)
        _keep_certificate(directory, identity)
        if made:
            _log.info(
                "made this node's key, {path}: {line}",
                event="key-made",
                path=directory.where(KEY_FILE),
                line=str(identity.public),
            )
        return identity

    @classmethod
    def find(cls, state_dir: str, name: bytes) -> Identity | None:
        """The one that is kept there, if there is one; nothing is made or changed.  `SettingError` as `kept_in`."""
        key = _read_key(StateDirectory(state_dir))
        return None if key is None else cls(name, key)

    @classmethod
    def make(cls, state_dir: str, name: bytes) -> Identity | None:
        """Make one there; none if there already is one, which is left as it is.  `SettingError` as `kept_in`."""
        directory = StateDirectory(state_dir)
        if not directory.keep_once(KEY_FILE, _new_key_file):
            return None
        return cls.kept_in(state_dir, name)

    @property
    def name(self) -> bytes:
        """The node's."""
        return self.public.name

    def put_into(self, context: Context) -> None:
        """Have TLS show the certificate, and prove that this node has its key."""
        context.use_certificate(self.certificate)
        context.use_privatekey(self._key)
        context.check_privatekey()

    def __repr__(self) -> str:
        return f"<Identity {self.public}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an identity is not copied: its key stays where it is")


def name_kept(state_dir: str) -> bytes:
    """The name in the certificate that is kept there; empty if there is none that can be read."""
    if not state_dir:
        return b""
    try:
        content = StateDirectory(state_dir).read(CERTIFICATE_FILE)
        return _name_in(x509.load_pem_x509_certificate(content)) if content is not None else b""
    except (SettingError, ValueError):
        return b""


def _public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _certificate_of(node: NodeKey, key: Ed25519PrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node.name.decode())])
    serial = int.from_bytes(sha256(node.key).digest()[:16], "big") >> 1
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial + 1, _BEGIN, _END)
    return builder.sign(key, None)


def _name_in(certificate: x509.Certificate) -> bytes:
    """The name in a certificate of ours; `ValueError` for another one."""
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        name = str(attribute.value).encode()
        if not name_fault(name):
            return name
    raise ValueError("it names no node")


def _new_key_file() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_key(directory: StateDirectory) -> Ed25519PrivateKey | None:
    path = directory.where(KEY_FILE)
    pem = directory.read_secret(KEY_FILE)
    if pem is None:
        return None
    try:
        key = load_pem_private_key(pem, None)
    except Exception as error:  # whatever the parser makes of what is there; its words may have some of it
        what = "a passphrase" if isinstance(error, TypeError) else "no private key"
        raise _mistake(f"expected a private Ed25519 key without a passphrase in {path}, which has {what}") from None
    finally:
        del pem  # a traceback may come with variables
    if not isinstance(key, Ed25519PrivateKey):
        raise _mistake(f"expected a private Ed25519 key in {path}, which has one of another kind")
    return key


def _keep_certificate(directory: StateDirectory, identity: Identity) -> None:
    """Have the certificate beside the key: to look at, and to know the node's name by.  A link needs only the key."""
    pem = identity.certificate.public_bytes(Encoding.PEM)
    try:
        before = directory.read(CERTIFICATE_FILE)
        if before == pem:
            return
        was, name = name_kept(directory.path), identity.name
        directory.keep(CERTIFICATE_FILE, pem)
    except SettingError as error:  # a directory that is read only
        _log.warn("the certificate is not kept: {error}", event="certificate-not-kept", error=str(error))
        return
    if was and was != name:
        _log.warn(
            "this node was {was} and is {name} now: where others trust it, the line has to become {line}",
            event="node-renamed",
            was=was.decode(),
            name=name.decode(),
            line=str(identity.public),
        )


def _mistake(text: str) -> SettingError:
    return SettingError(Mistake(("node.state-dir",), text))
