"""A node's key and certificate."""

from __future__ import annotations

import copy
import os
import pickle
import stat
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from twisted.python.failure import Failure

from nettool.cluster.identity import Identity, NodeKey, name_kept
from nettool.cluster.identity.keys import CERTIFICATE_FILE, KEY_FILE, parse_key, written
from nettool.errors import SettingError
from nettool.wire.names import is_name
from tests.cluster.secrets import all_of, as_texts, logged, secret_of, shows

KEY = bytes(range(32))
LINE = "node1 ed25519:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture
def state_dir(tmp_path: Path) -> str:
    return str(tmp_path / "state")


def certificate_in(state_dir: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(state_dir, CERTIFICATE_FILE).read_bytes())


# --- the public half ------------------------------------------------------------------------------


def test_a_key_is_written_with_its_kind() -> None:
    assert str(NodeKey(b"node1", KEY)) == LINE
    assert parse_key(LINE.split()[1]) == KEY


@given(st.binary(min_size=32, max_size=32))
def test_what_is_written_is_read(key: bytes) -> None:
    assert parse_key(written(key)) == key


@given(st.text() | st.text("ed25519:ABCabc012+/=", max_size=60).map("ed25519:".__add__))
def test_what_is_read_is_written_so(text: str) -> None:
    try:
        key = parse_key(text)
    except SettingError:
        return
    assert len(key) == 32 and written(key) == text


ENCODED = b64encode(KEY).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ed25519:",
        ENCODED,
        f"ED25519:{ENCODED}",
        f"ssh-ed25519:{ENCODED}",
        f"ed25519: {ENCODED}",
        f"ed25519:{ENCODED[:-1]}",  # without the end that pads it
        f"ed25519:{ENCODED}=",
        f"ed25519:{ENCODED[:-2]}9=",  # the same bytes, if the two bits that are too many are ignored
        f"ed25519:{b64encode(KEY[:31]).decode()}",
        f"ed25519:{b64encode(KEY + b'x').decode()}",
        f"ed25519:{KEY.hex()}",
        f"ed25519:{ENCODED[:-4]}\n{ENCODED[-4:]}",
        "ed25519:ä",
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="expected ed25519: and 32 bytes in base64, as `nettool identity show`"):
        parse_key(text)


# --- the certificate ------------------------------------------------------------------------------


def test_the_certificate_has_the_nodes_name_and_its_key_and_signs_itself() -> None:
    identity = Identity.new("nöde1".encode())
    certificate = identity.certificate
    assert certificate.subject.rfc4514_string() == certificate.issuer.rfc4514_string() == "CN=nöde1"
    key = certificate.public_key()
    assert isinstance(key, Ed25519PublicKey)
    assert key.public_bytes_raw() == identity.public.key
    certificate.verify_directly_issued_by(certificate)


def test_the_certificate_is_the_same_whenever_it_is_made() -> None:
    key = Ed25519PrivateKey.generate()
    assert Identity(b"node1", key).certificate == Identity(b"node1", key).certificate
    assert Identity(b"node1", key).certificate != Identity(b"node2", key).certificate


@given(
    st.binary(min_size=1, max_size=64).filter(is_name)
    | st.text(min_size=1, max_size=64).map(str.encode).filter(is_name)
)
def test_every_name_of_a_node_fits_into_a_certificate(name: bytes) -> None:
    [attribute] = Identity.new(name).certificate.subject
    assert attribute.value == name.decode()


@pytest.mark.parametrize("name", [b"x" * 64, "ö".encode() * 32, "🜁".encode() * 16, b'a="b"+c\\;<>'])
def test_the_longest_and_strangest_names_fit(name: bytes, state_dir: str) -> None:
    assert is_name(name)
    Identity.kept_in(state_dir, name)
    assert name_kept(state_dir) == name


# --- what is kept ---------------------------------------------------------------------------------


def test_the_first_start_makes_a_key_and_the_next_finds_it(state_dir: str) -> None:
    with logged() as events:
        first = Identity.kept_in(state_dir, b"node1")
    assert as_texts(events) == [f"made this node's key, {state_dir}/{KEY_FILE}: {first.public}"]
    with logged() as events:
        second = Identity.kept_in(state_dir, b"node1")
    assert events == []
    assert second.public == first.public
    assert second.certificate == first.certificate == certificate_in(state_dir)
    assert stat.S_IMODE(os.stat(state_dir).st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in Path(state_dir).iterdir()} == {
        KEY_FILE: 0o600,
        CERTIFICATE_FILE: 0o600,
    }


