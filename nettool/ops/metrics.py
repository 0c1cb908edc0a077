"""
A node's metrics, as Prometheus reads them.

In: a node.  Out: one page of text, worked out when it is asked for.  Never: a count for each line, a thread, a reactor;
a label that grows with peers or topics, or that somebody else chooses.

All of a page is of one moment: nothing else runs while it is made, so the ledger's equation holds on it.
"""

from __future__ import annotations

import platform
import resource
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nettool.errors import CloseReason, DropReason, ErrorCode, ReturnReason
from nettool.ops import snapshots
from nettool.ops.lag import ReactorLag
from nettool.ops.links import LinkPhase, LinkStats
from nettool.outbox.facts import gates_of
from nettool.service import NodeService

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of what `exposition` gives."""

STATES = ("starting", "running", "draining")
Family = type[CounterMetricFamily] | type[GaugeMetricFamily]


def exposition(node: NodeService) -> bytes:
    """All metrics of a node, now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Node(node))
    return generate_latest(registry)


def families(node: NodeService) -> Iterator[Metric]:
    """The same, as values; those of which this node knows nothing have no samples."""
    stats = snapshots.stats(node)
    yield InfoMetricFamily(
        "nettool_build",
        "What runs: always 1.",
        {"version": stats.version, "node": stats.node, "python": platform.python_version()},
    )
    yield from _of_connections(node, stats)
    yield from _of_lines(stats)
    yield from _of_queues(stats)
    yield from _of_waiting(node, stats.now)
    yield from of_waits(stats)
    yield from of_phases(stats)
    yield from of_what_came(stats)
    yield from _of_the_process(node)
    yield from _of_reloads(getattr(node, "reloads", None))
    yield from of_links(stats.links)


class _Node(Collector):
    """What prometheus_client wants to ask."""

    def __init__(self, node: NodeService) -> None:
        self._node = node

    def collect(self) -> Iterable[Metric]:
        """See `families`."""
        return families(self._node)


def _one(kind: Family, name: str, meaning: str, value: float | None) -> Metric:
    """A metric without labels; nothing is known of it if there is no value."""
    family = kind(name, meaning)
    if value is not None:
        family.add_metric([], value)
    return family


