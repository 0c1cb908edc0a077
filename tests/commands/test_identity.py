"""`nettool identity`: a node's key is made once, and its line printed."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nettool.cluster.identity import Identity, parse_trusted
from nettool.cluster.identity.keys import CERTIFICATE_FILE, KEY_FILE
from nettool.commands.exits import Exit
from tests.cluster.secrets import secret_of, shows
from tests.commands.test_main import NETTOOL, run

Capfd = pytest.CaptureFixture[str]
LINE = r"alpha ed25519:[A-Za-z0-9+/]{43}=\n"


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a node of this user would keep its key, on a machine that is called `box`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr("socket.gethostname", lambda: "box.example.net")
    return str(tmp_path / "home" / "nettool")


def test_new_makes_a_key_and_prints_the_line_that_show_prints(state_dir: str, capfd: Capfd) -> None:
    status, line, said = run(capfd, "identity", "new", "--node-name", "alpha")
    assert status == 0 and re.fullmatch(LINE, line)
    assert said == f"nettool: made a key in {state_dir}\n"
    assert run(capfd, "identity", "show") == (0, line, "")
    assert parse_trusted(line.encode()).keys.keys() == {b"alpha"}
    assert stat.S_IMODE(os.stat(state_dir).st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in Path(state_dir).iterdir()} == {
        KEY_FILE: 0o600,
        CERTIFICATE_FILE: 0o600,
    }


def test_new_never_overwrites(state_dir: str, capfd: Capfd) -> None:
    _, line, _ = run(capfd, "identity", "new", "--node-name", "alpha")
    before = {path: path.read_bytes() for path in Path(state_dir).iterdir()}
    status, out, said = run(capfd, "identity", "new", "--node-name", "beta")
    assert (status, out) == (Exit.CANNOT_CREATE, "")
    assert said.startswith(f"nettool: there is a key in {state_dir}, which is left as it is: `nettool identity show`")
    assert {path: path.read_bytes() for path in Path(state_dir).iterdir()} == before
    assert run(capfd, "identity", "show") == (0, line, "")


def test_show_makes_nothing(state_dir: str, capfd: Capfd) -> None:
    status, out, said = run(capfd, "identity", "show")
    assert (status, out) == (Exit.NO_INPUT, "")
    assert said == (
        f"nettool: there is no key in {state_dir}: "
        "a node makes one at its first start, or `nettool identity new` does\n"
    )
    assert not os.path.exists(state_dir)


def test_the_name_is_the_one_that_is_said_else_the_keys_else_the_hosts(
    state_dir: str, tmp_path: Path, capfd: Capfd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name_shown(*words: str) -> str:
        status, line, said = run(capfd, "identity", "show", *words)
        assert (status, said) == (0, "")
        return line.split()[0]

    assert run(capfd, "identity", "new")[1].split()[0] == "box"
    Identity.kept_in(state_dir, b"alpha")  # as a node does whose configuration says so
    assert name_shown() == "alpha"
    config = tmp_path / "nettool.toml"
    config.write_text('[node]\nname = "beta"\n', encoding="utf-8")
    assert name_shown("--config", str(config)) == "beta"
    monkeypatch.setenv("NETTOOL_CONFIG", str(config))
    assert name_shown() == "beta"
    monkeypatch.setenv("NETTOOL_NODE_NAME", "gamma")
    assert name_shown() == "gamma"
    assert name_shown("--node-name", "delta") == "delta"


def test_the_directory_is_the_one_that_is_said(
    state_dir: str, tmp_path: Path, capfd: Capfd, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        assert run(capfd, "identity", "new", "--state-dir", str(tmp_path / name), "--node-name", name)[0] == 0
    assert not os.path.exists(state_dir)
    config = tmp_path / "nettool.toml"
    config.write_text(f'[node]\nstate-dir = "{tmp_path / "a"}"\n', encoding="utf-8")
    assert run(capfd, "identity", "show", "--config", str(config))[1].split()[0] == "a"
    monkeypatch.setenv("NETTOOL_STATE_DIR", str(tmp_path / "b"))
    assert run(capfd, "identity", "show", "--config", str(config))[1].split()[0] == "b"
    assert run(capfd, "identity", "show", "--state-dir", str(tmp_path / "c"))[1].split()[0] == "c"


@pytest.mark.parametrize("command", ["new", "show"])
def test_a_mistake_is_told_in_a_line_that_says_where_it_is(
    command: str, state_dir: str, tmp_path: Path, capfd: Capfd
) -> None:
    for words, said in (
        (["--node-name", "a:b"], "nettool: --node-name: expected a name, "),
        (["--state-dir", __file__], "nettool: --state-dir: expected a directory, "),
        (["--config", str(tmp_path / "none")], f"nettool: {tmp_path / 'none'}: expected a file that can be read: "),
    ):
        status, out, err = run(capfd, "identity", command, *words)
        assert (status, out) == (Exit.CONFIG, "")
        assert err.startswith(said) and err.count("\n") == 1


def test_a_key_that_others_can_read_is_not_shown(state_dir: str, capfd: Capfd) -> None:
    run(capfd, "identity", "new")
    path = Path(state_dir, KEY_FILE)
    secret = secret_of(state_dir)
    path.chmod(0o644)
    status, out, err = run(capfd, "identity", "show")
    assert (status, out) == (Exit.CONFIG, "")
    assert f"chmod 600 {path}" in err and not shows(err, secret)


def test_a_directory_in_which_others_can_write_gets_no_key(tmp_path: Path, capfd: Capfd) -> None:
    tmp_path.chmod(0o777)
    status, out, err = run(capfd, "identity", "new", "--state-dir", str(tmp_path))
    assert (status, out) == (Exit.CONFIG, "")
    assert err.startswith("nettool: node.state-dir: expected that nobody but its owner can write in ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words, said",
    [([], "nettool: Missing command"), (["renew"], "'renew'"), (["new", "x"], "(x)"), (["show", "-q"], "-q")],
)
def test_words_that_make_no_sense_are_told_in_one_line(words: list[str], said: str, capfd: Capfd) -> None:
    status, out, err = run(capfd, "identity", *words)
    assert (status, out) == (Exit.USAGE, "")
    assert said in err and err.count("\n") == 1 and err.rstrip().endswith("--help`")


@pytest.mark.parametrize("words", [["--help"], ["new", "--help"], ["show", "--help"]])
def test_help_says_what_the_line_is_for(words: list[str], capfd: Capfd) -> None:
    status, out, err = run(capfd, "identity", *words)
    assert (status, err) == (0, "")
    assert "trusted-nodes" in out


def test_of_many_that_make_a_key_at_once_one_does_and_all_know_it(tmp_path: Path) -> None:
    words = [NETTOOL, "identity", "new", "--state-dir", tmp_path / "state", "--node-name", "alpha"]
    made = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    ended = [(*process.communicate(), process.returncode) for process in made]
    assert sorted(status for *_, status in ended) == [0] + [Exit.CANNOT_CREATE] * 5
    [line] = [out for out, _, status in ended if status == 0]
    assert re.fullmatch(LINE, line)
    shown = subprocess.run([*words[:2], "show", *words[3:5]], capture_output=True, text=True, check=True)
    assert shown.stdout == line
    assert sorted(os.listdir(tmp_path / "state")) == [CERTIFICATE_FILE, KEY_FILE]


def test_the_command_starts_no_reactor() -> None:
    code = "import sys, nettool.commands.main\nassert 'twisted.internet.reactor' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
