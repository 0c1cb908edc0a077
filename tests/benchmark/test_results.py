"""Medians, ratios, tables, files and plots, from runs that were never run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import plots, record
from bench.quantities import GROWTH_BESIDE, HELD_UP, IDLE, KEPT, LOGINS, P50, P99, RATE, UNITS, Quantity
from bench.record import WrongFile
from bench.report import Results, Row, as_markdown, as_text
from bench.rounds import Run

ONE = Row("one", "1 sender, 1 receiver", "lines", 32, "one", (RATE,))
ONE_1K = Row("one1k", "1 sender, 1 receiver", "lines", 1024, "one", (RATE,))
NAMES = Row("names", "random names", "lines", 32, "", (RATE,))
TRIP = Row("trip", "idle", "round trips", 32, "", (P50, P99))
IDLE_1K = Row("idle1k", "1,000 idle peers", "memory", None, "", (IDLE,))
SLOW = Row("slow", "1 of 5", "slow reader", 512, "", (KEPT, HELD_UP, GROWTH_BESIDE))
LOGIN = Row("logins", "log in", "logins", None, "", (LOGINS,))
SERVERS = {"nettool": "nettool", "nats": "nats-server"}
ABOUT = {"processor": "Z80", "cores": "1", "date": "1976-07-01", "nettool": "0.1", "nats": "2.9"}


def _rate(workload: str, server: str, number: int, rate: float, **more: Any) -> Run:
    return Run(workload, server, number, {"rate": rate}, seconds=1.0, **more)


RUNS = (
    _rate("one", "nettool", 1, 3e6),
    _rate("one", "nats", 1, 1e6),
    _rate("one", "nettool", 2, 8e6),
    _rate("one", "nats", 2, 2e6),
    _rate("one", "nettool", 3, 1e6, load_share=0.99, server_share=0.5),
    Run("one", "nats", 3, failure="12 bytes missing"),
)
RESULTS = Results(ABOUT, (ONE,), SERVERS, RUNS)
EVERYTHING = Results(
    ABOUT,
    (ONE, ONE_1K, TRIP, IDLE_1K, SLOW, LOGIN),
    SERVERS,
    (
        *RUNS,
        _rate("one1k", "nettool", 1, 5e5),
        _rate("one1k", "nats", 1, 1e6),
        Run("trip", "nettool", 1, {"p50": 1e-4, "p99": 2e-4}),
        Run("trip", "nats", 1, cannot="delivers 5 of 10 lines a second"),
        Run("idle1k", "nettool", 1, {"idle": 2048.0}),
        Run("slow", "nettool", 1, {"kept": 0.9, "held_up": -0.1, "growth_beside": 0.0}, remark="lost 3%"),
        Run("slow", "nettool", 2, {"kept": 0.9, "held_up": 0.1, "growth_beside": 1e6}, remark="lost 3%"),
        Run("logins", "nats", 1, {"logins": 9000.0}),
    ),
)


def test_a_figure_is_the_median_of_the_runs_that_count() -> None:
    summary = RESULTS.summary(ONE, RATE, "nats")
    assert (summary.median, summary.lowest, summary.highest) == (1.5e6, 1e6, 2e6)
    assert (summary.rounds, summary.failed) == (3, 1)


def test_a_ratio_is_the_median_of_rounds_in_which_both_count() -> None:
    ratio = RESULTS.ratio(ONE, RATE, "nettool", "nats")
    assert ratio is not None
    assert (ratio.median, ratio.lowest, ratio.highest) == (3.5, 3.0, 4.0)


def test_differences_have_no_ratio() -> None:
    runs = tuple(Run("slow", server, 1, {"held_up": value}) for server, value in (("nettool", 0.1), ("nats", -0.2)))
    assert Results(ABOUT, (SLOW,), SERVERS, runs).ratio(SLOW, HELD_UP, "nettool", "nats") is None


def test_a_busy_generator_beside_an_idle_server_is_marked() -> None:
    runs = (_rate("one", "nettool", 1, 1e6, load_share=0.99, server_share=0.5),)
    assert "1.00 M*" in as_text(Results(ABOUT, (ONE,), SERVERS, runs))
    assert "*" not in as_text(RESULTS)


def test_a_table_has_a_line_for_each_quantity_and_says_which_way_is_better() -> None:
    text = as_text(EVERYTHING)
    assert text.splitlines()[:2] == [
        "       lines                  text  better  nettool             nats-server  nettool to nats-server",
        "one    1 sender, 1 receiver   32 B    more   3.00 M  1.50 M (1 of 3 failed)        3.50 (3.00-4.00)",
    ]
    assert [line.split() for line in text.splitlines() if "idle:" in line] == [
        ["trip", "idle:", "p50", "32", "B", "less", "100", "µs", "-", "-"],
        ["idle:", "p99", "less", "200", "µs", "-", "-"],
    ]


def test_the_same_table_as_markdown() -> None:
    assert as_markdown(RESULTS).splitlines() == [
        "|  | lines | text | better | nettool | nats-server | nettool to nats-server |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| one | 1 sender, 1 receiver | 32 B | more | 3.00 M | 1.50 M (1 of 3 failed) | 3.50 (3.00-4.00) |",
    ]


def test_what_was_said_of_runs_is_said_once() -> None:
    assert list(EVERYTHING.remarks()) == [
        "one, nats-server: FAILED: 12 bytes missing",
        "trip, nats-server: delivers 5 of 10 lines a second",
        "slow, nettool: lost 3% (2 times)",
    ]


@pytest.mark.parametrize(
    ("unit", "value", "shown"),
    [
        ("1/s", 121e6, "121 M"),
        ("1/s", 12.2e6, "12.20 M"),
        ("1/s", 94_300, "94.3 k"),
        ("1/s", 12, "12"),
        ("s", 131e-6, "131 µs"),
        ("s", 4.5e-3, "4.5 ms"),
        ("s", 0.25, "250 ms"),
        ("s", 10.24, "10.2 s"),
        ("B", 2048, "2.0 KiB"),
        ("B", 40 * 2**20, "40.0 MiB"),
        ("share", 0.824, "82%"),
        ("lines", 0, "0"),
    ],
)
def test_figures_are_shown_with_their_units(unit: str, value: float, shown: str) -> None:
    assert Quantity("x", "x", unit).shown(value) == shown


def test_every_quantity_has_a_known_unit() -> None:
    assert {quantity.unit for row in EVERYTHING.rows for quantity in row.quantities} <= UNITS.keys()


# --- files ----------------------------------------------------------------------------------------


def test_a_file_has_every_run_and_what_is_made_of_them() -> None:
    data = json.loads(json.dumps(record.as_data(RESULTS)))
    assert data["format"] == record.FORMAT
    assert data["about"] == ABOUT
    assert data["servers"] == SERVERS
    assert [item["key"] for item in data["quantities"]] == ["rate"]
    assert data["workloads"] == [
        {
            "key": "one",
            "title": "1 sender, 1 receiver",
            "heading": "lines",
            "text_bytes": 32,
            "family": "one",
            "quantities": ["rate"],
        }
    ]
    assert [(item["server"], item["median"]) for item in data["summaries"]] == [("nettool", 3e6), ("nats", 1.5e6)]
    assert [(item["server"], item["other"], item["median"]) for item in data["ratios"]] == [("nettool", "nats", 3.5)]
    assert len(data["runs"]) == len(RUNS)
    assert data["runs"][0] == {
        "workload": "one",
        "server": "nettool",
        "round": 1,
        "figures": {"rate": 3e6},
        "remark": "",
        "failure": None,
        "cannot": None,
        "seconds": 1.0,
        "load_share": 0.0,
        "server_share": None,
        "others_share": None,
    }


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    record.write(EVERYTHING, tmp_path / "all.json")
    assert record.read([tmp_path / "all.json"]) == EVERYTHING


def test_a_workload_in_several_files_is_taken_whole_from_the_last(tmp_path: Path) -> None:
    later = Results(
        {**ABOUT, "date": "1977"},
        (ONE, NAMES, TRIP),
        {**SERVERS, "redis": "Redis"},
        (_rate("one", "nettool", 1, 1.0), _rate("names", "redis", 1, 2.0)),
    )
    record.write(EVERYTHING, tmp_path / "a.json")
    record.write(later, tmp_path / "b.json")
    joined = record.read([tmp_path / "a.json", tmp_path / "b.json"])
    assert [row.key for row in joined.rows] == ["one", "one1k", "trip", "idle1k", "slow", "logins", "names"]
    assert [run.figures for run in joined.runs if run.workload == "one"] == [{"rate": 1.0}]
    # The later file has the row but no run of it.
    assert len([run for run in joined.runs if run.workload == "trip"]) == 2
    assert list(joined.servers) == ["nettool", "nats", "redis"]
    assert joined.about["date"] == "1976-07-01; 1977"
    assert joined.about["cores"] == "1"


def _without_runs(data: dict[str, Any]) -> None:
    del data["runs"]


def _of_the_future(data: dict[str, Any]) -> None:
    data["format"] += 1


def _with_an_unknown_field(data: dict[str, Any]) -> None:
    data["runs"][0]["mood"] = "good"


def _with_an_unknown_unit(data: dict[str, Any]) -> None:
    data["quantities"][0]["unit"] = "furlongs"


@pytest.mark.parametrize("spoil", [_without_runs, _of_the_future, _with_an_unknown_field, _with_an_unknown_unit])
def test_a_file_that_is_none_is_refused(tmp_path: Path, spoil: Callable[[dict[str, Any]], None]) -> None:
    data = record.as_data(RESULTS)
    spoil(data)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data))
    with pytest.raises(WrongFile, match=r"bad\.json"):
        record.read([path])


def test_a_file_that_is_missing_or_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{")
    for name in ("no.json", "nowhere.json"):
        with pytest.raises(WrongFile, match=name):
            record.read([tmp_path / name])


# --- plots: what stands where ---------------------------------------------------------------------


def test_throughput_is_drawn_as_ratios_to_the_reference_without_the_other_sizes() -> None:
    (panel,) = plots.throughput(EVERYTHING).panels
    assert [(point.label, point.series, point.middle, point.low, point.high) for point in panel.points] == [
        ("1 sender, 1 receiver", "nettool", 3.5, 3.0, 4.0),
        ("1 sender, 1 receiver", "nats", 1.0, 1.0, 1.0),
    ]


def test_sizes_are_drawn_from_the_smallest_on() -> None:
    (panel,) = plots.sizes(EVERYTHING).panels
    assert [(point.label, point.series, point.middle) for point in panel.points] == [
        ("32 B", "nettool", 3e6),
        ("32 B", "nats", 1.5e6),
        ("1 KiB", "nettool", 5e5),
        ("1 KiB", "nats", 1e6),
    ]


def test_round_trips_are_drawn_filled_and_hollow_and_not_where_there_are_none() -> None:
    (panel,) = plots.round_trips(EVERYTHING).panels
    assert [(point.series, point.middle, point.hollow) for point in panel.points] == [
        ("nettool", 1e-4, False),
        ("nettool", 2e-4, True),
    ]


def test_only_what_was_measured_is_drawn() -> None:
    assert [plot.name for plot in plots.plots(EVERYTHING)] == list(plots.PLOTS)
    assert [plot.name for plot in plots.plots(RESULTS)] == ["throughput"]


def test_the_caption_has_the_machine_and_the_versions() -> None:
    assert plots.caption(RESULTS) == "Z80, 1 cores, ?; ?, Twisted ?; nettool 0.1, nats-server 2.9; 1976-07-01"


def test_tables_need_no_matplotlib(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record.write(RESULTS, tmp_path / "a.json")
    assert plots.main([str(tmp_path / "a.json"), "--tables"]) == 0
    assert as_markdown(RESULTS) in capsys.readouterr().out


def test_without_matplotlib_plots_say_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "bench.drawing", raising=False)
    record.write(RESULTS, tmp_path / "a.json")
    assert plots.main([str(tmp_path / "a.json"), "--out", str(tmp_path)]) == 69
    assert "pip install --group bench" in capsys.readouterr().err


def test_a_wrong_file_is_told_and_nothing_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plots.main([str(tmp_path / "nowhere.json")]) == 65
    assert "nowhere.json" in capsys.readouterr().err
