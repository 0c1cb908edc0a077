"""Answers are found where a server says something of its own accord next to them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from bench.connections import answer_to_ping, read_until
from bench.crowd import Login
from bench.dialects import Dialect, Nats, Nettool


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(10)
        yield here, there


@pytest.mark.parametrize(
    ("dialect", "said"),
    [
        (Nats(), b"PONG\r\n"),
        (Nats(), b"PONG\r\nPING\r\n"),
        (Nats(), b"PING\r\nPONG\r\n"),
        (Nettool(), b"pong ready\n"),
        (Nettool(), b"from alice: hello\npong ready\n"),
    ],
)
def test_an_answer_ends_where_the_server_said_something_unasked(
    ends: tuple[socket.socket, socket.socket], dialect: Dialect, said: bytes
) -> None:
    here, there = ends
    there.sendall(said)
    assert answer_to_ping(here, dialect) == said

    there.sendall(said)
    assert Login(here, dialect.ends(dialect.pong)).answered()


def test_an_answer_that_comes_in_pieces_is_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    login = Login(here, Nats().ends(b"PONG\r\n"))
    there.sendall(b"PO")
    assert not login.answered()
    there.sendall(b"NG\r\n")
    assert login.answered()
    there.sendall(b"PONG\r\n")
    assert read_until(here, b"PONG\r\n") == b"PONG\r\n"
