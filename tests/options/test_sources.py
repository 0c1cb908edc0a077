"""Where options are written: what goes before what, and every mistake with its place."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettool.errors import SettingError
from nettool.options import TABLE, Configuration, settle
from nettool.options.sources import LARGEST, OTHERS, from_environment, from_file, from_flags, here
from nettool.options.table import BY_KEY, SECTIONS
from nettool.settings import KIB, NodeSettings, OnNameTaken, PeerSettings, Settings


def mistakes_of(text: str | bytes, path: str = "f.toml") -> list[str]:
    """Everything that is wrong with a file of this content."""
    try:
        settle([from_file(path, text.encode() if isinstance(text, str) else text)], Settings())
    except SettingError as error:
        return [str(mistake) for mistake in error.mistakes]
    return []


def settings_of(text: str | bytes) -> Settings:
    return settle([from_file("f.toml", text.encode() if isinstance(text, str) else text)], Settings())


# --- precedence


@pytest.mark.parametrize(
    ("file", "variable", "flag", "size"),
    [
        (None, None, None, 64 * KIB),
        ("1KiB", None, None, KIB),
        (None, "2KiB", None, 2 * KIB),
        ("1KiB", "2KiB", None, 2 * KIB),
        ("1KiB", "2KiB", "3KiB", 3 * KIB),
        ("1KiB", None, "3KiB", 3 * KIB),
        (None, "2KiB", "3KiB", 3 * KIB),
        ("1KiB", "", None, KIB),
    ],
)
def test_a_flag_goes_before_a_variable_before_the_file_before_the_default(
    file: str | None, variable: str | None, flag: str | None, size: int, tmp_path: Path
) -> None:
    path = tmp_path / "nettool.toml"
    path.write_text("" if file is None else f'[peers]\nmax-line = "{file}"\n')
    environment = {} if variable is None else {"NETTOOL_MAX_LINE": variable}
    flags: dict[str, str | list[str]] = {} if flag is None else {"max-line": flag}
    assert Configuration(flags, environment, str(path)).read().settings.peers.max_line == size


def test_several_values_are_taken_from_one_place_and_not_added_up(tmp_path: Path) -> None:
    path = tmp_path / "nettool.toml"
    path.write_text('[peers]\nlisten = ["tcp:1", "tcp:2"]\n')
    environment = {"NETTOOL_LISTEN": " tcp:3\ttcp:4\n"}
    assert Configuration({}, {}, str(path)).read().settings.peers.listen == ("tcp:1", "tcp:2")
    assert Configuration({}, environment, str(path)).read().settings.peers.listen == ("tcp:3", "tcp:4")
    flags: dict[str, str | list[str]] = {"listen": ["tcp:5"]}
    assert Configuration(flags, environment, str(path)).read().settings.peers.listen == ("tcp:5",)


def test_the_command_line_names_the_file_before_the_environment(tmp_path: Path) -> None:
    for name, size in (("one", "1KiB"), ("two", "2KiB")):
        (tmp_path / name).write_text(f'[peers]\nmax-line = "{size}"\n')
    environment = {"NETTOOL_CONFIG": str(tmp_path / "one")}
    assert Configuration({}, environment).read().settings.peers.max_line == KIB
    assert Configuration({}, environment, str(tmp_path / "two")).read().settings.peers.max_line == 2 * KIB
    assert Configuration({}, {"NETTOOL_CONFIG": ""}).read().digest == ""


def test_flags_and_variables_stay_as_they_were_at_the_start() -> None:
    flags: dict[str, str | list[str]] = {"max-line": "1KiB"}
    environment = {"NETTOOL_MAX_PEERS": "5"}
    configuration = Configuration(flags, environment)
    flags["max-line"], environment["NETTOOL_MAX_PEERS"] = "2KiB", "6"
    settings = configuration.read().settings
    assert (settings.peers.max_line, settings.peers.max_peers) == (KIB, 5)


def test_a_value_that_a_stronger_source_overrides_is_a_mistake_all_the_same() -> None:
    weak, strong = from_environment({"NETTOOL_MAX_LINE": "x"}), from_flags({"max-line": "1KiB"})
    with pytest.raises(SettingError, match=r"^NETTOOL_MAX_LINE: expected a size"):
        settle([weak, strong], Settings())


# --- variables


def test_every_option_has_a_variable() -> None:
    names = {option.name: option.variable for option in TABLE}
    assert names["max-line"] == "NETTOOL_MAX_LINE"
    assert names["listen"] == "NETTOOL_LISTEN"
    assert len(set(names.values())) == len(TABLE)
    assert not OTHERS & set(names.values())


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("NETTOOL_MAXLINE", "NETTOOL_MAXLINE: there is no such option; did you mean NETTOOL_MAX_LINE?"),
        ("NETTOOL_CONFIGS", "NETTOOL_CONFIGS: there is no such option; did you mean NETTOOL_CONFIG?"),
        ("NETTOOL_", "NETTOOL_: there is no such option"),
        ("NETTOOL_WHATEVER_THIS_IS_12", "NETTOOL_WHATEVER_THIS_IS_12: there is no such option"),
        ("NETTOOL_max_line", "NETTOOL_max_line: there is no such option"),
        ("NETTOOL_A\nB", "NETTOOL_A\\nB: there is no such option"),
    ],
)
def test_a_variable_that_is_no_option_is_a_mistake(variable: str, told: str) -> None:
    assert [str(mistake) for mistake in from_environment({variable: "1"}).mistakes] == [told]


def test_variables_that_are_not_ours_or_the_commands_or_empty_say_nothing() -> None:
    environment = {
        "NETTOOLS": "1",
        "PATH": "/bin",
        "nettool_max_line": "x",
        "NETTOOL_NO_SUCH": "",
        "NETTOOL_LISTEN": " ",
    }
    source = from_environment({**environment, **dict.fromkeys(OTHERS, "x"), "NETTOOL_MAX_LINE": ""})
    assert (source.values, source.mistakes) == ({}, [])


# --- a file


def test_keys_of_all_sections_are_read() -> None:
    settings = settings_of(
        """
        [node]
        name = "alpha"
        drain-timeout = "1m"
        [peers]
        listen = ["tcp:1", 'unix:/tmp/x']
        max-line = 1024       # bytes
        max-peers = 7
        on-name-taken = "takeover"
        [delivery]
        outbox-bytes = "1MiB"
        [log]
        level = "debug"
        [web]
        listen = "tcp:6390"
        """
    )
    assert settings == replace(
        Settings(),
        node=NodeSettings(name=b"alpha", drain_timeout=60.0),
        peers=PeerSettings(("tcp:1", "unix:/tmp/x"), KIB, 7, on_name_taken=OnNameTaken.TAKEOVER),
        delivery=replace(Settings().delivery, outbox_bytes=1024 * KIB),
        log=replace(Settings().log, level="debug"),
        web=replace(Settings().web, listen="tcp:6390:interface=127.0.0.1"),
    )


def test_a_single_string_is_several_values_too() -> None:
    assert settings_of('[peers]\nlisten = "tcp:1"\n').peers.listen == ("tcp:1",)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "[peers]\n", "\ufeff[peers]\nmax-peers = 10000\n"])
def test_what_is_not_written_is_as_by_default(text: str) -> None:
    assert settings_of(text) == Settings()


def test_dotted_and_quoted_keys_are_keys_too() -> None:
    assert settings_of('peers.max-line = "1KiB"\n"node".name = "a"\n').peers.max_line == KIB
    assert mistakes_of('# first\npeers.max-line = "x"\n')[0].startswith("f.toml:2: peers.max-line: expected a size")


SIZE = "expected a size such as 64KiB, 4MiB or plain bytes"
TIME = "expected a time such as 100ms, 10s, 2m or forever"
COUNT = "expected a whole number, 0 or more"
ENDPOINT = "expected an endpoint such as tcp:6388, or several in an array"
OUTBOX = "delivery.outbox-bytes: expected 0 (unlimited) or at least twice max-line"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[peers]\nmax_line = "1KiB"', "f.toml:2: peers.max_line: there is no such key; did you mean peers.max-line?"),
        ('max-line = "1KiB"', "f.toml:1: max-line: there is no such key; did you mean peers.max-line?"),
        ('[node]\nmax-line = "1KiB"', "f.toml:2: node.max-line: there is no such key; did you mean peers.max-line?"),
        ("[peers]\nmax-pears = 1", "f.toml:2: peers.max-pears: there is no such key; did you mean peers.max-peers?"),
        ("[peers]\nzzz = 1", "f.toml:2: peers.zzz: there is no such key"),
        ("[peers.max-line]\nx = 1", "f.toml: peers.max-line: " + SIZE + ", not a section"),
        ("[peer]\n", "f.toml:1: peer: there is no such section; did you mean peers?"),
        ("[something]\nx = 1", "f.toml:1: something: there is no such section"),
        ("peers = 3", "f.toml:1: peers: expected a section, not 3"),
        ('peers = "x"', "f.toml:1: peers: expected a section, not 'x'"),
        ("[[peers]]\nmax-peers = 3", "f.toml: peers: expected a section, not an array"),
        ("[peers]\nmax-line = true", "f.toml:2: peers.max-line: " + SIZE + ", not true"),
        ("[peers]\nmax-line = 1.5", "f.toml:2: peers.max-line: " + SIZE + ", not 1.5"),
        ("[peers]\nmax-line = -5", "f.toml:2: peers.max-line: " + SIZE + ", not '-5'"),
        ("[peers]\nmax-line = nan", "f.toml:2: peers.max-line: " + SIZE + ", not nan"),
        ("[peers]\nmax-line = ['1KiB']", "f.toml:2: peers.max-line: " + SIZE + ", not an array"),
        ("[peers]\nmax-peers = 1979-05-27", "f.toml:2: peers.max-peers: " + COUNT + ", not a date or time"),
        ("[node]\ndrain-timeout = 10", "f.toml:2: node.drain-timeout: " + TIME + ", not 10"),
        ('[node]\ndrain-timeout = "10"', "f.toml:2: node.drain-timeout: " + TIME + ", not '10'"),
        ("[node]\nname = 5", "f.toml:2: node.name: expected a name, not 5"),
        ('[log]\nformat = "xml"', "f.toml:2: log.format: expected text or json, not 'xml'"),
        ("[log]\nlevel = 1", "f.toml:2: log.level: expected debug or info or warn or error or critical, not 1"),
        ("[peers]\nlisten = []", "f.toml:2: peers.listen: " + ENDPOINT + ", not none"),
        ("[peers]\nlisten = [1]", "f.toml:2: peers.listen: " + ENDPOINT + ", not 1"),
        ("[peers]\nlisten = {a = 1}", "f.toml:2: peers.listen: " + ENDPOINT + ", not a section"),
        ('[peers]\nmax-line = "3MiB"', "f.toml:2: " + OUTBOX),
        ('[peers]\nmax-line = "63"', "f.toml:2: peers.max-line: expected 64 bytes to 16MiB"),
        ('[delivery]\ndirect-patience = "1h"', "f.toml:2: delivery.stall-timeout: expected more than direct-patience"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_line_key_and_what_was_expected(text: str, told: str) -> None:
    assert mistakes_of(text) == [told]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[peers\n", "f.toml: expected TOML: Expected ']' at the end of a table declaration (at line 1, column 7)"),
        (b"[peers]\nmax-line = 64KiB\n", "f.toml: expected TOML: Expected newline or end of document"),
        (b"[peers]\nmax-peers = 1\nmax-peers = 2\n", "f.toml: expected TOML: Cannot overwrite a value (at line 3"),
        (b"[peers]\n[peers]\n", "f.toml: expected TOML: Cannot declare"),
        (b"# one\n# two\n# \xff three\n", "f.toml:3: expected UTF-8, which the byte 0xff is not"),
        ("[node]\nname = 'zoë'\n".encode("latin-1"), "f.toml:2: expected UTF-8, which the byte 0xeb is not"),
        ("[node]\n".encode("utf-16"), "f.toml:1: expected UTF-8, which the byte 0x"),
        (b"\0", "f.toml: expected TOML: "),
    ],
)
def test_what_is_no_toml_is_one_mistake(content: bytes, told: str) -> None:
    [mistake] = mistakes_of(content)
    assert mistake.startswith(told)


def test_every_mistake_of_a_file_is_told_in_its_order() -> None:
    told = mistakes_of(
        """\
