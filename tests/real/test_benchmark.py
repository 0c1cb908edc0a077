"""The benchmark runs against every server, and every line arrives; what it measures is not a test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SERVERS = [
    "nettool",
    pytest.param("nats", marks=pytest.mark.system("nats-server")),
    pytest.param("redis", marks=pytest.mark.system("redis-server")),
    pytest.param("mosquitto", marks=pytest.mark.system("mosquitto")),
]
# All workloads, in parts of which none takes a minute.
PARTS = [
    "one,topic10,topic100,names,mix,half,lists,unbatched,single",
    "one8,one128,one512,one1k,one4k,one16k",
    "names8,names128,names512,names1k,names4k,names16k",
    "trip,trip50k,trip1m,logins",
    "slow,idle1k,idle10k",
]
# What may be missing: a server, or a machine, that does not keep a rate or has too few descriptors.
MAY_NOT_BE_ABLE = {"trip50k", "trip1m", "idle10k"}
TINY = "--rounds 1 --redo 0 --seconds 0.05 --trips 20 --idle-seconds 0.1 --block-bytes 16384"


def _run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *TINY.split(), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.bound(290)
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.partition(",")[0])
def test_every_workload_runs_and_no_line_is_missing(part: str, server: str, tmp_path: Path) -> None:
    done = _run("--servers", server, "--workloads", part, "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "figures.json").read_text())
    runs = {run["workload"]: run for run in results["runs"]}
    assert list(runs) == part.split(",")
    for workload in results["workloads"]:
        run = runs[workload["key"]]
        assert run["failure"] is None
        if run["cannot"] is None:
            # Whoever is closed loses everything, and not a share.
            assert run["figures"].keys() | {"slow_lost"} == set(workload["quantities"]) | {"slow_lost"}
        else:
            assert workload["key"] in MAY_NOT_BE_ABLE


def test_the_bare_loop_delivers_all_that_is_measured_beside_it() -> None:
    done = _run("--servers", "bare", "--workloads", "one,topic10,mix,half,lists,unbatched,single,trip,logins")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.system("nats-server", "redis-server", "mosquitto")
def test_all_servers_together_give_tables_with_ratios(tmp_path: Path) -> None:
    done = _run("--workloads", "one,trip", "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    ratios = json.loads((tmp_path / "figures.json").read_text())["ratios"]
    assert {(ratio["workload"], ratio["quantity"], ratio["other"]) for ratio in ratios} == {
        (workload, quantity, other)
        for workload, quantity in (("one", "rate"), ("trip", "p50"), ("trip", "p99"))
        for other in ("nats", "redis", "mosquitto")
    }


@pytest.mark.system("redis-server", "mosquitto")
@pytest.mark.parametrize("server", ["nettool", "redis", "mosquitto"])
def test_senders_that_hear_their_own_topics_get_what_their_server_gives_them(server: str) -> None:
    done = _run("--servers", server, "--workloads", "mix,half", "--mix-shared", "--mix-senders", "12")
    assert done.returncode == 0, done.stdout + done.stderr