def _each(kind: Family, name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    """A metric with one label."""
    family = kind(name, meaning, labels=[label])
    for word, value in values.items():
        family.add_metric([word], value)
    return family


def _by(words: type[Enum], counts: Mapping[Any, int]) -> dict[str, float]:
    """By each word of the protocol, 0 included: a rate is known from the first one that is counted."""
    return {word.value.decode(): counts.get(word, 0) for word in words}


def _of_connections(node: NodeService, stats: snapshots.Stats) -> Iterator[Metric]:
    yield _each(
        GaugeMetricFamily,
        "nettool_node_state",
        "1 for the state that the node is in.",
        "state",
        {state: float(state == stats.state) for state in STATES},
    )
    yield _one(GaugeMetricFamily, "nettool_peers", "Peers that can be written to.", stats.peers)
    yield _each(GaugeMetricFamily, "nettool_connections", "Connections by phase.", "phase", stats.phases)
    yield _one(GaugeMetricFamily, "nettool_topics", "Topics that somebody hears.", stats.topics)
    yield _each(
        GaugeMetricFamily, "nettool_links", "Other nodes by the state of their link.", "state", stats.links.states
    )
    closed = {reason: stats.closed.get(reason.value.decode(), 0) for reason in CloseReason}
    yield _one(
        CounterMetricFamily,
        "nettool_connections_made",
        "Connections that were made, those that were closed since included.",
        stats.connections + sum(stats.closed.values()),
    )
    yield _each(
        CounterMetricFamily,
        "nettool_disconnections",
        "Connections that were closed, by reason.",
        "reason",
        _by(CloseReason, closed),
    )
    yield _one(
        CounterMetricFamily,
        "nettool_faults",
        "Exceptions in sessions: faults of the node's own, each logged, each the end of one connection.",
        stats.faults,
    )


def _of_lines(stats: snapshots.Stats) -> Iterator[Metric]:
    ledger = stats.ledger
    yield _one(
        CounterMetricFamily,
        "nettool_lines_accepted",
        "Copies of texts that were put into outboxes: one for each receiver.",
        ledger.accepted,
    )
    yield _one(
        CounterMetricFamily,
        "nettool_lines_delivered",
        "Copies that were handed to their receiver's transport.",
        ledger.delivered,
    )
    yield _each(
        CounterMetricFamily,
        "nettool_lines_returned",
        "Copies that were given back to their sender, by reason.",
        "reason",
        _by(ReturnReason, ledger.returned),
    )
    yield _each(
        CounterMetricFamily,
        "nettool_lines_dropped",
        "Copies that were neither delivered nor given back, by reason.",
        "reason",
        _by(DropReason, ledger.dropped),
    )
    yield _each(
        CounterMetricFamily,
        "nettool_lines_refused",
        "Lines that were answered with an error and never accepted, by its code.",
        "code",
        _by(ErrorCode, ledger.refused),
    )
    yield _one(GaugeMetricFamily, "nettool_queued_lines", "Copies that are in outboxes.", ledger.queued)


def _of_queues(stats: snapshots.Stats) -> Iterator[Metric]:
    for name, meaning, value in (
        ("nettool_queued_bytes", "Bytes in all outboxes, with a charge for each batch.", stats.queued_bytes),
        ("nettool_largest_queue_bytes", "Bytes in the outbox that holds most.", stats.largest_queued_bytes),
        ("nettool_full_outboxes", "Outboxes that are full.", stats.full),
        ("nettool_paused_peers", "Peers that are not read because of others, or their own answers.", stats.paused),
    ):
        yield _one(GaugeMetricFamily, name, meaning, value)


def _of_waiting(node: NodeService, now: float) -> Iterator[Metric]:
    gates = [node.peers.stopping]
    for connection in node.peers.connections:
        backlog = connection.session.outbox.backlog
        if backlog is not None:
            gates += [gate for _, gate in gates_of(backlog)]
    longest = max((now - since for gate in gates for since in gate.waiting.values()), default=0.0)
    yield _one(
        GaugeMetricFamily,
        "nettool_longest_pause_seconds",
        "For how long who waits longest has waited.",
        max(longest, 0.0),
    )


def of_waits(stats: Any) -> Iterator[Metric]:
    """How often senders were made to wait and for how long, where that is counted."""
    waits = getattr(stats, "waits", ())
    yield _each(
        CounterMetricFamily,
        "nettool_pauses",
        "Times that a sender was made to wait, by what for.",
        "gate",
        {wait.lane: wait.pauses for wait in waits},
    )
    yield _each(
        CounterMetricFamily,
        "nettool_paused_seconds",
        "Time for which senders waited, those who wait now included, by what for.",
        "gate",
        {wait.lane: wait.paused for wait in waits},
    )


_PHASES: tuple[tuple[Family, str, str, Callable[[Any], float]], ...] = (
    (CounterMetricFamily, "nettool_phase_started", "Lines that began a phase.", lambda it: it.started),
    (
        CounterMetricFamily,
        "nettool_phase_finished",
        "Lines that ended a phase, well or not.",
        lambda it: it.passed + it.given_up + it.taken_apart,
    ),
    (GaugeMetricFamily, "nettool_phase_in_flight", "Lines that are in a phase.", lambda it: it.in_flight),
    (CounterMetricFamily, "nettool_phase_bytes", "Bytes of lines that passed a phase.", lambda it: it.bytes),
    (CounterMetricFamily, "nettool_phase_seconds", "Time in a phase: the sum over lines.", lambda it: it.seconds),
)


def of_phases(stats: Any) -> Iterator[Metric]:
    """The way of lines out of the node, where that is measured."""
    for kind, name, meaning, value in _PHASES:
        family = kind(name, meaning, labels=["mode", "phase"])
        for passing in getattr(stats, "passing", ()):
            family.add_metric([passing.mode, passing.phase], value(passing))
        yield family


_LINKS: tuple[tuple[Family, str, str, Callable[[LinkStats], float]], ...] = (
    (
        GaugeMetricFamily,
        "nettool_link_longest_down_seconds",
        "For how long the node that is not linked for longest has not been.",
        lambda it: it.longest_down,
    ),
    (GaugeMetricFamily, "nettool_link_peers", "Peers that other nodes say are there.", lambda it: it.peers),
    (GaugeMetricFamily, "nettool_link_queued_lines", "Lines for other nodes, not sent.", lambda it: it.queued_lines),
    (
        GaugeMetricFamily,
        "nettool_link_queued_bytes",
        "Bytes of lines for other nodes, not sent, with a charge for each batch.",
        lambda it: it.queued_bytes,
    ),
    (
        GaugeMetricFamily,
        "nettool_link_unconfirmed_lines",
        "Lines that were sent to other nodes and are not known to be routed there.",
        lambda it: it.unconfirmed_lines,
    ),
    (
        GaugeMetricFamily,
        "nettool_link_unconfirmed_bytes",
        "Bytes of frames that are kept until they are confirmed.",
        lambda it: it.unconfirmed_bytes,
    ),
    (
        GaugeMetricFamily,
        "nettool_link_unconfirmed_seconds",
        "For how long the oldest line that was sent on a link has not been confirmed; of links that are up.",
        lambda it: it.unconfirmed_for,
    ),
    (GaugeMetricFamily, "nettool_link_full", "Ways to other nodes that are full.", lambda it: it.full),
    (
        GaugeMetricFamily,
        "nettool_link_slow_receivers",
        "Receivers on other nodes whose senders wait, or get their lines back.",
        lambda it: it.slow_receivers,
    ),
    (
        CounterMetricFamily,
        "nettool_link_resent_lines",
        "Lines that were sent again after a cut.",
        lambda it: it.resent_lines,
    ),
    (
        CounterMetricFamily,
        "nettool_link_duplicate_frames",
        "Frames that came again after a cut, and were not routed again.",
        lambda it: it.duplicate_frames,
    ),
)

_LINK_PHASES: tuple[tuple[Family, str, str, Callable[[LinkPhase], float]], ...] = (
    (CounterMetricFamily, "nettool_link_phase_started", "Lines that began a phase of a link.", lambda it: it.started),
    (
        CounterMetricFamily,
        "nettool_link_phase_finished",
        "Lines that ended a phase of a link, well or not.",
        lambda it: it.finished,
    ),
    (GaugeMetricFamily, "nettool_link_phase_in_flight", "Lines in a phase of a link.", lambda it: it.in_flight),
    (CounterMetricFamily, "nettool_link_phase_bytes", "Bytes of lines that passed a phase.", lambda it: it.bytes),
    (
        CounterMetricFamily,
        "nettool_link_phase_seconds",
        "Time in a phase of a link: the sum over lines.",
        lambda it: it.seconds,
    ),
)


def of_links(links: LinkStats) -> Iterator[Metric]:
    """Other nodes, all together; a node without links tells nothing of them."""
    there = bool(links.ends)
    for kind, name, meaning, value in _LINKS:
        yield _one(kind, name, meaning, value(links) if there else None)
    meaning = "Connections to other nodes that ended or could not be made, by reason."
    yield _each(CounterMetricFamily, "nettool_link_ends", meaning, "reason", links.ends)
    for of_kind, name, meaning, of_phase in _LINK_PHASES:
        family = of_kind(name, meaning, labels=["mode", "phase"])
        for phase in links.phases:
            family.add_metric([phase.mode, phase.phase], of_phase(phase))
        yield family


def of_what_came(stats: Any) -> Iterator[Metric]:
    """What peers have sent, where that is counted."""
    for name, meaning, field in (
        ("nettool_lines_received", "Lines that peers have sent, but for empty ones.", "received_lines"),
        ("nettool_received_bytes", "Bytes that peers have sent.", "received_bytes"),
    ):
        yield _one(CounterMetricFamily, name, meaning, getattr(stats, field, None))


def _of_the_process(node: NodeService) -> Iterator[Metric]:
    """What is the process's rather than the node's: none of it costs more with more descriptors."""
    lags = [service.longest() for service in node if isinstance(service, ReactorLag)]
    yield _one(
        GaugeMetricFamily,
        "nettool_reactor_lag_seconds",
        "Longest time for which the reactor was late, of the last 30 to 60 s.",
        max(lags, default=None),
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield _one(
        CounterMetricFamily,
        "nettool_process_cpu_seconds",
        "Processor time of the process.",
        used.ru_utime + used.ru_stime,
    )
    yield _one(
        GaugeMetricFamily,
        "nettool_process_peak_memory_bytes",
        "Most memory that the process has had at a time.",
        used.ru_maxrss * 1024,
    )
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield _one(
        GaugeMetricFamily,
        "nettool_process_max_descriptors",
        "Descriptors that the process may have: about one for each connection.",
        float("inf") if limit == resource.RLIM_INFINITY else limit,
    )


def _of_reloads(reloads: Any) -> Iterator[Metric]:
    """Of a node that has a configuration; not its type, which is on the same floor of the house as this."""
    there = reloads is not None
    results = {"applied": reloads.applied, "refused": reloads.refused} if there else {}
    yield _each(CounterMetricFamily, "nettool_reloads", "Reloads, by what became of them.", "result", results)
    for name, meaning, field in (
        ("nettool_reload_last_applied", "1 if the last reload was applied, or there was none.", "last_was_applied"),
        ("nettool_reload_last_timestamp_seconds", "When the last reload was; at first the node's start.", "last_at"),
        (
            "nettool_reload_in_force_timestamp_seconds",
            "When the configuration that is in force was put in force.",
            "in_force_since",
        ),
    ):
        yield _one(GaugeMetricFamily, name, meaning, float(getattr(reloads, field)) if there else None)
