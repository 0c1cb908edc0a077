"""What the command line decides for all runs.

In: options.  Out: plain values.  Never: what one workload or one server alone needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mix:
    """The sizes of the topic mix; `shared` makes the senders hear too, instead of separate connections."""

    senders: int = 64
    topics: int = 32
    hearers: int = 10
    shared: bool = False

    def __str__(self) -> str:
        where = "among the senders" if self.shared else "on connections of their own"
        return f"{self.senders} senders, {self.topics} topics, {self.hearers} hearers each, {where}"


@dataclass(frozen=True)
class Settings:
    """How long, how often, on which core."""

    seconds: float = 1.0
    trips: int = 3000
    block_bytes: int = 256 * 1024
    """About how much a sender sends before its lines repeat: 64 senders' blocks are 16 MiB."""
    at_once: int = 64
    """Connections that log in at the same time where connections are what is measured."""
    idle_seconds: float = 20.0
    """Before memory is read, after the last login: so long takes Redis (7.0.15) to give back what logins needed."""
    mix: Mix = field(default_factory=Mix)
    server_core: int | None = None
    rounds: int | None = None
    redo: int = 2
    """How often a run that other processes disturbed is done again at once."""
    per_cpu: bool = False
    """Rates are by the server's processor time: they hardly change when other processes take a share of its core."""
