"""A list of nodes in a file that is watched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from nettool.cluster.resolver import Address, FileResolver
from nettool.cluster.resolver.sources import EVERY
from tests.cluster.secrets import as_texts, logged

ONE, TWO = Address("a", 1), Address("b", 2)


class Watched:
    """A resolver on a clock, and its file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.resolver = FileResolver(str(path), self.clock)
        self.news: list[frozenset[bytes]] = []
        self.resolver.subscribe(self.news.append)

    def write(self, content: str) -> None:
        self.path.write_text(content, encoding="utf-8")

    def pass_time(self, seconds: float = 1.0) -> None:
        """A second, in which a change has to be noticed."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end - 1e-9:
            self.clock.advance(min(0.1, end - self.clock.seconds()))

    @property
    def nodes(self) -> dict[bytes, tuple[Address, ...]]:
        return {name: self.resolver.addresses(name) for name in self.resolver.names()}


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path / "nodes")
    watched.write("node2 a:1\n")
    yield watched
    if watched.resolver.running:
        watched.resolver.stopService()
    assert watched.clock.getDelayedCalls() == []


def test_the_file_is_known_at_once_when_it_starts(watched: Watched) -> None:
    assert watched.nodes == {}
    with logged() as events:
        watched.resolver.startService()
    assert watched.nodes == {b"node2": (ONE,)}
    assert watched.news == [{b"node2"}]
    assert as_texts(events) == [f"addresses of nodes in {watched.path}: 1"]


def _in_place(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")


def _by_rename(path: Path, content: str) -> None:
    path.with_suffix(".new").write_text(content, encoding="utf-8")
    os.replace(path.with_suffix(".new"), path)


def _by_link(path: Path, content: str) -> None:
    other = path.with_suffix(f".{len(list(path.parent.iterdir()))}")
    other.write_text(content, encoding="utf-8")
    path.unlink()
    path.symlink_to(other)


def _with_the_same_times(path: Path, content: str) -> None:
    times = path.stat()
    path.write_text(content, encoding="utf-8")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("write", [_in_place, _by_rename, _by_link, _with_the_same_times])
def test_a_change_is_noticed_within_a_second_however_it_is_written(write: object, watched: Watched) -> None:
    watched.resolver.startService()
    watched.pass_time(0.3)
    write(watched.path, "node2 b:2\n")  # type: ignore[operator]
    watched.pass_time()
    assert watched.nodes == {b"node2": (TWO,)}
    write(watched.path, "node3 b:2\n")  # type: ignore[operator]
    watched.pass_time()
    assert watched.news == [{b"node2"}, {b"node2"}, {b"node2", b"node3"}]


def test_what_does_not_change_is_no_news(watched: Watched) -> None:
    watched.resolver.startService()
    watched.pass_time(5)
    watched.write("# the same\nnode2=a:1\n")
    watched.pass_time(5)
    assert watched.news == [{b"node2"}]


def test_a_file_that_is_being_written_is_not_taken_for_a_shorter_one(watched: Watched) -> None:
    watched.write("node2 a:1\nnode3 b:2\n")
    watched.resolver.startService()
    with watched.path.open("w", encoding="utf-8") as file:
        for piece in ("", "node2 ", "a:1\nnod", "e3 b:25\n"):
            file.write(piece)
            file.flush()
            watched.clock.advance(EVERY)
    assert watched.news == [{b"node2", b"node3"}]
    watched.pass_time()
    assert watched.news == [{b"node2", b"node3"}, {b"node3"}]


@pytest.mark.parametrize(
    "what, fault",
    [
        ("removed", "{path}: it cannot be read: No such file or directory"),
        ("a directory", "{path}: it cannot be read: it is a directory"),
        ("too large", "{path}: it cannot be read: it is larger than 1024 KiB"),
        ("wrong", "{path}:2: expected NAME HOST:PORT[,HOST:PORT...], not 'node4'"),
    ],
)
def test_a_file_that_is_gone_or_wrong_keeps_what_is_known_and_is_told_once(
    what: str, fault: str, watched: Watched
) -> None:
    watched.resolver.startService()
    with logged() as events:
        if what == "wrong":
            watched.write("node3 a:1\nnode4\n")
        elif what == "too large":
            watched.write("#" * (1 << 20 | 1))
        else:
            watched.path.unlink()
            if what == "a directory":
                watched.path.mkdir()
        watched.pass_time()
        said = fault.format(path=watched.path)
        assert watched.resolver.fault == said
        watched.pass_time(10)
    assert as_texts(events) == [f"nodes stay where they were: {said}"]
    assert watched.nodes == {b"node2": (ONE,)} and len(watched.news) == 1
    if what == "a directory":
        watched.path.rmdir()
    watched.write("node2 b:2\n")
    watched.pass_time()
    assert watched.nodes == {b"node2": (TWO,)} and watched.resolver.fault == ""


def test_a_file_that_was_wrong_and_is_as_before_is_no_news(watched: Watched) -> None:
    watched.resolver.startService()
    watched.write("?\n")
    watched.pass_time()
    assert watched.resolver.fault
    watched.write("node2 a:1\n")
    watched.pass_time()
    assert watched.resolver.fault == "" and len(watched.news) == 1


def test_a_file_that_comes_later_is_found(watched: Watched) -> None:
    watched.path.unlink()
    watched.resolver.startService()
    assert watched.nodes == {} and "No such file" in watched.resolver.fault
    watched.write("node2 a:1\n")
    watched.pass_time()
    assert watched.nodes == {b"node2": (ONE,)} and watched.resolver.fault == ""


def test_an_empty_file_is_a_list_of_nobody(watched: Watched) -> None:
    watched.resolver.startService()
    watched.write("")
    watched.pass_time()
    assert watched.nodes == {} and watched.news == [{b"node2"}, {b"node2"}] and watched.resolver.fault == ""


def test_after_its_end_it_looks_no_more_and_knows_what_it_knew(watched: Watched) -> None:
    watched.resolver.startService()
    watched.resolver.stopService()
    watched.write("node2 b:2\n")
    watched.pass_time(5)
    assert watched.nodes == {b"node2": (ONE,)}
    watched.resolver.startService()
    assert watched.nodes == {b"node2": (TWO,)}


def test_one_that_never_started_can_be_stopped(watched: Watched) -> None:
    watched.resolver.stopService()
