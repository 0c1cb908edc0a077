"""The command `nettool`: its help, its statuses, and the two subcommands about configuration."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

import nettool
from nettool.commands.exits import Exit
from nettool.commands.main import main
from nettool.options.pages import default_config
from tests.support.certificates import write_pair

NETTOOL = Path(sys.executable).with_name("nettool")


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Status, standard output and standard error."""
    status = main(words)
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return status, out, err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "ommand; see `nettool --help`"),
        (["nonsense"], "'nonsense'; see `nettool --help`"),
        (["--nonsense"], "--nonsense"),
        (["check-config"], "'FILE'; see `nettool check-config --help`"),
        (["check-config", "a", "b"], "(b); see `nettool check-config --help`"),
        (["default-config", "--x"], "see `nettool default-config --help`"),
    ],
)
def test_words_that_make_no_sense_are_told_in_one_line(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capfd, *words)
    assert (status, out) == (Exit.USAGE, "")
    assert err.startswith("nettool: ") and said in err and err.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["check-config", "--help"], ["default-config", "-h"]])
def test_help_is_no_mistake(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capfd, *words)
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: nettool {words[0] if len(words) > 1 else '[OPTIONS]'}")


def test_the_version_is_the_packages(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "--version") == (0, f"nettool {nettool.__version__}\n", "")


def test_the_default_file_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "default-config") == (0, default_config(), "")


def test_a_file_that_is_right_has_a_digest(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "nettool.toml"
    path.write_text(default_config())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert run(capfd, "check-config", str(path)) == (0, f"{path}: ok, sha256 {digest}\n", "")


def test_every_mistake_of_a_file_is_told_in_a_line_of_its_own(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key, certificate = write_pair(tmp_path)
    key.chmod(0o644)
    path = tmp_path / "nettool.toml"
    path.write_text(
        f"""\
[peers]
max-line = "-5"
max_peers = 5
listen = ["tcp:x", "ssl:1:privateKey={key}:certKey={certificate}", "ssl:1:privateKey=/none.pem"]
[delivery]
direct-patience = "31s"
[manhole]
listen = "tcp:6022"
"""
    )
    status, out, err = run(capfd, "check-config", str(path))
    assert (status, out) == (78, "")
    lines = err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{path}:2", "peers.max-line"],
        [f"{path}:3", "peers.max_peers"],
        [f"{path}:4", "peers.listen"],
        [f"{path}:4", "peers.listen"],
        [f"{path}:4", "peers.listen"],
        [f"{path}:6", "delivery.stall-timeout"],
        [f"{path}:8", "manhole.authorized-keys"],
    ]
    assert all(": expected " in line or "did you mean" in line for line in lines)


def test_takeover_is_warned_of_and_is_no_mistake(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "nettool.toml"
    path.write_text('[peers]\non-name-taken = "takeover"\n')
    status, out, err = run(capfd, "check-config", str(path))
    assert status == 0 and out.startswith(f"{path}: ok, ")
    assert err == f"{path}: warning: on-name-taken is takeover: whoever can connect can take over any name\n"


@pytest.mark.parametrize(("name", "told"), [("none", "No such file or directory"), (".", "it is a directory")])
def test_a_file_that_cannot_be_read_is_a_mistake(
    name: str, told: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, _, err = run(capfd, "check-config", str(tmp_path / name))
    assert status == 78
    assert err == f"{tmp_path / name}: expected a file that can be read: {told}\n"


def test_the_environment_of_a_node_is_nothing_to_the_check(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETTOOL_MAX_LINE", "nonsense")
    (tmp_path / "f").write_text("")
    assert run(capfd, "check-config", str(tmp_path / "f"))[0] == 0


def test_it_is_installed_as_a_command(tmp_path: Path) -> None:
    done = subprocess.run([NETTOOL, "default-config"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (default_config(), "")
    done = subprocess.run([NETTOOL, "check-config", "none"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 78 and done.stderr.startswith("none: expected a file")


def test_a_reader_that_has_seen_enough_is_no_mistake(tmp_path: Path) -> None:
    command = f"{NETTOOL} default-config | true; exit ${{PIPESTATUS[0]}}"
    for _ in range(3):
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode in (0, 1) and done.stderr == ""
