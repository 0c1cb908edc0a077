"""What comes with the package for Prometheus and Grafana: Prometheus itself takes it, and alerts when it should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "contrib" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "contrib" / "grafana" / "nettool.json"
CASES = Path(__file__).with_name("alerts_test.yml")


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def promtool(*arguments: str, within: Path = ROOT) -> str:
    """What it prints, if it is content."""
    done = subprocess.run(["promtool", *arguments], cwd=within, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_panel_lies_over_another_and_no_query_has_anothers_letter() -> None:
    places: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, f"{panel['title']} lies over another panel"
        places |= cells
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        letters = [target["refId"] for target in panel["targets"]]
        assert letters and len(set(letters)) == len(letters)


def test_every_alert_says_where_and_how_bad_it_is() -> None:
    names, *rules = [], *ALERTS.read_text(encoding="utf-8").split("- alert: ")[1:]
    for rule in rules:
        names.append(rule.split("\n")[0])
        assert re.search(r"labels: \{severity: (critical|warning|info)\}", rule)
        assert "{{ $labels.instance }}" in rule
    assert names and len(set(names)) == len(names)


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    fires = set(re.findall(r'alertname="(\w+)"', CASES.read_text(encoding="utf-8")))
    assert fires == set(re.findall(r"alert: (\w+)", ALERTS.read_text(encoding="utf-8")))


@pytest.mark.system("promtool")
def test_prometheus_takes_the_rules_and_every_query_of_the_dashboard(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", str(ALERTS))
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    rules = [
        f"      - {{record: 'r:{number}', expr: {json.dumps(query.replace('$__rate_interval', '1m'))}}}"
        for number, query in enumerate(queries)
    ]
    (tmp_path / "queries.yml").write_text("groups:\n  - name: queries\n    rules:\n" + "\n".join(rules) + "\n")
    assert f"{len(queries)} rules found" in promtool("check", "rules", "queries.yml", within=tmp_path)


@pytest.mark.system("promtool")
def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    shutil.copy(ALERTS, tmp_path)
    shutil.copy(CASES, tmp_path)
    assert "SUCCESS" in promtool("test", "rules", CASES.name, within=tmp_path)
