"""How the options about other nodes are written, and what is wrong with the files that they name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nettool.cluster.identity import Identity
from nettool.cluster.resolver import DnsSource, FileSource, StaticSource, parse_source
from nettool.errors import SettingError
from nettool.options.kinds import NODES, TRUSTED_NODES


def refused(kind: object, text: str) -> list[str]:
    with pytest.raises(SettingError) as caught:
        kind.parse(text)  # type: ignore[attr-defined]
    assert all(not mistake.place and not mistake.keys for mistake in caught.value.mistakes), "the option adds its own"
    return [mistake.text for mistake in caught.value.mistakes]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("text", ["node2=10.0.0.2:6389", "node2=[::1]:6389,b:1", "dns:cluster.example.net"])
def test_what_names_no_file_is_read_as_it_is_written(text: str) -> None:
    source = NODES.parse(text)
    assert isinstance(source, StaticSource | DnsSource)
    assert source == parse_source(text) and NODES.write(source) == text


def test_a_list_of_nodes_is_found_wherever_the_process_goes_later(here: Path) -> None:
    (here / "nodes").write_text("node2 a:1\n", encoding="utf-8")
    source = NODES.parse("file:nodes")
    assert source == FileSource(str(here / "nodes"))
    assert NODES.parse(NODES.write(source)) == source
    assert NODES.parse("file:~/nodes") == FileSource(os.path.expanduser("~/nodes"))


def test_a_list_of_nodes_and_a_file_of_trusted_ones_may_come_later(here: Path) -> None:
    assert NODES.parse("file:later") == FileSource(str(here / "later"))
    assert TRUSTED_NODES.parse("later") == str(here / "later")
    assert TRUSTED_NODES.parse("") == ""


def test_every_mistake_in_a_list_is_told_with_its_line(here: Path) -> None:
    (here / "nodes").write_text("node2\nnode3 a:1\nnode4 ::1:1\n", encoding="utf-8")
    first, second = refused(NODES, "file:nodes")
    assert first == f"{here}/nodes:1: expected NAME HOST:PORT[,HOST:PORT...], not 'node2'"
    assert second.startswith(f"{here}/nodes:3: expected an IPv6 address in brackets")


def test_every_mistake_in_a_file_of_trusted_nodes_is_told_with_its_line(here: Path) -> None:
    line = str(Identity.new(b"node2").public)
    (here / "trusted").write_text(f"{line}\n{line}\nnode3\n", encoding="utf-8")
    first, second = refused(TRUSTED_NODES, "trusted")
    assert first == f"{here}/trusted:2: node2 is in line 1 already"
    assert second.startswith(f"{here}/trusted:3: expected a node's name and its key")


def test_what_cannot_be_read_is_refused(here: Path) -> None:
    assert refused(NODES, f"file:{here}") == [f"expected a file that can be read, not {str(here)!r}: it is a directory"]
    assert refused(TRUSTED_NODES, str(here)) == [f"{here}: expected a file that can be read: it is a directory"]


def test_a_file_of_trusted_nodes_that_others_can_write_is_refused(here: Path) -> None:
    (here / "trusted").touch()
    (here / "trusted").chmod(0o666)
    [said] = refused(TRUSTED_NODES, "trusted")
    assert said == (
        f"{here}/trusted: expected that nobody but its owner can write it; its mode is 0666: chmod go-w {here}/trusted"
    )


def test_what_is_neither_is_told_what_was_expected() -> None:
    assert refused(NODES, "node2:6389") == [
        "expected NAME=HOST:PORT[,HOST:PORT...], file:PATH or dns:NAME; not 'node2:6389'"
    ]
