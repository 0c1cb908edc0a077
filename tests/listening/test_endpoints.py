"""What an endpoint string says, and what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet import endpoints as twisted_endpoints
from twisted.internet.testing import MemoryReactorClock

from nettool.errors import SettingError
from nettool.listening.endpoints import arguments, digest_of_files, endpoint_of, fault_of_files, files_of, scheme
from nettool.listening.opening import rehearse
from tests.support.certificates import certificate_and_key, write_key, write_pair


@pytest.mark.parametrize(
    ("description", "parts"),
    [
        ("tcp:6388", [(None, "tcp"), (None, "6388")]),
        ("tcp:6388:interface=127.0.0.1", [(None, "tcp"), (None, "6388"), ("interface", "127.0.0.1")]),
        (r"tcp:1:interface=\:\:1", [(None, "tcp"), (None, "1"), ("interface", "::1")]),
        (r"unix:/a\=b\\c:mode=6=0", [(None, "unix"), (None, r"/a=b\c"), ("mode", "6=0")]),
        ("", [(None, "")]),
        (":", [(None, ""), (None, "")]),
        ("=x", [("", "x")]),
    ],
)
def test_a_string_has_parts(description: str, parts: list[tuple[str | None, str]]) -> None:
    assert arguments(description) == parts


@given(st.text("tcp:=\\6/", max_size=12))
@example("tcp:1:a=b=c:\\:")
def test_parts_are_those_that_twisted_finds(description: str) -> None:
    try:
        args, keywords = twisted_endpoints._parse(description)
    except RuntimeError:  # it ends in the middle
        return
    ours = arguments(description)
    assert [value for name, value in ours if name is None] == args
    assert {name: value for name, value in ours if name is not None} == keywords


@pytest.mark.parametrize(
    ("description", "kind"),
    [("tcp:1", "tcp"), ("haproxy:tcp:1", "tcp"), ("haproxy:haproxy:ssl:1", "ssl"), ("", ""), ("haproxy", "haproxy")],
)
def test_the_kind_is_below_haproxy(description: str, kind: str) -> None:
    assert scheme(description) == kind


# --- keys


def ssl(key: Path, certificate: Path) -> str:
    return f"ssl:0:privateKey={key}:certKey={certificate}"


def refused(description: str) -> str:
    """What is said of it, both by the check and when the endpoint is made."""
    with pytest.raises(SettingError) as raised:
        rehearse(None, description, None)
    return str(raised.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610, 0o601])
def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    key, certificate = write_pair(tmp_path)
    key.chmod(mode)
    for description in (ssl(key, certificate), "haproxy:" + ssl(key, certificate)):
        assert f"expected that nobody but its owner can read {key}, whose mode is {mode:04o}" in refused(description)
    key.chmod(0o600)
    assert rehearse(None, ssl(key, certificate), None)


def test_a_certificate_may_be_read_by_everybody_but_not_in_one_file_with_its_key(tmp_path: Path) -> None:
    both = write_key(tmp_path / "both.pem", *certificate_and_key())
    assert rehearse(None, f"ssl:0:privateKey={both}", None)
    both.chmod(0o644)
    assert "whose mode is 0644" in refused(f"ssl:0:privateKey={both}")
    assert "whose mode is 0644" in refused(f"ssl:0:{both}"), "by its place, too"


def test_the_key_that_nobody_names_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "server.pem: No such file or directory" in refused("ssl:0")
    write_key(tmp_path / "server.pem", *certificate_and_key()).chmod(0o644)
    assert "server.pem, whose mode is 0644" in refused("ssl:0")
    assert "server.pem, whose mode is 0644" in refused("ssl:0:interface=127.0.0.1")
    key, certificate = write_pair(tmp_path)
    assert rehearse(None, ssl(key, certificate), None)


def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(tmp_path: Path) -> None:
    certificate, key = certificate_and_key(passphrase=b"secret")
    path = write_key(tmp_path / "both.pem", certificate, key)
    assert f"expected a private key without a passphrase in {path}" in refused(f"ssl:0:privateKey={path}")


def test_a_missing_certificate_is_told_by_its_name(tmp_path: Path) -> None:
    key, certificate = write_pair(tmp_path)
    certificate.unlink()
    assert refused(ssl(key, certificate)).endswith(f"{certificate}: No such file or directory")
    assert refused(ssl(tmp_path, certificate)).endswith("No such file or directory")


def test_a_key_that_is_not_the_certificates_is_refused(tmp_path: Path) -> None:
    key, certificate = write_pair(tmp_path)
    certificate.write_bytes(certificate_and_key()[0])
    assert "private keys do not match" in refused(ssl(key, certificate))


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_refused_without_a_traceback(tmp_path: Path, content: bytes) -> None:
    key, certificate = write_pair(tmp_path)
    certificate.write_bytes(content)
    said = refused(ssl(key, certificate))
    assert "OpenSSL says of its key or certificate: " in said
    assert said.isprintable()


def test_a_directory_of_certificates_needs_a_pair(tmp_path: Path) -> None:
    description = f"tls:{tmp_path}:0"
    told = "expected a directory with .pem files of a certificate and its private key"
    assert told in refused(description)
    assert told in refused(f"tls:{tmp_path}/none:0")
    key, certificate = write_pair(tmp_path, "node.example.org")
    assert rehearse(None, description, None)
    certificate.write_bytes(certificate_and_key("node.example.org")[0])
    assert told in refused(description)
    key.chmod(0o640)
    assert "whose mode is 0640" in refused(description)
    key.chmod(0o600)
    (tmp_path / "broken.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "expected keys and certificates that can be read: OpenSSL says" in refused(description)


def test_an_endpoint_without_files_needs_none(tmp_path: Path) -> None:
    for description in ("tcp:1", "unix:/run/x", f"unix:{tmp_path}/x", "tcp6:1", "nonsense:1", "", "unix:a\0b"):
        assert files_of(description) == []
        assert fault_of_files(description) == ""


def test_the_digest_changes_with_every_file_and_only_then(tmp_path: Path) -> None:
    key, certificate = write_pair(tmp_path)
    extra = tmp_path / "chain.pem"
    extra.write_bytes(certificate_and_key()[0])
    description = f"{ssl(key, certificate)}:extraCertChain={extra}"
    digests = [digest_of_files(description), digest_of_files(description)]
    assert digests[0] == digests[1]
    for path in (key, certificate, extra):
        path.write_bytes(path.read_bytes() + b"\n")
        digests.append(digest_of_files(description))
    assert len(set(digests)) == 4
    assert digest_of_files(f"tls:{tmp_path}:0") != digest_of_files("tls:/none:0")


# --- endpoints


@pytest.mark.parametrize("description", ["tcp:1", "tcp6:1", "haproxy:tcp:1", "unix:/run/x"])
def test_a_backlog_is_in_the_thousands(description: str) -> None:
    opening = rehearse(None, description, None)
    assert opening is not None and opening.backlog >= 1000


def test_a_kind_that_is_not_known_here_is_left_to_its_endpoint() -> None:
    assert rehearse(None, "stdio:", None) is None
    assert endpoint_of(MemoryReactorClock(), "stdio:")


def test_a_socket_that_systemd_did_not_hand_over_is_a_mistake() -> None:
    with pytest.raises(SettingError, match="there is no 'peers'"):
        endpoint_of(None, "systemd:domain=INET:name=peers")


@given(st.text(max_size=20), st.sampled_from(["", "tcp:", "ssl:1:", "unix:", "tls:", "haproxy:", "systemd:"]))
def test_whatever_is_written_it_is_an_endpoint_or_a_mistake(text: str, kind: str) -> None:
    if (kind + text).startswith("stdio"):
        return
    try:
        opening: Any = rehearse(None, kind + text, None) or endpoint_of(None, kind + text)
    except SettingError as error:
        assert str(error.mistakes[0]).isprintable()
    else:
        assert opening
