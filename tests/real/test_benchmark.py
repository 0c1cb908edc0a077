"""The benchmark runs, against a real nats-server, and every line arrives; what it measures is not a test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.system("nats-server")
def test_every_workload_runs_on_both_servers_and_no_line_is_missing(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "--rounds", "1", "--redo", "0", "--seconds", "0.1", "--trips", "50"]
    done = subprocess.run(
        [*command, "--servers", "nettool,nats", "--json", str(figures)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(figures.read_text())
    assert "FAILED" not in done.stderr
