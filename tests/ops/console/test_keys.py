"""The node's own key, and the file of those who may come in: whatever is odd opens nothing."""

from __future__ import annotations

import os
import stat
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from hypothesis import given
from hypothesis import strategies as st
from twisted.conch.ssh.keys import Key
from twisted.logger import globalLogPublisher

from nettool.errors import SettingError
from nettool.ops.console.keys import HOST_KEY, AuthorizedKeys, BadKeyLine, fingerprint_of, host_key, parse_line
from tests.ops.console.manholes import ALICE, BY_ECDSA, BY_RSA, MALLORY, line_of


@pytest.fixture
def log() -> Any:
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [str(event["log_format"]).format(**event) for event in events]


# --- the host key


def test_the_host_key_is_made_at_first_start_and_is_the_same_at_the_next(tmp_path: Path, log: Any) -> None:
    state = tmp_path / "deep" / "state"
    key = host_key(str(state))
    assert key.sshType() == b"ssh-ed25519" and not key.isPublic()
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / HOST_KEY).stat().st_mode) == 0o600
    assert [path.name for path in state.iterdir()] == [HOST_KEY], "no draft is left"
    again = host_key(str(state))
    assert again.blob() == key.blob()
    told = fingerprint_of(key.blob())
    assert texts(log) == [
        f"manhole: the host key made {told}, in {state}/{HOST_KEY}",
        f"manhole: the host key is {told}, in {state}/{HOST_KEY}",
    ]


def test_two_nodes_have_two_keys(tmp_path: Path) -> None:
    assert host_key(str(tmp_path / "a")).blob() != host_key(str(tmp_path / "b")).blob()


def test_whatever_the_umask_nobody_else_can_read_the_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        host_key(str(tmp_path / "state"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / HOST_KEY).stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644])
def test_a_key_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    host_key(str(tmp_path / "state"))
    path = tmp_path / "state" / HOST_KEY
    path.chmod(mode)
    with pytest.raises(SettingError, match=f"state-dir: others can read the host key '{path}'; try `chmod 600 {path}`"):
        host_key(str(tmp_path / "state"))


def test_a_directory_in_which_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    with pytest.raises(SettingError, match="others can write in"):
        host_key(str(tmp_path / "state"))
    assert not list((tmp_path / "state").iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"\0" * 100,
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
        line_of(ALICE),
        BY_RSA.toString("OPENSSH"),
        ALICE.toString("OPENSSH", subtype="v1", passphrase=b"secret"),
    ],
    ids=["empty", "nonsense", "zeros", "broken", "public", "rsa", "encrypted"],
)
def test_a_file_that_is_no_such_key_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / HOST_KEY
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingError, match="no private Ed25519 key of OpenSSH's") as raised:
        host_key(str(tmp_path))
    assert path.read_bytes() == content, "it is never overwritten"
    assert "BEGIN" not in str(raised.value) and "\n" not in str(raised.value)


def test_without_a_directory_there_is_no_manhole(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="state-dir: the manhole keeps its host key there, and there is none"):
        host_key("")
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="state-dir: the manhole's host key cannot be kept there"):
        host_key(str(tmp_path / "file"))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / HOST_KEY, 0o600)
    with pytest.raises(SettingError, match="it is no regular file"):
        host_key(str(tmp_path))


@pytest.mark.system("ssh-keygen")
def test_ssh_keygen_reads_the_key_and_tells_the_same_fingerprint(tmp_path: Path) -> None:
    key = host_key(str(tmp_path))
    told = subprocess.run(["ssh-keygen", "-lf", tmp_path / HOST_KEY], capture_output=True, text=True, check=True)
    assert told.stdout.split()[1] == fingerprint_of(key.blob())


# --- lines of the file


