"""Fixtures of the real tests: a node for each module, and nodes with options of their own."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.real.node import TCP, RealNode, Street, join_background


class Start(Protocol):
    """Starts a node with these options; its peers and itself end with the test."""

    def __call__(
        self,
        *options: str,
        listen: tuple[str, ...] = ...,
        descriptors: int | None = ...,
        environment: Mapping[str, str] | None = ...,
        program: Sequence[str] = ...,
        launcher: Sequence[str] = ...,
        descriptors_passed: Sequence[int] = ...,
        log_file: Path | None = ...,
        node_name: str | None = ...,
    ) -> Street: ...


@pytest.fixture(autouse=True)
def _no_thread_left_behind() -> Iterator[None]:
    # Begins before the fixtures that close the peers, and so ends after them.
    yield
    join_background()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """One node with the default options for all tests of a module; it ends well."""
    real = RealNode(tmp_path_factory.mktemp("node"))
    try:
        real.wait_until_it_listens()
        yield real
        assert real.terminate() == 0, real.report()
        real.expect_no_surprise()
    finally:
        real.kill()


@pytest.fixture
def street(node: RealNode) -> Iterator[Street]:
    """The outside of the module's node, empty before and after each test."""
    outside = Street(node)
    try:
        yield outside
    finally:
        outside.close()
    outside.sweep()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Nodes with options of their own."""
    streets: list[Street] = []

    def started(*options: str, listen: tuple[str, ...] = (TCP,), **how: Any) -> Street:
        street = Street(RealNode(tmp_path, *options, listen=listen, **how))
        streets.append(street)
        street.node.wait_until_it_listens()
        return street

    try:
        yield started
    finally:
        for street in streets:
            street.close()
            street.node.kill()
            print(street.node.report())  # which is seen where a test fails
    for street in streets:
        street.node.expect_no_surprise()
