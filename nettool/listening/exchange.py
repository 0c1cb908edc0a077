"""
From the listeners that there are to those that are wanted, all or nothing.

In: listeners, and what is wanted.  Out: new ones bound before anything is closed; then, in one step that cannot fail,
the exchange.  Never: a moment in which an address that is kept is deaf, or a connection that is closed.

| what is wanted | what becomes of the port |
| --- | --- |
| the same string | it is left alone; if the files that it names changed, new connections get what is in them now |
| another string for the same address | it is kept, and accepts for the new one from now on |
| an address that overlaps with one that goes | both are bound for a moment (`nettool.listening.opening`) |
| another address | it is bound, before the others are closed |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from nettool.errors import Mistake, SettingError
from nettool.listening.endpoints import scheme
from nettool.listening.listener import Listener


@dataclass(frozen=True)
class Wanted:
    """A listener that there is to be."""

    key: str
    """The option that asks for it."""
    description: str
    factory: IProtocolFactory
    purpose: str = ""
    to_the_end: bool = False

    def listener(self, reactor: Any) -> Listener:
        """It, not bound yet; a `SettingError` names the option."""
        try:
            return Listener.of(reactor, self.description, self.factory, self.purpose, self.to_the_end)
        except SettingError as error:
            raise SettingError(*(Mistake((self.key,), mistake.text) for mistake in error.mistakes)) from error


class Exchange:
    """What has to happen, worked out, and checked as far as it can be without doing it.

    Invariant: until `apply`, nothing that listens is changed.
    """

    _log = Logger()

    def __init__(self, reactor: Any, present: Sequence[Listener], wanted: Iterable[Wanted]) -> None:
        """`SettingError` for an endpoint that cannot be used."""
        self._reactor = reactor
        self._leaving = list(present)
        self._new: list[Listener] = []
        self._renewed: list[tuple[Listener, Listener]] = []
        """A listener, and one of the same string with the files as they are now."""
        self._moved: list[tuple[Listener, Listener]] = []
        """A listener, and one that takes over its port."""
        wanted = list(wanted)
        kept = [self._keep(want) for want in wanted]  # first all of these, so that nobody takes over their ports
        self.listeners = [keep or self._add(want) for keep, want in zip(kept, wanted, strict=True)]
        """Those that there are to be, in the order in which they are wanted."""

    def _keep(self, want: Wanted) -> Listener | None:
        old = next((old for old in self._leaving if _is_for(old, want)), None)
        if old is not None and old.opening is not None:
            now = want.listener(self._reactor)
            if now.digest != old.digest or now.factory is not old.factory:
                if not old.can_be_taken_over:
                    return None
                self._renewed.append((old, now))
        if old is not None:
            self._leaving.remove(old)
        return old

    def _add(self, want: Wanted) -> Listener:
        if scheme(want.description) == "systemd":  # its descriptor may be anything by now
            text = f"{want.description!r} needs a restart: sockets are taken from systemd at the start"
            raise SettingError(Mistake((want.key,), text))
        now = want.listener(self._reactor)
        old = next((old for old in self._leaving if _same_address(old, now)), None)
        if old is None:
            self._new.append(now)
        else:
            self._leaving.remove(old)
            self._moved.append((old, now))
        return now

    def bind(self) -> None:
        """Bind all new ones; if one cannot be bound none is, and what made that impossible is raised."""
        leaving = [old.port for old in self._leaving if old.port is not None]
        try:
            for listener in self._new:
                listener.bind(leaving)
                if listener.port is None:
                    raise SettingError(f"{listener.description!r} takes its time to listen: it needs a restart")
        except BaseException:
            self.unbind()
            raise

    def unbind(self) -> None:
        """Close again what `bind` has bound."""
        for listener in self._new:
            listener.close().addErrback(self._ended_badly, listener)

    def apply(self) -> list[str]:
        """Make the exchange, and say what has changed.  Ports that go are still open: `gone` are to be closed."""
        said = []
        for old, now in self._renewed:
            if self._take_over(old, now):
                old.opening, old.digest, old.factory = now.opening, now.digest, now.factory
                said.append(f"{old.where}: keys and certificates read again")
        for old, now in self._moved:
            before, port = old.where, old.give_up()
            assert port is not None
            now.take(port)
            if self._take_over(now, now):
                said.append(f"{now.description} accepts on the port of {before}")
        said += [f"{listener.where}: opened" for listener in self._new]
        said += [f"{old.where}: closed" for old in self._leaving]
        return said

    def _take_over(self, old: Listener, now: Listener) -> bool:
        assert now.opening is not None
        try:
            now.opening.take_over(old.port)
        except Exception:  # everything was checked: a fault of ours, or the file of a UNIX socket that is gone
            self._log.failure(
                "the port of {where} could not be taken over whole",
                level=LogLevel.error,
                event="exchange-failed",
                where=old.where,
            )
            return False
        return True

    @property
    def gone(self) -> list[Listener]:
        """Those that are not wanted any more; those whose port was taken over have none."""
        return self._leaving + [old for old, _ in self._moved]

    def _ended_badly(self, failure: Failure, listener: Listener) -> None:
        self._log.error(
            "could not close {where}: {error}", event="close-failed", where=listener.description, error=failure.value
        )


def _is_for(listener: Listener, want: Wanted) -> bool:
    return (listener.description, listener.purpose) == (want.description, want.purpose)


def _same_address(old: Listener, now: Listener) -> bool:
    """Whether one can take over the other's port."""
    if old.opening is None or now.opening is None:
        return False
    return old.opening.where == now.opening.where and old.can_be_taken_over
