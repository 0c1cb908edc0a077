"""The table of events is true: every log call of nettool names one, with its level and its fields, and no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nettool.ops.logs import LEVELS
from nettool.ops.logs.events import EVENTS, OF_TWISTED

ROOT = Path(__file__).resolve().parents[3]
OWN = {"level", "failure"}  # keywords of Logger's methods


@dataclass(frozen=True)
class Call:
    """A call that logs."""

    where: str
    event: str | None
    level: str | None
    template: str | None
    fields: frozenset[str]

    def __str__(self) -> str:
        return f"{self.where} {self.event}"


def calls() -> Iterator[Call]:
    for path in sorted(ROOT.glob("nettool/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=value, attr=attr)) if ast.unparse(value).rpartition(".")[2] in (
                    "_log",
                    "log",
                    "_own",
                ) and attr in {*LEVELS, "failure", "emit"}:
                    yield of_logger(path, node, attr)
                case ast.Call(func=ast.Attribute(attr="_say"), args=[ast.Constant(value=str(event)), template, *_]) if (
                    "logs" in path.relative_to(ROOT).parts
                ):
                    yield Call(place(path, node), event, None, constant(template), keywords(node))


def of_logger(path: Path, node: ast.Call, attr: str) -> Call:
    named = {keyword.arg: keyword.value for keyword in node.keywords}
    level: str | None = attr
    if attr == "failure":
        written = named.get("level", node.args[2] if len(node.args) > 2 else None)
        level = "critical" if written is None else ast.unparse(written).rpartition(".")[2]
    return Call(
        place(path, node), constant(named.get("event")), level, constant(node.args[0]), keywords(node) - {"event"} - OWN
    )


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def constant(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def keywords(node: ast.Call) -> frozenset[str]:
    return frozenset(keyword.arg or "**" for keyword in node.keywords)


CALLS = list(calls())
# Told by the log itself, not by a call of this form.
BY_THE_LOG = {"log-lost", "unloggable"}


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_log_call_has_a_fixed_text_and_a_known_event_with_its_level_and_fields(call: Call) -> None:
    assert call.template is not None, "the text is fixed; values are fields"
    assert call.event in EVENTS, f"{call.event} is not in nettool/ops/logs/events.py"
    event = EVENTS[call.event]
    assert call.level in (None, event.level)
    assert call.fields <= set(event.fields)
    named = {re.split(r"[.\[!:(]", field)[0] for field in re.findall(r"\{([^}]+)\}", call.template)}
    assert named <= call.fields, "what the text names is given"


def test_there_are_log_calls() -> None:
    assert len(CALLS) > 15
    for room in ("peers/protocol.py", "cluster/linked.py", "cluster/identity/", "cluster/resolver/", "ops/web/"):
        assert any(call.where.startswith(f"nettool/{room}") for call in CALLS), room


def test_every_event_of_the_table_is_logged_somewhere_with_all_its_fields() -> None:
    for name, event in EVENTS.items():
        if name in BY_THE_LOG:
            continue
        if name in OF_TWISTED.values():
            [template] = [template for template, of in OF_TWISTED.items() if of == name]
            assert set(event.fields) == set(re.findall(r"\{(\w+)\}", template))
            continue
        given = [call.fields for call in CALLS if call.event == name]
        assert given, f"nobody logs {name}"
        assert frozenset().union(*given) == set(event.fields), name


@pytest.mark.parametrize("name", EVENTS)
def test_a_name_is_words_with_hyphens_and_has_a_meaning(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    event = EVENTS[name]
    assert event.level in LEVELS
    assert re.fullmatch(r"[A-Z`s].*[.]", event.meaning)


def test_what_twisted_writes_when_descriptors_run_out_is_as_the_table_has_it() -> None:
    import inspect

    from twisted.internet import tcp

    source = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', inspect.getsource(tcp)))
    assert [template for template in OF_TWISTED if template not in source] == []
