"""The command line, and how servers are started."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import options
from bench.__main__ import main
from bench.rounds import expected_seconds
from bench.servers import SERVERS, Place
from bench.settings import Mix, Settings
from bench.workloads import WORKLOADS


def test_without_options_everything_is_measured() -> None:
    chosen = options.parse([])
    assert chosen.workloads == list(WORKLOADS)
    assert chosen.servers == [key for key in SERVERS if key != "bare"]
    assert options.settings(chosen, 3) == Settings(server_core=3)


def test_a_first_look_is_short_and_single_options_still_count() -> None:
    chosen = options.parse(["--quick", "--rounds", "2"])
    assert chosen.workloads == [key for key, row in WORKLOADS.items() if row.quick]
    settings = options.settings(chosen, None)
    assert (settings.seconds, settings.trips, settings.rounds, settings.redo) == (0.3, 1000, 2, 0)


def test_everything_is_said_in_the_settings() -> None:
    words = "--seconds 2 --trips 9 --rounds 4 --at-once 7 --idle-seconds 3 --redo 5 --per-cpu"
    words += " --mix-senders 8 --mix-topics 4 --mix-hearers 2 --mix-shared"
    assert options.settings(options.parse(words.split()), None) == Settings(
        seconds=2.0,
        trips=9,
        rounds=4,
        at_once=7,
        idle_seconds=3.0,
        redo=5,
        per_cpu=True,
        mix=Mix(8, 4, 2, True),
    )


@pytest.mark.parametrize(
    "words",
    ["--workloads one,two", "--servers ", "--seconds 0", "--rounds -1", "--mix-hearers 99", "--load-core 4711"],
)
def test_wrong_options_end_it_with_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words.split(" "))
    assert end.value.code == 2
    assert words.split(" ")[0] in capsys.readouterr().err or "4711" in words


def test_a_server_that_is_not_installed_is_skipped_with_a_word_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    assert main(["--servers", "nats,redis,mosquitto"]) == 69
    said = capsys.readouterr().err
    for package in ("nats-server", "redis-server", "mosquitto"):
        assert f"apt install {package}" in said


def test_the_listing_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert all(f" {key} " in said for key in (*WORKLOADS, *SERVERS))


def test_everything_takes_about_half_an_hour_and_a_first_look_two_or_three_minutes() -> None:
    servers = [server for server in SERVERS.values() if server.usual]
    quick = [row for row in WORKLOADS.values() if row.quick]
    assert expected_seconds(list(WORKLOADS.values()), servers, Settings()) < 35 * 60
    assert expected_seconds(quick, servers, options.QUICK) < 3 * 60


# Configuration of each server: lines or words with bounds so high that nothing is dropped, absent with its own.
BOUNDS = {
    "nettool": "--outbox-bytes 64MiB --direct-patience 600s --topic-patience 600s --stall-timeout forever",
    "nats": "max_pending: 8GB\nwrite_deadline: '600s'\n",
    "nats-tls": "max_pending: 8GB\nwrite_deadline: '600s'\n",
    "redis": "client-output-buffer-limit pubsub 0 0 0\n",
    "mosquitto": "max_queued_messages 0\nmax_queued_bytes 0\n",
    "bare": "",
}


@pytest.mark.parametrize("key", SERVERS)
def test_bounds_are_lifted_where_deliveries_are_counted_and_left_alone_for_the_slow_reader(
    key: str, tmp_path: Path
) -> None:
    said = {}
    for own_bounds in (False, True):
        place = Place(0, 4711, 4712, 4712, tmp_path)
        command = SERVERS[key].command("program", [place], 0, own_bounds)
        files = "".join(path.read_text() for path in sorted(tmp_path.glob("*.conf")))
        said[own_bounds] = " ".join(command) + "\n" + files
        assert "4711" in said[own_bounds]
        assert "127.0.0.1" in said[own_bounds]
    assert BOUNDS[key] in said[False]
    assert said[False].replace(BOUNDS[key], "").split() == said[True].split()
