"""How a manhole is made, and where it listens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from nettool.errors import SettingError
from nettool.ops.console import manhole_factory
from nettool.ops.levers import Levers
from nettool.tap import Options, makeService
from tests.ops.console.manholes import Manhole
from tests.ops.nodes import SeenNode


def test_a_node_with_a_manhole_listens_for_operators_too(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("")
    keys.chmod(0o600)
    options = Options()
    options.parseOptions(["--manhole", "tcp:6022", "--authorized-keys", str(keys), "--state-dir", str(tmp_path)])
    node = makeService(options, MemoryReactorClock())
    assert [listener.purpose for listener in node.listeners] == ["", "operators"]


def test_it_is_not_made_without_what_it_needs(tmp_path: Path) -> None:
    node = SeenNode()
    levers = Levers(node.service, drain=lambda: None)
    with pytest.raises(SettingError, match="authorized-keys"):
        manhole_factory(node.service, levers, str(tmp_path), "", node.reactor)
    with pytest.raises(SettingError, match="state-dir"):
        manhole_factory(node.service, levers, "", "keys", node.reactor)
    assert not node.service.at_end, "nothing is left of it"


def test_the_host_key_that_clients_see_is_the_one_that_is_kept(tmp_path: Path) -> None:
    first = Manhole(tmp_path).ssh().transport.host_key
    assert Manhole(tmp_path).ssh().transport.host_key == first


def test_listeners_come_and_go_and_consoles_stay(manhole: Manhole) -> None:
    client = manhole.ssh()
    manhole.door.doStart()
    manhole.door.doStop()
    assert client.run("1").output == b"1\n"


def test_a_node_without_a_manhole_does_not_import_conch() -> None:
    """That takes a tenth of a second, and installs the process's reactor."""
    code = "import sys, nettool.tap, nettool.embed, nettool.ops.levers, nettool.ops.snapshots; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "nettool.tap" in modules
    assert not [name for name in modules if name.startswith("twisted.conch") or name == "twisted.internet.reactor"]
