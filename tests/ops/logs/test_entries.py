"""What an event becomes: one line that says all, and nothing that forges another."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure

from nettool.ops.logs.entries import FRAMES, WITHHELD, as_json, as_text, entry_of, kind_of, level_of, name_of
from nettool.ops.logs.events import EVENTS, OF_TWISTED
from tests.ops.logs.evil import DANGEROUS
from tests.ops.logs.test_plain import expect_plain, json_like

NOON = 1_750_000_000.25


def made(call: str, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    """The event that a call of a logger makes."""
    events: list[dict[str, Any]] = []
    getattr(Logger("a.room", observer=events.append), call)(*arguments, **keywords)
    events[0]["log_time"] = NOON
    return events[0]


def lines(event: dict[str, Any], *, shows_all: bool = False) -> tuple[dict[str, Any], str]:
    """The entry as JSON, read again, and as text; both are single lines that print."""
    name = name_of(event)
    entry = entry_of(event, name, level_of(event, name), 0.0, shows_all)
    written, text = as_json(entry), as_text(entry)
    assert written.isprintable()
    assert all(line.isprintable() for line in text.replace("\n\t", "").split("\n"))
    assert "\n" not in text.replace("\n\t", "")
    read = json.loads(written)
    assert list(read)[:6] == ["time", "level", "namespace", "event", "message", "fields"]
    expect_plain({key: value for key, value in read.items() if key != "failure"})
    return read, text


def failure_of(error: BaseException) -> Failure:
    try:
        raise error
    except BaseException:
        return Failure()


def test_an_event_of_ours_has_its_name_and_its_fields() -> None:
    read, text = lines(made("warn", "slow: {name!r}", event="slow-consumer", name="bob", peer="127.0.0.1:5"))
    assert read == {
        "time": "2025-06-15T15:06:40.250Z",
        "level": "warn",
        "namespace": "a.room",
        "event": "slow-consumer",
        "message": "slow: 'bob'",
        "fields": {"name": "bob", "peer": "127.0.0.1:5"},
    }
    assert text == """2025-06-15T15:06:40.250Z warn     slow: 'bob' [slow-consumer peer="127.0.0.1:5"]"""


def test_an_address_is_told_as_people_write_it() -> None:
    peer = IPv4Address("TCP", "10.0.0.7", 50112)
    read, _ = lines(made("warn", "slow consumer: {name!r} at {peer}", event="slow-consumer", name="bob", peer=peer))
    assert read["message"] == "slow consumer: 'bob' at 10.0.0.7:50112"
    assert read["fields"] == {"name": "bob", "peer": "10.0.0.7:50112"}


def test_an_event_of_somebody_elses_has_its_namespace() -> None:
    read, text = lines(made("info", "{n} of {all[0]}, {ask()}", n=1, all=[2], ask=lambda: "3"))
    assert (read["event"], read["message"]) == (None, "1 of 2, 3")
    assert text == "2025-06-15T15:06:40.250Z info     1 of 2, 3 [a.room]"


def test_a_field_of_somebody_elses_that_is_called_event_is_a_field() -> None:
    read, _ = lines(made("info", "x", event="of theirs"))
    assert (read["event"], read["fields"]) == (None, {"event": "of theirs"})


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error", "critical"])
def test_levels_are_twisteds(level: str) -> None:
    assert lines(made(level, "x"))[0]["level"] == level


@pytest.mark.parametrize("template", OF_TWISTED)
def test_lines_of_twisteds_that_matter_have_names_and_levels_of_ours(template: str) -> None:
    event = made("info", template, acceptError="EMFILE", address=("10.0.0.1", 5))
    read, _ = lines(event)
    assert read["event"] == OF_TWISTED[template]
    assert read["level"] == EVENTS[OF_TWISTED[template]].level


@pytest.mark.parametrize("text", DANGEROUS, ids=ascii)
def test_nothing_from_outside_can_forge_a_line_or_a_screen(text: str) -> None:
    bad = f"x{text}2025-06-15T15:06:40Z critical cannot-listen: forged"
    event = made("info", "{name} {data} " + bad, name=bad, data=bad.encode("utf-8", "surrogatepass"), **{bad: 1})
    read, shown = lines(event)
    assert text[0] not in shown
    assert "forged" in read["fields"]["name"]


def test_the_same_holds_for_a_namespace_a_format_and_an_exception() -> None:
    event = made("failure", "bad", failure_of(ValueError("a\nb\x1b[2J\u2028c\n2025-06-15 forged")))
    event["log_namespace"] = "name\nspace\x1b"
    read, text = lines(event)
    assert read["namespace"] == "name\\nspace\\x1b"
    assert read["failure"]["message"] == "a\\nb\\x1b[2J\\u2028c\\n2025-06-15 forged"
    assert not [line for line in text.split("\n")[1:] if not line.startswith("\t")]


def test_an_exception_is_type_message_and_traceback_in_one_field() -> None:
    read, text = lines(made("failure", "it failed", failure_of(ZeroDivisionError("by zero")), n=1))
    assert read["level"] == "critical"
    assert read["fields"] == {"n": 1}
    failure = read["failure"]
    assert (failure["type"], failure["message"]) == ("builtins.ZeroDivisionError", "by zero")
    assert failure["traceback"].startswith("Traceback (most recent call last):\n")
    assert "in failure_of" in failure["traceback"]
    assert failure["traceback"].endswith("\nbuiltins.ZeroDivisionError: by zero")
    head, *rest = text.split("\n\t")
    assert head.endswith("it failed [a.room n=1]")
    assert "\n".join(rest) == failure["traceback"]


@pytest.mark.parametrize("name", [name for name, event in EVENTS.items() if event.withholds])
def test_what_may_quote_a_peer_is_withheld_unless_everything_is_shown(name: str) -> None:
    event = made("failure", "it failed", failure_of(ValueError("SECRET of alice")), event=name)
    read, text = lines(event)
    assert "SECRET" not in json.dumps(read) + text
    assert read["failure"]["message"] is None
    assert read["failure"]["traceback"].endswith(f"builtins.ValueError: {WITHHELD}")
    read, text = lines(event, shows_all=True)
    assert read["failure"]["message"] == "SECRET of alice"
    assert "SECRET" in text


def recurse(depth: int) -> None:
    if depth == 0:
        raise RecursionError("deep")
    recurse(depth - 1)


def test_of_a_long_traceback_both_ends_are_shown() -> None:
    try:
        recurse(300)
    except RecursionError:
        failure = Failure()
    traceback = lines(made("failure", "deep", failure))[0]["failure"]["traceback"]
    assert traceback.count("in recurse") == 2 * FRAMES - 1
    assert f"… {302 - 2 * FRAMES} frames …" in traceback


def legacy_event(call: str, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    """What the new observers get of `twisted.python.log`."""
    events: list[dict[str, Any]] = []
    publisher = legacy.LogPublisher(publishPublisher=LogPublisher(events.append))
    if call == "msg":
        publisher.msg(*arguments, **keywords)
    else:
        failure, why = arguments
        publisher.msg(failure=failure, why=why, isError=1)
    return events[0]


def test_messages_of_twisted_python_log_are_read_too() -> None:
    read, _ = lines(legacy_event("msg", "one", "two", extra=3))
    assert (read["message"], read["level"], read["fields"]) == ("one two", "info", {"extra": 3})
    read, _ = lines(legacy_event("msg", format="%(n)d\n", n=4))
    assert (read["message"], read["fields"]) == ("4", {"n": 4})


@pytest.mark.parametrize(("why", "message"), [(None, "Unhandled error"), ("it broke", "it broke")])
def test_errors_of_twisted_python_log_are_one_line_with_a_failure(why: str | None, message: str) -> None:
    read, _ = lines(legacy_event("err", failure_of(ZeroDivisionError("by zero")), why))
    assert (read["message"], read["level"], read["fields"]) == (message, "critical", {})
    assert read["failure"]["message"] == "by zero"


@given(st.dictionaries(st.text() | st.sampled_from(["log_format", "log_level", "event", "log_time"]), json_like))
def test_any_event_becomes_an_entry(event: dict[str, Any]) -> None:
    lines(event)
    hash(kind_of(event, name_of(event), "info"))


@pytest.mark.parametrize("time", [1e300, -1e300, float("nan"), float("inf"), "noon", None, 10**400])
def test_a_time_that_is_none_is_told_as_none(time: object) -> None:
    event = made("info", "x")
    event["log_time"] = time
    read, _ = lines(event)
    assert re.fullmatch(r"-|1970-01-01T00:00:00\.000Z", read["time"])


def kind(event: dict[str, Any]) -> Any:
    name = name_of(event)
    return kind_of(event, name, level_of(event, name))


def test_events_of_one_kind_differ_in_their_values_only() -> None:
    assert kind(made("info", "{n} lines", n=1)) == kind(made("info", "{n} lines", n=2))
    assert kind(made("info", "{n} lines", n=1)) != kind(made("info", "{n} rows", n=1))
    assert kind(made("info", "x")) != kind(made("warn", "x"))
    assert kind(made("info", "x", event="closed")) == kind(made("info", "y", event="closed"))
    assert kind(legacy_event("msg", "(TCP Port 1234 Closed)")) == kind(legacy_event("msg", "(TCP Port 77 Closed)"))
    assert kind(legacy_event("msg", "one thing")) != kind(legacy_event("msg", "another"))


def test_exceptions_of_one_kind_come_from_one_place() -> None:
    def here(error: BaseException) -> Any:
        return kind(made("failure", "x", failure_of(error), event="session-failed"))

    assert here(ValueError("a")) == here(ValueError("b"))
    assert here(ValueError("a")) != here(KeyError("a"))
    try:
        raise ValueError("a")
    except ValueError:
        elsewhere = Failure()
    assert here(ValueError("a")) != kind(made("failure", "x", elsewhere, event="session-failed"))
    without = Failure(ValueError("a"))
    assert here(ValueError("a")) != kind(made("failure", "x", without, event="session-failed"))


def test_a_level_that_is_none_is_info() -> None:
    event = made("info", "x")
    for level in (None, "loud", LogLevel, object()):
        event["log_level"] = level
        assert lines(event)[0]["level"] == "info"
