"""Files that options name: what is not secret, or not there, is a mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nettool.errors import SettingError
from nettool.options.table import BY_KEY


def parse(key: str, value: object) -> object:
    return BY_KEY[key].parse((str(value),))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_authorized_keys_that_others_can_write_are_refused(tmp_path: Path, mode: int) -> None:
    keys = tmp_path / "keys"
    keys.touch()
    keys.chmod(mode)
    with pytest.raises(SettingError, match=f"can write .*, whose mode is {mode:04o}: chmod go-w"):
        parse("manhole.authorized-keys", keys)
    keys.chmod(0o644)
    assert parse("manhole.authorized-keys", keys) == str(keys)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    token.chmod(mode)
    with pytest.raises(SettingError, match=f"can read .*, whose mode is {mode:04o}: chmod 600"):
        parse("web.token", token)
    token.chmod(0o400)
    assert parse("web.token", token) == str(token)


@pytest.mark.parametrize("content", [b"", b"0123456789abcde", b"a b c d e f g h i j", b"x" * 4097, b"\xff" * 20])
def test_a_token_that_is_none_is_refused_with_a_way_to_make_one(tmp_path: Path, content: bytes) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_bytes(content)
    with pytest.raises(SettingError, match=r"expected 16 to 4096 characters .* `openssl rand"):
        parse("web.token", token)


@pytest.mark.parametrize("key", ["manhole.authorized-keys", "web.token"])
def test_what_is_not_there_or_no_file_is_refused(tmp_path: Path, key: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("none", "pipe", ".", "a\0b"):
        with pytest.raises(SettingError, match="expected a file that can be read"):
            parse(key, tmp_path / path)
    assert parse(key, "") == ""


def test_a_state_directory_may_not_be_there_yet(tmp_path: Path) -> None:
    assert parse("node.state-dir", tmp_path / "none") == str(tmp_path / "none")
    for value in ("", __file__):
        with pytest.raises(SettingError, match=r"expected a directory, which .* is not"):
            parse("node.state-dir", value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("tcp:6022", "tcp:6022:interface=127.0.0.1"),
        ("tcp:6022:interface=0.0.0.0", "tcp:6022:interface=0.0.0.0"),
        ("tcp:6022:backlog=5", "tcp:6022:backlog=5:interface=127.0.0.1"),
        ("tcp:6022:127.0.0.2", "tcp:6022:127.0.0.2"),
        ("tcp6:6022", "tcp6:6022:interface=\\:\\:1"),
        ("unix:/run/manhole", "unix:/run/manhole"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("key", ["manhole.listen", "web.listen"])
def test_an_operators_door_is_for_the_machine_itself_unless_it_says_otherwise(
    key: str, written: str, meant: str
) -> None:
    assert parse(key, written) == meant