@pytest.mark.parametrize("key", [ALICE, BY_RSA, BY_ECDSA], ids=["ed25519", "rsa", "ecdsa"])
@pytest.mark.parametrize("options", ["", "no-port-forwarding ", "No-Agent-Forwarding,no-X11-forwarding,no-user-rc\t"])
def test_a_line_is_a_key_and_a_comment(key: Key, options: str) -> None:
    found = parse_line(options.encode() + line_of(key, "alice on her laptop"))
    assert found is not None
    assert found.key.blob() == key.public().blob()
    assert found.comment == "alice on her laptop"
    assert str(found) == f"{fingerprint_of(key.public().blob())} (alice on her laptop)"


def test_a_line_may_have_tabs_and_a_carriage_return_and_no_comment() -> None:
    kind, data = line_of(ALICE).split()
    found = parse_line(b" \t" + kind + b"\t" + data + b" \r")
    assert found is not None and found.comment == "" and str(found) == fingerprint_of(ALICE.blob())


@pytest.mark.parametrize("line", [b"", b"  \t\r", b"# ssh-ed25519 AAAA", b"   #"])
def test_blank_lines_and_comments_are_nothing(line: bytes) -> None:
    assert parse_line(line) is None


def test_a_comment_is_escaped() -> None:
    found = parse_line(line_of(ALICE).strip() + b" \x1b[2J\xff\xe2\x80\xae")
    assert found is not None and found.comment == r"\x1b[2J\xff\u202e"


KIND, DATA = line_of(ALICE).split()
DSA = Key(dsa.generate_private_key(1024))
WEAK = Key(rsa.generate_private_key(65537, 1024))

BAD_LINES = [
    (b"nonsense", "expected a key of the kinds"),
    (b"\xff\xfe\x00", "expected a key of the kinds"),
    (b'"', "expected a key of the kinds"),
    (b",", "expected a key of the kinds"),
    (KIND, "the key is not base64|the key cannot be read"),
    (KIND + b" ====", "the key is not base64"),
    (KIND + b" " + DATA[:-4], "the key cannot be read|something after|not base64"),
    (KIND + b" AAAA" + DATA, "another kind|cannot be read"),
    (KIND + b" " + b64encode(b64decode(DATA) + b"more"), "something after the key"),
    (KIND + b" " + line_of(BY_RSA).split()[1], "another kind"),
    (b"ssh-rsa " + DATA, "another kind"),
    (line_of(WEAK), "an RSA key has at least 2048 bits"),
    (line_of(DSA), "expected a key of the kinds"),
    (b"sk-ssh-ed25519@openssh.com " + DATA, "expected a key of the kinds"),
    (b"ssh-ed25519-cert-v01@openssh.com " + DATA, "expected a key of the kinds"),
    (b'from="10.0.0.0/8" ' + KIND + b" " + DATA, "does not know the option from"),
    (b'command="date, please" ' + KIND + b" " + DATA, "does not know the option command"),
    (b'no-pty,command="echo \\"hi, you\\"" ' + KIND + b" " + DATA, "does not know the option no-pty"),
    (b'no-user-rc,environment="A=b c",from="*" ' + KIND + b" " + DATA, "does not know the option environment"),
    (b"restrict " + KIND + b" " + DATA, "does not know the option restrict"),
    (b"cert-authority " + KIND + b" " + DATA, "does not know the option cert-authority"),
    (b"\x1b[2J " + KIND + b" " + DATA, r"the option \\x1b\[2j"),
    (b'expiry-time="20200101" ' + KIND + b" " + DATA, "expiry-time"),
    (b'from="' + KIND + b" " + DATA, "expected a key of the kinds"),
]


@pytest.mark.parametrize(
    ("line", "why"), BAD_LINES, ids=[line[:24].decode("ascii", "replace") for line, _ in BAD_LINES]
)
def test_a_line_that_cannot_be_used_says_why(line: bytes, why: str) -> None:
    with pytest.raises(BadKeyLine, match=why) as raised:
        parse_line(line)
    assert str(raised.value).isprintable()