[peers]
max-line = "x"
listen = ["tcp:x", "tcp:1", "nonsense:1"]
nonsense = 1
login-timeout = 5
[delivery]
topic-overflow = "drop"
stall-timeout = "1s"
[wep]
"""
    )
    assert [mistake.partition(" ")[0] for mistake in told] == [
        *("f.toml:2:", "f.toml:3:", "f.toml:3:", "f.toml:4:", "f.toml:5:", "f.toml:7:", "f.toml:9:", "f.toml:8:")
    ]
    assert all(": expected " in mistake or ": there is no such " in mistake for mistake in told)


def test_a_key_that_is_wrong_does_not_make_others_wrong() -> None:
    [mistake] = mistakes_of('[peers]\nmax-line = "99GiBs"\n[delivery]\noutbox-bytes = "1KiB"\n')
    assert "peers.max-line" in mistake


def test_a_mistake_is_one_line_whatever_was_written() -> None:
    [mistake] = mistakes_of('"a\\nb\\u001b" = 1\n', "dir\x1b/f.toml")
    assert mistake == "dir\\x1b/f.toml: a\\nb\\x1b: there is no such key"
    [mistake] = mistakes_of('[node]\nname = "a\\nb"\n')
    assert mistake.isprintable()


def test_a_line_number_is_told_only_where_it_is_plain() -> None:
    text = "[node]\nname = '''\nmax-line = 1\n'''\n[peers]\nmax-line = 'x'\n"
    assert [mistake.partition(" ")[0] for mistake in mistakes_of(text)] == ["f.toml:2:", "f.toml:6:"]
    assert mistakes_of("peers = {max-line = 'x'}")[0].startswith("f.toml: peers.max-line: ")


@given(st.binary(max_size=60))
def test_whatever_a_file_holds_it_is_settings_or_mistakes(content: bytes) -> None:
    assert all(mistake.isprintable() for mistake in mistakes_of(content))


_WORDS = st.sampled_from([*SECTIONS, *(key.partition(".")[2] for key in BY_KEY), "max_line", "x", ""])
_VALUES = st.sampled_from(['"1KiB"', '"10s"', "5", "-1", "true", "[]", '["tcp:1"]', "{}", '"x"', "1.5", '""'])


@given(st.lists(st.tuples(_WORDS, st.lists(st.tuples(_WORDS, _VALUES), max_size=4)), max_size=4))
def test_whatever_keys_and_values_there_are_it_is_settings_or_mistakes(
    sections: list[tuple[str, list[tuple[str, str]]]],
) -> None:
    lines = [f'["{section}"]\n' + "".join(f'"{key}" = {value}\n' for key, value in keys) for section, keys in sections]
    for mistake in mistakes_of("".join(lines)):
        assert mistake.startswith("f.toml") and mistake.isprintable()


# --- files that cannot be read


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"/none: expected a file that can be read: No such file or directory$"):
        Configuration({}, {}, str(tmp_path / "none")).read()


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"expected a file that can be read: it is a directory$"):
        Configuration({}, {}, str(tmp_path)).read()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingError, match=r"expected a file that can be read: it is none$"):
        Configuration({}, {}, str(tmp_path / "pipe")).read()


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"#" * (LARGEST + 1))
    with pytest.raises(SettingError, match=r"it is larger than 1MiB$"):
        Configuration({}, {}, str(tmp_path / "large")).read()


def test_a_name_that_no_file_can_have_is_a_mistake() -> None:
    with pytest.raises(SettingError, match="expected a file that can be read"):
        Configuration({}, {}, "a\0b").read()


# --- paths, and the defaults of the machine


def test_paths_are_those_of_the_directory_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "keys").touch()
    (tmp_path / "nettool.toml").write_text('[manhole]\nauthorized-keys = "keys"\n[node]\nstate-dir = "state"\n')
    monkeypatch.chdir(tmp_path)
    configuration = Configuration({}, {}, "nettool.toml")
    before = configuration.read().settings
    assert before.manhole.authorized_keys == str(tmp_path / "keys")
    assert before.node.state_dir == str(tmp_path / "state")
    monkeypatch.chdir("elsewhere")
    assert configuration.read().settings == before
    assert Path.cwd() == tmp_path / "elsewhere"
    assert not (tmp_path / "state").exists(), "nothing is made before something has to be kept there"


def test_a_home_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "keys").touch()
    assert BY_KEY["manhole.authorized-keys"].parse(("~/keys",)) == str(tmp_path / "keys")


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"HOME": "/home/a"}, "/home/a/.local/state/nettool"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": "/state"}, "/state/nettool"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": ""}, "/home/a/.local/state/nettool"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": "relative"}, "/home/a/.local/state/nettool"),
        ({"HOME": "/home/a", "STATE_DIRECTORY": "/var/lib/nettool"}, "/var/lib/nettool"),
        ({"STATE_DIRECTORY": "/var/lib/one:/var/lib/two", "XDG_STATE_HOME": "/state"}, "/var/lib/one"),
        ({"HOME": "relative"}, ""),
    ],
)
def test_the_state_directory_is_systemds_or_the_users(environment: dict[str, str], directory: str) -> None:
    assert here(environment).node.state_dir == directory


def test_the_nodes_name_is_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "alpha.example.org")
    assert here({}).node.name == b"alpha"
    assert Configuration({}, {}).read().settings.node.name == b"alpha"


def test_the_digest_is_of_the_file_to_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "nettool.toml"
    path.write_bytes(b"")
    empty = Configuration({}, {}, str(path)).read().digest
    assert empty == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    path.write_bytes(b"\n")
    assert Configuration({}, {}, str(path)).read().digest != empty