def test_two_nodes_have_two_keys(tmp_path: Path) -> None:
    keys = {Identity.kept_in(str(tmp_path / name), b"node").public.key for name in "abc"}
    assert len(keys) == 3


def test_make_leaves_a_key_that_is_there(state_dir: str) -> None:
    made = Identity.make(state_dir, b"node1")
    assert made is not None
    assert Identity.make(state_dir, b"node1") is None
    assert Identity.make(state_dir, b"node2") is None
    assert Identity.kept_in(state_dir, b"node1").public == made.public
    assert name_kept(state_dir) == b"node1"


def test_find_makes_and_changes_nothing(state_dir: str) -> None:
    assert Identity.find(state_dir, b"node1") is None
    assert not os.path.exists(state_dir)
    made = Identity.kept_in(state_dir, b"node1")
    Path(state_dir, CERTIFICATE_FILE).unlink()
    found = Identity.find(state_dir, b"node2")
    assert found is not None and found.public == NodeKey(b"node2", made.public.key)
    assert os.listdir(state_dir) == [KEY_FILE]


def test_a_node_with_a_new_name_keeps_its_key_and_says_what_others_have_to_change(state_dir: str) -> None:
    before = Identity.kept_in(state_dir, b"node1")
    with logged() as events:
        after = Identity.kept_in(state_dir, b"node9")
    assert after.public == NodeKey(b"node9", before.public.key)
    assert as_texts(events) == [
        f"this node was node1 and is node9 now: where others trust it, the line has to become {after.public}"
    ]
    assert name_kept(state_dir) == b"node9"


@pytest.mark.parametrize("content", [None, b"", b"no certificate", "another's"])
def test_a_certificate_that_is_missing_or_wrong_is_made_again(content: bytes | str | None, state_dir: str) -> None:
    before = Identity.kept_in(state_dir, b"node1")
    path = Path(state_dir, CERTIFICATE_FILE)
    if content is None:
        path.unlink()
    else:
        other = Identity.new(b"node1").certificate.public_bytes(Encoding.PEM)
        path.write_bytes(other if isinstance(content, str) else content)
    Identity.kept_in(state_dir, b"node1")
    assert certificate_in(state_dir) == before.certificate


def test_a_certificate_that_cannot_be_kept_is_told_and_not_missed(state_dir: str) -> None:
    identity = Identity.kept_in(state_dir, b"node1")
    path = Path(state_dir, CERTIFICATE_FILE)
    path.unlink()
    path.mkdir()
    with logged() as events:
        assert Identity.kept_in(state_dir, b"node1").public == identity.public
    [text] = as_texts(events)
    assert text.startswith("the certificate is not kept: node.state-dir: ")
    assert name_kept(state_dir) == b""


def test_the_name_is_unknown_where_no_certificate_tells_it(state_dir: str) -> None:
    assert name_kept("") == name_kept(state_dir) == b""
    Identity.kept_in(state_dir, b"node1")
    other = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "no name of a node")])
    template = Identity(b"x", other).certificate
    builder = x509.CertificateBuilder(
        name, name, other.public_key(), 1, template.not_valid_before_utc, template.not_valid_after_utc
    )
    Path(state_dir, CERTIFICATE_FILE).write_bytes(builder.sign(other, None).public_bytes(Encoding.PEM))
    assert name_kept(state_dir) == b""


def _pem(key: object, *, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "which has no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n", "which has no private key"),
        (_pem(Ed25519PrivateKey.generate())[:-60], "which has no private key"),
        (_pem(Ed25519PrivateKey.generate(), passphrase=b"x"), "which has a passphrase"),
        (_pem(rsa.generate_private_key(65537, 2048)), "which has one of another kind"),
        (_pem(ec.generate_private_key(ec.SECP256R1())), "which has one of another kind"),
    ],
    ids=map(str, count()),  # keys are new each time, and names of tests are the same in all processes of a run
)
def test_a_key_that_cannot_be_used_is_refused_and_left_as_it_is(content: bytes, said: str, state_dir: str) -> None:
    Identity.kept_in(state_dir, b"node1")
    path = Path(state_dir, KEY_FILE)
    path.write_bytes(content)
    for call in (Identity.kept_in, Identity.find):
        with pytest.raises(SettingError, match=r"node\.state-dir: expected a private Ed25519 key") as caught:
            call(state_dir, b"node1")
        assert str(caught.value).endswith(said) and str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_no_key_is_made_behind_a_link_that_leads_nowhere(state_dir: str, tmp_path: Path) -> None:
    os.mkdir(state_dir, 0o700)
    Path(state_dir, KEY_FILE).symlink_to(tmp_path / "nowhere")
    with pytest.raises(SettingError, match=r"node-key\.pem leads nowhere, or was removed just now"):
        Identity.kept_in(state_dir, b"node1")
    assert Identity.make(state_dir, b"node1") is None
    assert not os.path.exists(tmp_path / "nowhere")


