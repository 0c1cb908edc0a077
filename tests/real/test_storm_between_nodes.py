"""A storm on linked nodes, with bad wires between them: every line is delivered once, given back, or counted.

STORM_SEEDS=20 tries so many seeds instead of the one of the suite.

It needs no root: in a user namespace of its own a process may have network namespaces.  Where that is forbidden, and
the tests are not run by root, `sudo` has to do without a password.
"""

import subprocess
import sys

import pytest

from tests.real.node import ROOT
from tests.real.test_seeded_storms import seeds

ALONE = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""Of `unshare`: whatever is started or made inside ends with the first process there."""

WAYS = [
    ["unshare", *ALONE],
    ["unshare", "--user", "--map-root-user", *ALONE],
    ["sudo", "--non-interactive", "unshare", *ALONE],
]
PROBE = ["sh", "-c", "mount -t tmpfs none /run && ip link add here type veth peer name there"]
LONGEST = 270
"""Seconds; a storm gives up earlier, and says why."""


@pytest.fixture(scope="module")
def alone() -> list[str]:
    """The command that runs another one in namespaces of its own."""
    said = []
    for way in WAYS:
        try:
            probe = subprocess.run([*way, *PROBE], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except FileNotFoundError as error:
            said.append(str(error))
            continue
        if probe.returncode == 0:
            return way
        said.append(f"{' '.join(way)}: {probe.stderr.strip()}")
    pytest.fail(
        "network namespaces cannot be made here: run the tests as root, or allow unprivileged user namespaces "
        "(sysctl kernel.apparmor_restrict_unprivileged_userns=0, where there is such a thing)\n" + "\n".join(said),
        pytrace=False,
    )


@pytest.mark.system("ip", "unshare")
@pytest.mark.bound(LONGEST)
@pytest.mark.parametrize("seed", seeds(1))
def test_in_a_storm_between_nodes_every_line_is_accounted_for(alone: list[str], seed: int) -> None:
    command = [*alone, sys.executable, "-m", "tests.real.linkstorm", str(seed)]
    # The pipe to its input is closed when this process ends, however it does, and then so does the storm.
    storm = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert storm.stdin is not None and storm.stdout is not None
    try:
        with storm.stdin, storm.stdout:
            print(storm.stdout.read())
            assert storm.wait() == 0, f"to repeat: {' '.join(command)}"
    finally:
        storm.kill()
        storm.wait()
