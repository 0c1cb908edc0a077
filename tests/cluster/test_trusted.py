"""The file of trusted nodes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.cluster.identity import Identity, NodeKey, Trust, TrustedNodes, parse_trusted, read_trusted
from nettool.errors import SettingError
from nettool.wire.names import is_name

ONE, TWO, THREE = (NodeKey(b"node%d" % number, bytes([number]) * 32) for number in (1, 2, 3))
OWN = NodeKey(b"own", b"o" * 32)

names = st.text(min_size=1, max_size=20).map(str.encode).filter(is_name)
nodes = st.lists(
    st.builds(NodeKey, names, st.binary(min_size=32, max_size=32)),
    unique_by=(lambda node: node.name, lambda node: node.key),
    max_size=5,
)


def places_of(content: bytes) -> list[str]:
    """Where the mistakes of a content are, or what else is there."""
    with pytest.raises(SettingError) as caught:
        parse_trusted(content, "/etc/trusted")
    return [mistake.place for mistake in caught.value.mistakes]


def test_lines_comments_and_blanks_are_read() -> None:
    content = f"# those in Berlin\n\n{ONE}\r\n  \t {TWO}   # behind the router\n#{THREE}\n{THREE}"
    trusted = parse_trusted(content.encode(), "/etc/trusted")
    assert trusted.keys == {node.name: node.key for node in (ONE, TWO, THREE)}
    assert trusted.names == {node.key: node.name for node in (ONE, TWO, THREE)}
    assert [trusted.place(name) for name in (b"node1", b"node2", b"node3")] == [
        "/etc/trusted:3",
        "/etc/trusted:4",
        "/etc/trusted:6",
    ]


def test_what_nettool_prints_can_be_pasted() -> None:
    identity = Identity.new("nöde=1".encode())
    assert parse_trusted(f"{identity.public}\n".encode()).keys == {identity.name: identity.public.key}


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# node1\n", b"\xef\xbb\xbf", b" \t\r\n"])
def test_an_empty_file_trusts_nobody(content: bytes) -> None:
    assert parse_trusted(content).keys == {}


@given(nodes, st.data())
def test_what_is_written_is_read_whatever_is_between_the_lines(all_nodes: list[NodeKey], data: st.DataObject) -> None:
    ends = st.sampled_from(["\n", "\r\n", "  \n", " # x\n", "\n#\n", "\n\n"])
    content = "".join(str(node) + data.draw(ends) for node in all_nodes)
    trusted = parse_trusted(content.encode())
    assert trusted.keys == {node.name: node.key for node in all_nodes}
    assert trusted.names == {node.key: node.name for node in all_nodes}
    assert TrustedNodes.of(all_nodes).keys == trusted.keys


@given(st.binary(max_size=200) | st.builds(lambda a, b: a + str(ONE).encode() + b, st.binary(), st.binary()))
def test_any_content_is_read_whole_or_refused_with_its_lines(content: bytes) -> None:
    try:
        trusted = parse_trusted(content, "f")
    except SettingError as error:
        assert error.mistakes
        for mistake in error.mistakes:
            path, _, line = mistake.place.partition(":")
            assert path == "f" and 1 <= int(line) <= content.count(b"\n") + 1
            assert "\n" not in str(mistake)
    else:
        assert len(trusted.names) == len(trusted.keys) == len(trusted.lines)
        assert all(is_name(name) and len(key) == 32 for name, key in trusted.keys.items())


@pytest.mark.parametrize(
    "line, said",
    [
        (b"node1", "there is one word"),
        (str(ONE).encode() + b" x", "there are 3 words"),
        (b"a node1 ed25519:x y", "there are 4 words"),
        (str(ONE).replace(" ", "").encode(), "there is one word"),
        (str(ONE).replace("node1", "no:de").encode(), "a name has none of"),
        (str(ONE).replace("node1", "n" * 65).encode(), "a name has 1 to 64 bytes"),
        (str(ONE).encode().replace(b"node1", b"\xff"), "a name is valid UTF-8"),
        (str(ONE)[:-1].encode(), "expected ed25519: and 32 bytes in base64"),
        (str(ONE).replace("ed25519", "rsa").encode(), "expected ed25519: and 32 bytes in base64"),
        (b"node1 ed25519:\xff", "expected ed25519: and 32 bytes in base64"),
        (b"node1 *", "expected ed25519: and 32 bytes in base64"),
    ],
)
def test_a_malformed_line_is_named_with_its_file(line: bytes, said: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_trusted(b"# one\n" + line + b"\n", "/etc/trusted")
    text = str(caught.value)
    assert text.startswith("/etc/trusted:2: expected ") and said in text and "identity show" in text


def test_every_mistake_is_told_at_once() -> None:
    assert places_of(f"x\n{ONE}\ny\n{TWO} z\n".encode()) == [f"/etc/trusted:{line}" for line in (1, 3, 4)]


@pytest.mark.parametrize(
    "second, said",
    [
        (NodeKey(ONE.name, TWO.key), "node1 is in line 1 already"),
        (NodeKey(TWO.name, ONE.key), "node1 has this key in line 1 already"),
        (ONE, "node1 is in line 1 already"),
    ],
)
def test_a_name_and_a_key_are_there_once(second: NodeKey, said: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_trusted(f"{ONE}\n\n{second}\n".encode(), "/etc/trusted")
    assert str(caught.value) == f"/etc/trusted:3: {said}"


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "trusted-nodes"
    path.write_text(f"{ONE}\n{TWO}\n", encoding="utf-8")
    path.chmod(0o644)
    return path


def test_a_file_is_read(path: Path) -> None:
    trusted = read_trusted(str(path))
    assert trusted.keys.keys() == {ONE.name, TWO.name}
    assert trusted.is_there and trusted.path == str(path)


def test_a_file_that_is_missing_trusts_nobody_and_so_does_none(tmp_path: Path) -> None:
    missing = read_trusted(str(tmp_path / "missing"))
    assert missing == TrustedNodes(path=str(tmp_path / "missing")) and not missing.keys and not missing.is_there
    assert read_trusted("") == TrustedNodes()


@pytest.mark.parametrize("bits", [0o664, 0o646, 0o666, 0o620])
def test_a_file_that_others_can_write_is_refused(bits: int, path: Path) -> None:
    path.chmod(bits)
    with pytest.raises(SettingError, match=f"nobody but its owner can write it; its mode is {bits:04o}: chmod go-w"):
        read_trusted(str(path))


def test_a_file_that_cannot_be_read_is_an_error_and_never_all_or_nobody(path: Path, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.touch(0o600)
    os.truncate(large, 2 << 20)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for wrong in (tmp_path, path / "below", large, pipe):
        with pytest.raises(SettingError) as caught:
            read_trusted(str(wrong))
        assert str(caught.value).startswith(f"{wrong}: expected a file that can be read: ")


# --- what is in force -----------------------------------------------------------------------------


def test_a_reload_takes_what_the_file_says_now(path: Path) -> None:
    trust = Trust(OWN, str(path))
    path.write_text(f"{NodeKey(ONE.name, b'x' * 32)}\n{THREE}\n", encoding="utf-8")
    before = trust.reload()
    assert trust.nodes.keys == {ONE.name: b"x" * 32, THREE.name: THREE.key}
    assert trust.nodes.ended_since(before) == {ONE.name, TWO.name}
    assert trust.nodes.begun_since(before) == {ONE.name, THREE.name}
    assert trust.nodes.ended_since(trust.nodes) == trust.nodes.begun_since(trust.nodes) == set()


def test_a_reload_may_be_of_another_file_or_of_none(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(f"{THREE}\n", encoding="utf-8")
    trust = Trust(OWN, str(path))
    trust.reload(str(other))
    assert trust.nodes.keys.keys() == {THREE.name} and trust.nodes.path == str(other)
    before = trust.reload("")
    assert trust.nodes == TrustedNodes() and trust.nodes.ended_since(before) == {THREE.name}


@pytest.mark.parametrize("how", ["a mistake", "a name twice", "others can write it", "a directory"])
def test_a_reload_of_what_is_wrong_changes_nothing(how: str, path: Path) -> None:
    trust = Trust(OWN, str(path))
    before = trust.nodes
    if how == "others can write it":
        path.chmod(0o666)
    elif how == "a directory":
        path.unlink()
        path.mkdir()
    else:
        path.write_text(f"{ONE}\n{ONE if how == 'a name twice' else '?'}\n", encoding="utf-8")
    with pytest.raises(SettingError, match=str(path)):
        trust.reload()
    assert trust.nodes is before
    assert trust.decide(TWO.name, TWO.key) == TWO


def test_a_file_that_is_removed_trusts_nobody_after_a_reload(path: Path) -> None:
    trust = Trust(OWN, str(path))
    path.unlink()
    before = trust.reload()
    assert trust.nodes.keys == {} and trust.nodes.ended_since(before) == {ONE.name, TWO.name}
