"""The benchmark of the mesh: its hubs echo, what does not come back is noticed, what is printed is what was found."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench import machine, mesh, meshload
from bench.meshload import Load, Result, round_trips

HERE = ["int32", "iterate", "many", "looked"]
"""Those that need nothing but the project's own dependencies."""


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own process stays where it is."""
    monkeypatch.setattr(machine, "usable_cores", list)


# --- hubs -----------------------------------------------------------------------------------------


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, "the hub closed the connection"
        data += more
    return data


@pytest.mark.parametrize("kind", HERE)
def test_a_hub_sends_every_envelope_back_to_where_it_came_from(kind: str) -> None:
    with mesh.hub(kind) as (address, _):
        host, port = address.removeprefix("tcp://").split(":")
        ends = [socket.create_connection((host, int(port)), 30) for _ in range(3)]
        for number, end in enumerate(ends):
            payloads = [b"%d %d" % (number, n) * (n % 40 + 1) for n in range(3000)]
            frames = b"".join(struct.pack(">I", len(payload)) + payload for payload in payloads)
            threading.Thread(target=end.sendall, args=(frames,)).start()
            assert _exactly(end, len(frames)) == frames
        for end in ends:
            end.close()


def test_a_hub_that_does_not_start_is_named() -> None:
    with pytest.raises(SystemExit, match="the hub nonsense did not start"), mesh.hub("nonsense"):
        pass


# --- the load -------------------------------------------------------------------------------------


@contextmanager
def echoing(change: Callable[[bytes], bytes]) -> Iterator[str]:
    """A hub for one connection that changes what it sends back."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        end, _ = server.accept()
        with end:
            try:
                while data := end.recv(65536):
                    end.sendall(change(data))
            except OSError:
                pass  # the load has gone

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    thread.join()
    server.close()


def _closes(data: bytes) -> bytes:
    raise ConnectionError


def _once(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    left = [change]
    return lambda data: left.pop()(data) if left and len(data) > 1000 else data


def test_a_run_in_which_everything_comes_back_counts() -> None:
    for mixed in (False, True):
        with echoing(lambda data: data) as address:
            load = Load(address, 1, 100, mixed)
            assert load.run(os.getpid(), 0.02).rate > 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda data: data[:-1] + b"!", "something else came back"),
        (lambda data: data[104:], "something else came back|did not come back"),
        (lambda data: data[104:208] + data[:104] + data[208:], "something else came back"),
        (lambda data: data + data[-104:], "something else came back"),
        (lambda data: b"", "something else came back|did not come back"),
        (_closes, "closed a connection|the hub is gone"),
    ],
    ids=["changed", "missing", "in another order", "doubled", "swallowed", "closed"],
)
def test_a_run_in_which_something_is_wrong_does_not_count(
    change: Callable[[bytes], bytes], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meshload, "STALL_SECONDS", 0.2)
    with echoing(_once(change)) as address:
        load = Load(address, 1, 100, False)
        with pytest.raises(SystemExit, match=complaint):
            load.run(os.getpid(), 0.02)
        for sock, *_ in load._sockets.values():
            sock.close()
        load._poll.close()


def test_a_round_trip_that_brings_something_else_does_not_count() -> None:
    with echoing(lambda data: data) as address:
        assert round_trips(address, 100, 10) > 0
    with echoing(lambda data: data[:-1] + b"!") as address, pytest.raises(SystemExit, match="something else"):
        round_trips(address, 100, 10)
    with echoing(_closes) as address, pytest.raises((SystemExit, ConnectionError)):
        round_trips(address, 100, 10)


# --- what is printed ------------------------------------------------------------------------------


def test_everything_once_and_what_is_printed_is_what_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"--rounds 1 --seconds 0.02 --trips 20 --hubs {','.join(HERE)} --schemes inproc,tcp --json {tmp_path}/all"
    assert mesh.main(words.split()) == 0
    said = capsys.readouterr().out
    found: dict[str, Any] = json.loads((tmp_path / "all").read_text())
    assert said.startswith("processor: ") or f"python: {found['machine']['python']}" in said
    assert list(found["rates"]) == HERE and list(found["trips"]) == ["int32", "iterate"]
    for kind in HERE:
        [row] = re.findall(rf"^\| {re.escape(mesh.WORDS[kind])} \| ([\d.]+) \| ([\d.]+|nan) \| ([\d.]+) \(", said, re.M)
        [run] = found["rates"][kind]
        assert row[0] == f"{run['rate'] / 1e6:.2f}" and run["rate"] > 0
        assert row[2] == f"{run['rate'] / found['rates']['int32'][0]['rate']:.2f}"
    for scheme in ("inproc", "tcp"):
        [share] = found["slow"][scheme]
        assert f"| {scheme} | {share:.2f} ({share:.2f} to {share:.2f}) |" in said


def test_ratios_are_of_runs_of_one_round(capsys: pytest.CaptureFixture[str]) -> None:
    mesh.show_rates(
        {
            "int32": [Result(1e6, 1e6), Result(2e6, 1e6), Result(4e6, 1e6)],
            "zmq": [Result(1e5, 2e5)] * 3,
            "iterate": [Result(2e6, 3e6), Result(2e6, 1e6), Result(2e6, 2e6)],
        }
    )
    said = capsys.readouterr().out
    assert f"| {mesh.WORDS['iterate']} | 2.00 | 2.00 | 1.00 (0.50 to 2.00) | 2.00 (1.00 to 3.00) |" in said
    assert "`async for` and `send` to pyzmq: 20.00 (20.00 to 20.00)" in said
    assert "`async for` and `send` to pyzmq, by processor: 10.00 (5.00 to 15.00)" in said


def test_without_pyzmq_it_is_left_out_with_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "zmq", None)
    assert mesh.main(["--parts", "trips", "--hubs", "int32,zmq", "--rounds", "1", "--trips", "5"]) == 0
    said = capsys.readouterr().out
    assert "pyzmq is not installed (pip install pyzmq): left out" in said and mesh.WORDS["zmq"] not in said


@pytest.mark.parametrize(
    "words", ["--parts rate", "--hubs int32,", "--schemes udp", "--rounds 0", "--seconds 0", "--trips -1"]
)
def test_wrong_options_end_it_with_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        mesh.main(words.split())
    assert end.value.code == 2 and words.split()[0] in capsys.readouterr().err
