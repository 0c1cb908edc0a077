"""Pages of metrics, asked for over HTTP in the middle of a storm: the ledger adds up on each of them."""

import http.client
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site

from nettool.ops import metrics
from nettool.tap import Options, makeService
from tests.real.node import PATIENCE, TCP, in_background
from tests.real.storm import OPTIONS, Storm


class Page(Resource):
    """A node's metrics."""

    isLeaf = True

    def __init__(self, node: Any) -> None:
        super().__init__()
        self.node = node

    def render_GET(self, request: Any) -> bytes:
        request.setHeader("content-type", metrics.CONTENT_TYPE)
        return metrics.exposition(self.node)


@pytest.fixture
def node() -> Iterator[Any]:
    """A node in this process; it is drained with the test."""
    options = Options()
    words = [word for pair in OPTIONS for word in pair]
    options.parseOptions(["--listen", TCP, "--node-name", "node1", "--drain-timeout", "20s", *words])
    service = makeService(options, reactor)
    service.listen_on(TCP, Site(Page(service)), "operators")
    service.privilegedStartService()
    service.startService()
    yield service
    pytest_twisted.blockon(service.stopService())


def sums(page: bytes) -> dict[str, float]:
    """What is counted, without its labels."""
    return {
        family.name: sum(sample.value for sample in family.samples)
        for family in text_string_to_metric_families(page.decode())
    }


def scrape_until(ended: threading.Event, port: int) -> int:
    """Ask for page after page; how many there were, of which each adds up and no count falls."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    pages, before = 0, dict[str, float]()
    while not ended.is_set():
        connection.request("GET", "/metrics")
        now = sums(connection.getresponse().read())
        lines = {word: now[f"nettool_lines_{word}"] for word in ("accepted", "delivered", "returned", "dropped")}
        accepted = lines.pop("accepted")
        assert accepted == sum(lines.values()) + now["nettool_queued_lines"], now
        assert all(now[f"nettool_lines_{word}"] >= before.get(f"nettool_lines_{word}", 0) for word in lines)
        pages, before = pages + 1, now
    connection.close()
    return pages


def blow(storm: Storm, port: int) -> int:
    """A storm, while somebody asks for pages."""
    ended = threading.Event()
    pages = in_background(scrape_until, ended, port)
    try:
        storm.set_up()
        storm.blow()
        storm.everybody_is_answered()
        storm.everybody_goes()
    finally:
        ended.set()
    return pages.result(PATIENCE)


async def test_the_ledger_adds_up_on_each_page_that_is_asked_for_in_a_storm(node: Any) -> None:
    peers, operators = node.listeners
    storm = Storm("0 metrics", peers.where, takeover=False)
    try:
        pages: Deferred[int] = deferToThread(blow, storm, int(operators.where.rpartition(":")[2]))
        assert await pages > 10
        now = sums(metrics.exposition(node))
        assert now["nettool_lines_accepted"] > 1000
    finally:
        storm.crowd.close()
