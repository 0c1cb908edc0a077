"""Settings: what they may be, how they are written, and how they change."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.errors import SettingError
from nettool.settings import (
    KIB,
    MIB,
    DeliverySettings,
    Live,
    ManholeSettings,
    NodeSettings,
    OnNameTaken,
    PeerSettings,
    Settings,
    TopicOverflow,
    decimal,
    parse_count,
    parse_duration,
    parse_size,
    write_duration,
    write_size,
)

DEFAULTS = {
    "node": {"name": b"node1", "state_dir": "", "drain_timeout": 10.0},
    "log": {"format": None, "level": "info"},
    "peers": {
        "listen": ("tcp:6388:interface=127.0.0.1",),
        "max_line": 64 * KIB,
        "max_peers": 10000,
        "max_addresses": 100,
        "max_joins": 1000,
        "login_timeout": 10.0,
        "on_name_taken": OnNameTaken.REJECT,
    },
    "delivery": {
        "outbox_bytes": 4 * MIB,
        "direct_patience": 5.0,
        "topic_patience": 0.1,
        "topic_overflow": TopicOverflow.DROP_OLDEST,
        "stall_timeout": 30.0,
    },
    "manhole": {"listen": "", "authorized_keys": ""},
    "web": {"listen": "", "token": ""},
}


@pytest.mark.parametrize(
    ("group", "key", "value"), [(group, *item) for group, values in DEFAULTS.items() for item in values.items()]
)
def test_a_default_is_what_the_operators_table_says(group: str, key: str, value: object) -> None:
    assert getattr(getattr(Settings(), group), key) == value


def test_the_defaults_have_no_mistake() -> None:
    assert Settings().check() == []


@pytest.mark.parametrize("value", [Settings(), NodeSettings(), PeerSettings(), DeliverySettings()])
def test_settings_are_frozen(value: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, next(iter(value.__slots__)), None)


def settings(**changes: Any) -> Settings:
    """The defaults, but for these; each key is in one of these groups only."""
    groups = {"node": NodeSettings(), "peers": PeerSettings(), "delivery": DeliverySettings()}
    for key, value in changes.items():
        group = next(group for group in groups if key in DEFAULTS[group])
        groups[group] = replace(groups[group], **{key: value})
    return Settings(**groups)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_line": 64},
        {"max_line": 16 * MIB, "outbox_bytes": 32 * MIB},
        {"max_line": 64 * KIB, "outbox_bytes": 128 * KIB},
        {"outbox_bytes": 0},
        {"max_line": 16 * MIB, "outbox_bytes": 0},
        {"max_peers": 0, "max_addresses": 0, "max_joins": 0},
        {"direct_patience": 0.0, "topic_patience": 0.0},
        {"topic_patience": inf},
        {"direct_patience": 5.0, "stall_timeout": 5.001},
        {"direct_patience": 0.0, "stall_timeout": 0.001},
        {"direct_patience": inf, "stall_timeout": inf},
        {"stall_timeout": inf, "login_timeout": inf, "drain_timeout": inf},
        {"login_timeout": 0.001, "drain_timeout": 0.001},
    ],
    ids=str,
)
def test_these_settings_can_be_used(changes: dict[str, Any]) -> None:
    assert settings(**changes).check() == []


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"max_line": 63}, ["peers.max-line"]),
        ({"max_line": 0}, ["peers.max-line"]),
        ({"max_line": 16 * MIB + 1, "outbox_bytes": 64 * MIB}, ["peers.max-line"]),
        ({"outbox_bytes": 128 * KIB - 1}, ["delivery.outbox-bytes"]),
        ({"outbox_bytes": 1}, ["delivery.outbox-bytes"]),
        ({"max_line": 3 * MIB}, ["delivery.outbox-bytes"]),
        ({"direct_patience": 30.0}, ["delivery.stall-timeout"]),
        ({"stall_timeout": 5.0}, ["delivery.stall-timeout"]),
        ({"direct_patience": inf}, ["delivery.stall-timeout"]),
        ({"login_timeout": 0.0}, ["peers.login-timeout"]),
        ({"drain_timeout": 0.0}, ["node.drain-timeout"]),
        ({"stall_timeout": 0.0, "direct_patience": 0.0}, ["delivery.stall-timeout", "delivery.stall-timeout"]),
        (
            {"max_line": 1, "outbox_bytes": 1, "login_timeout": 0.0},
            ["peers.max-line", "delivery.outbox-bytes", "peers.login-timeout"],
        ),
    ],
    ids=str,
)
def test_every_mistake_names_its_key_and_says_what_was_expected(changes: dict[str, Any], keys: list[str]) -> None:
    mistakes = settings(**changes).check()
    assert [mistake.keys[0] for mistake in mistakes] == keys
    assert [str(mistake).partition(":")[0] for mistake in mistakes] == keys
    assert all(mistake.text.startswith("expected ") and "\n" not in str(mistake) for mistake in mistakes)


def test_a_manhole_needs_keys_and_a_place_for_its_own() -> None:
    manhole = Settings(manhole=ManholeSettings(listen="tcp:6022"))
    assert [mistake.keys[0] for mistake in manhole.check()] == ["manhole.authorized-keys", "node.state-dir"]
    with_keys = replace(manhole, manhole=ManholeSettings("tcp:6022", "/keys"), node=NodeSettings(state_dir="/state"))
    assert with_keys.check() == []


def test_takeover_is_warned_of() -> None:
    assert Settings().warnings() == []
    [warning] = settings(on_name_taken=OnNameTaken.TAKEOVER).warnings()
    assert "take over any name" in warning


def test_the_low_water_mark_is_half_the_bound() -> None:
    assert DeliverySettings().low_water == 2 * MIB
    assert DeliverySettings(outbox_bytes=0).low_water == 0


def test_whoever_keeps_the_live_cell_sees_settings_change() -> None:
    live = Live(Settings())
    changed = settings(name=b"other", max_line=64, outbox_bytes=0)
    live.replace(changed)
    assert (live.node, live.peers, live.delivery) == (changed.node, changed.peers, changed.delivery)
    assert live.settings is changed


# --- how they are written


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("100ms", 0.1),
        ("0.5ms", 0.0005),
        ("10s", 10.0),
        ("1.5s", 1.5),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("0s", 0.0),
        ("0ms", 0.0),
        ("0", 0.0),
        ("forever", inf),
    ],
)
def test_a_time_has_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "10",
            "1.5",
            "10 s",
            " 10s",
            "10s ",
            "10s\n",
            "-1s",
            "+1s",
            "1e3s",
            ".5s",
            "5.s",
            "s",
            "10S",
            "1d",
            "1m30s",
        ),
        *("inf", "nan", "infs", "nans", "Forever", "forever ", "00", "0x1s", "1_0s", "1,5s", "٣s"),
    ],
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingError, match="expected a time such as") as raised:
        parse_duration(text)
    assert str(raised.value).endswith(repr(text))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("100", 100),
        ("100B", 100),
        ("64KiB", 65536),
        ("4MiB", 4 * MIB),
        ("1GiB", 1024 * MIB),
        ("007", 7),
    ],
)
def test_a_size_is_in_bytes_or_has_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "KiB", "-1", "+1", "1.5MiB", "1 KiB", " 1", "1\n", "1kib", "1KB", "1K", "1M", "forever", "0x10", "1_000"),
        *("1e3", "٣", "٣MiB", "9" * 5000),
    ],
    ids=lambda text: ascii(text)[:12],
)
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingError, match="expected a size such as") as raised:
        parse_size(text)
    assert str(raised.value).endswith(repr(text))


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("1", 1), ("10000", 10000), ("007", 7), ("9" * 12, 10**12 - 1)])
def test_a_count_is_a_whole_number(text: str, number: int) -> None:
    assert parse_count(text) == number


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.0", "1e3", "1_000", " 1", "1\n", "x", "0x10", "forever", "٣", "9" * 13]
)
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="expected a whole number") as raised:
        parse_count(text)
    assert str(raised.value).endswith(repr(text))


@given(st.text(max_size=8))
def test_whatever_is_written_is_a_value_or_a_setting_error(text: str) -> None:
    for parse in (parse_duration, parse_size, parse_count):
        try:
            value = parse(text)
        except SettingError as error:
            assert repr(text) in str(error)
        else:
            assert value >= 0


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        *((0.0, "0s"), (0.1, "100ms"), (10.0, "10s"), (60.0, "1m"), (90.0, "90s"), (7200.0, "2h"), (1.5, "1500ms")),
        *((0.0005, "0.5ms"), (inf, "forever")),
    ],
)
def test_a_time_is_written_in_the_largest_unit_that_gives_a_whole_number(seconds: float, written: str) -> None:
    assert write_duration(seconds) == written


@pytest.mark.parametrize(
    ("size", "written"), [(0, "0"), (1, "1"), (KIB, "1KiB"), (1500, "1500"), (4 * MIB, "4MiB"), (1024 * MIB, "1GiB")]
)
def test_a_size_is_written_in_the_largest_unit_that_gives_a_whole_number(size: int, written: str) -> None:
    assert write_size(size) == written


@given(st.floats(0, 1e6).map(lambda seconds: round(seconds, 6)), st.integers(0, 10**14))
def test_what_is_written_is_read_as_what_it_was(seconds: float, size: int) -> None:
    assert parse_duration(write_duration(seconds)) == pytest.approx(seconds)
    assert parse_size(write_size(size)) == size


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (10.0, b"10"),
        (100.0, b"100"),
        (0.1, b"0.1"),
        (0.25, b"0.25"),
        (1.5, b"1.5"),
        (0.000001, b"0.000001"),
        (30, b"30"),
    ],
)
def test_a_limit_is_a_decimal_number_on_the_wire(number: float, written: bytes) -> None:
    assert decimal(number) == written
    assert decimal(3600.0) == b"3600"
    assert decimal(1e7) == b"10000000"