@given(st.binary(max_size=200) | st.builds(lambda a, b: a + KIND + b" " + b, st.binary(max_size=20), st.binary()))
def test_whatever_a_line_is_it_is_a_key_or_nothing_or_bad(line: bytes) -> None:
    try:
        parse_line(line)
    except BadKeyLine as error:
        assert str(error).isprintable()


# --- the file


def test_the_file_is_read_at_each_login(tmp_path: Path) -> None:
    path = tmp_path / "authorized_keys"
    keys = AuthorizedKeys(str(path))
    alice, mallory = ALICE.public().blob(), MALLORY.public().blob()
    assert keys.find(alice) is None
    path.write_bytes(line_of(MALLORY) + line_of(ALICE, "alice"))
    path.chmod(0o600)
    found = keys.find(alice)
    assert found is not None and found.comment == "alice" and keys.find(mallory) is not None
    path.write_bytes(line_of(ALICE, "alice"))
    assert keys.find(mallory) is None and keys.find(alice) is not None
    path.write_bytes(b"#" + line_of(ALICE, "alice"))
    assert keys.find(alice) is None
    path.write_bytes(line_of(ALICE))
    assert keys.find(alice) is not None
    path.unlink()
    assert keys.find(alice) is None


def test_a_malformed_line_is_logged_and_skipped_and_opens_nothing(tmp_path: Path, log: Any) -> None:
    path = tmp_path / "authorized_keys"
    path.write_bytes(b"nonsense\n\n" + b'from="*" ' + line_of(MALLORY) + line_of(ALICE))
    path.chmod(0o600)
    keys = AuthorizedKeys(str(path))
    assert keys.find(MALLORY.public().blob()) is None
    assert keys.find(ALICE.public().blob()) is not None
    assert keys.find(b"") is None and keys.find(b"nonsense") is None
    told = texts(log)
    assert len(told) == 2, "once for a content, not for each login"
    assert told[0].startswith(f"manhole: {path}, line 1: expected a key")
    assert told[1] == f"manhole: {path}, line 3: the manhole does not know the option from, so the key is refused"


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_large(path: Path) -> None:
    path.write_bytes(line_of(ALICE) + b"#" * 1024 * 1024)
    path.chmod(0o600)


def make_open_to_others(path: Path) -> None:
    path.write_bytes(line_of(ALICE))
    path.chmod(0o666)


def make_open_to_group(path: Path) -> None:
    path.write_bytes(line_of(ALICE))
    path.chmod(0o620)


def make_loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "No such file or directory"),
        (Path.mkdir, "it is no regular file"),
        (make_fifo, "it is no regular file"),
        (make_large, "it has more than 1048576 bytes"),
        (make_open_to_others, "others than its owner can write it"),
        (make_open_to_group, "others than its owner can write it"),
        (make_loop, "Too many levels of symbolic links"),
    ],
    ids=["missing", "directory", "fifo", "large", "writable", "group", "loop"],
)
def test_a_file_that_cannot_be_read_lets_nobody_in(tmp_path: Path, log: Any, make: Any, why: str) -> None:
    path = tmp_path / "authorized_keys"
    make(path)
    assert AuthorizedKeys(str(path)).find(ALICE.public().blob()) is None
    assert texts(log) == [f"manhole: nobody may come in: {path}: {why}"]


def test_a_file_that_becomes_unreadable_closes_what_it_had_opened(tmp_path: Path) -> None:
    path = tmp_path / "authorized_keys"
    path.write_bytes(line_of(ALICE))
    path.chmod(0o600)
    keys = AuthorizedKeys(str(path))
    assert keys.find(ALICE.public().blob()) is not None
    path.chmod(0o666)
    assert keys.find(ALICE.public().blob()) is None


def test_a_manhole_without_a_file_of_keys_is_a_mistake() -> None:
    with pytest.raises(SettingError, match="authorized-keys: the manhole needs a file of public keys"):
        AuthorizedKeys("")