def test_a_key_that_others_can_read_is_refused(state_dir: str) -> None:
    Identity.kept_in(state_dir, b"node1")
    os.chmod(Path(state_dir, KEY_FILE), 0o640)
    for call in (Identity.kept_in, Identity.find):
        with pytest.raises(SettingError, match=r"nobody but its owner can read .*, whose mode is 0640: chmod 600"):
            call(state_dir, b"node1")


def test_without_a_state_directory_there_is_no_key_to_keep() -> None:
    with pytest.raises(SettingError, match=r"node\.state-dir: expected a directory"):
        Identity.kept_in("", b"node1")


def test_of_many_nodes_that_start_at_once_with_one_directory_all_have_one_key(state_dir: str) -> None:
    code = (
        "import sys\n"
        "from nettool.cluster.identity import Identity\n"
        "sys.stdin.readline()\n"
        "print(Identity.kept_in(sys.argv[1], b'node1').public)"
    )
    nodes = [
        subprocess.Popen(
            [sys.executable, "-c", code, state_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    for node in nodes:
        assert node.stdin is not None
        node.stdin.write("\n")
        node.stdin.flush()
    lines = {node.communicate()[0].strip() for node in nodes}
    assert {node.returncode for node in nodes} == {0}
    assert lines == {str(Identity.kept_in(state_dir, b"node1").public)}
    assert sorted(os.listdir(state_dir)) == [CERTIFICATE_FILE, KEY_FILE]


# --- a private key is never shown -----------------------------------------------------------------


def test_the_check_for_secrets_finds_one() -> None:
    secret = os.urandom(32)
    for text in (
        secret.hex(),
        repr(secret),
        b64encode(b"12345" + secret + b"x").decode(),
        str([*secret]),
        secret.hex(":"),
    ):
        assert shows(f"key: {text}!", secret)
    assert not shows(written(os.urandom(32)), secret)


def _with_variables(call: Callable[[], object]) -> str:
    """The traceback of what it raises, with all variables of all frames."""
    try:
        call()
    except Exception:
        text: str = Failure(captureVars=True).getTraceback(detail="verbose")
        return text
    raise AssertionError


def test_a_private_key_shows_in_no_repr_log_or_error(state_dir: str) -> None:
    with logged() as events:
        identity = Identity.kept_in(state_dir, b"node1")
        Identity.kept_in(state_dir, b"node2")
        secret = secret_of(state_dir)
        os.chmod(Path(state_dir, KEY_FILE), 0o644)
        with pytest.raises(SettingError) as too_open:
            Identity.kept_in(state_dir, b"node1")
        os.chmod(Path(state_dir, KEY_FILE), 0o600)
        damaged = Path(state_dir, KEY_FILE).read_bytes().replace(b"-----END", b"\n-----XND")
        Path(state_dir, KEY_FILE).write_bytes(damaged)
        with pytest.raises(SettingError) as unreadable:
            Identity.kept_in(state_dir, b"node1")
        verbose = _with_variables(lambda: Identity.kept_in(state_dir, b"node1"))
    texts = [repr(identity), str(identity), f"{identity.certificate!r}", *map(all_of, events)]
    texts += [repr(error.value) + str(error.value.__cause__) for error in (too_open, unreadable)]
    assert "  path : " in verbose
    texts.append(verbose)
    assert len(events) == 2
    assert [text for text in texts if shows(text, secret)] == []
    assert repr(identity) == f"<Identity {identity.public}>"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_identity_is_not_copied(copied: object) -> None:
    with pytest.raises(TypeError, match="its key stays where it is"):
        copied(Identity.new(b"node1"))  # type: ignore[operator]
