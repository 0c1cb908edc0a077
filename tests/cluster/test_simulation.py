"""A cluster of eight nodes and forty peers to which everything happens, by chance that a seed decides.

`SIMULATION_SEEDS=20 pytest tests/cluster/test_simulation.py` runs that many of ten thousand steps each.
(Variables that begin with NETTOOL_ are options of the node's, and tests/conftest.py takes them away.)
"""

from __future__ import annotations

import os

import pytest

from tests.cluster.simulation import Simulation

LONG = range(int(os.environ.get("SIMULATION_SEEDS", "0")))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_to_a_cluster_no_line_vanishes_doubles_or_overtakes(seed: int) -> None:
    Simulation(seed).run(250)


@pytest.mark.parametrize("seed", range(1000, 1003))
def test_what_all_nodes_forward_is_what_all_nodes_take_over(seed: int) -> None:
    Simulation(seed, kills=False).run(200)


if LONG:

    @pytest.mark.bound(1800)
    @pytest.mark.parametrize("seed", LONG)
    def test_ten_thousand_steps(seed: int) -> None:
        Simulation(seed, kills=seed % 2 == 0).run(10_000)
