"""The file of defaults."""

from __future__ import annotations

import tomllib

import pytest

from nettool.options import TABLE, settle
from nettool.options.pages import default_config
from nettool.options.sources import from_file
from nettool.options.table import SECTIONS, OnReload
from nettool.settings import NodeSettings, Settings


def test_the_default_file_reads_as_the_defaults() -> None:
    machine = Settings(NodeSettings(name=b"somewhere", state_dir="/state"))
    assert settle([from_file("default.toml", default_config().encode())], machine) == machine


def test_every_key_is_in_the_default_file_once_or_shown_in_a_comment() -> None:
    sections = tomllib.loads(default_config())
    assert tuple(sections) == SECTIONS
    for option in TABLE:
        name = option.key.partition(".")[2]
        assert (name in sections[option.group]) == (not option.here), option.key
        if option.here:
            assert f"\n# {name} = " in default_config()


@pytest.mark.parametrize("option", TABLE, ids=lambda option: option.key)
def test_every_key_is_explained_before_it(option: object) -> None:
    text = " ".join(line.removeprefix("#").strip() for line in default_config().splitlines())
    assert option.help in text  # type: ignore[attr-defined]


def test_what_needs_a_restart_says_so() -> None:
    assert default_config().count("needs a restart") == sum(option.on_reload is OnReload.RESTART for option in TABLE)


def test_what_is_shown_in_a_comment_can_be_used() -> None:
    lines = default_config().splitlines()
    shown = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line and line.endswith(('"', '"]')) else line
        for line in lines
        if not line.endswith((' = ""', " = []"))
    )
    sections = tomllib.loads(shown)
    assert sections["manhole"].keys() == {"listen", "authorized-keys"}
    assert sections["web"].keys() == {"listen", "token"}
    assert sections["log"] == {"format": "json", "level": "info"}
    links = sections["links"]
    assert links["listen"] == ["tcp:6389"] and links["connect"] == ["node2=10.0.0.2:6389"]
    assert links["trusted-nodes"] == "/etc/nettool/trusted-nodes"
