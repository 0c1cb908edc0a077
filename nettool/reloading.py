"""
A node that can be told to read its configuration again.

In: a configuration, and what answers at each of the addresses that it names.  Out: the node; what a reload has changed.
Never: half a reload: all is read, checked, made and bound before the first thing changes, or nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.logger import Logger, LogLevel

from nettool.errors import Mistake, SettingError
from nettool.linking import Linking
from nettool.listening.exchange import Exchange, Wanted
from nettool.options import BY_KEY, TABLE, Configuration, OnReload, Option, Reading, with_values
from nettool.options.kinds import SECRET_FILE, secret_in
from nettool.service import NodeService
from nettool.settings import Settings


@dataclass(frozen=True)
class Door:
    """An option that says where to listen, and what answers there."""

    key: str
    """The option, as `web.listen`: one endpoint string or several; an empty one is a door that is shut."""
    make: Callable[[ReloadableNode, Settings], IProtocolFactory]
    """What answers; a `SettingError` or an `OSError` says why nothing can."""
    purpose: str = ""
    """For whom it is, in the log, if not for peers."""
    depends_on: tuple[str, ...] = ()
    """Keys of options of which another value, or another secret in its file, makes it necessary to `make` again."""
    to_the_end: bool = False
    """Whether it is open while the node drains, to show how that goes on."""

    def endpoints(self, settings: Settings) -> tuple[str, ...]:
        """Where it is open."""
        option = BY_KEY[self.key]
        value = option.of(settings)
        return value if option.several else (value,) if value else ()


class Front(Factory):
    """What answers at a door that can be given another factory while it is open.

    Invariant: what is behind it is started exactly while it is.
    """

    noisy = False

    def __init__(self, behind: IProtocolFactory, made_of: tuple[Any, ...]) -> None:
        self.behind = behind
        self.made_of = made_of
        """The values on which `behind` depends."""

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:  # type: ignore[override]
        """Whatever is behind it answers."""
        return self.behind.buildProtocol(addr)  # type: ignore[arg-type]

    def startFactory(self) -> None:
        """It is listened on for the first time."""
        self.behind.doStart()

    def stopFactory(self) -> None:
        """It is listened on no more."""
        self.behind.doStop()

    def put(self, behind: IProtocolFactory, made_of: tuple[Any, ...]) -> None:
        """Answer by this one, from the next connection on."""
        before, self.behind, self.made_of = self.behind, behind, made_of
        if self.numPorts:
            behind.doStart()
            before.doStop()


@dataclass(frozen=True, slots=True)
class Reloads:
    """What has become of all reloads until now, and which configuration is in force."""

    applied: int = 0
    refused: int = 0
    last_was_applied: bool = True
    """The node's start counts as one that was."""
    last_at: float = 0.0
    """When the last one was, in seconds of the node's clock."""
    in_force_since: float = 0.0
    """When the last one that was applied was."""
    said: str = ""
    """What was said of the last one: what changed, or why it was refused."""
    digest: str = ""
    """SHA-256 of the file in force, as sha256sum prints it; empty where there is none."""


class ReloadableNode(NodeService):
    """A node with a configuration.

    Invariant: what is in force was read and checked as a whole; a reload that fails leaves everything as it was.
    """

    _log = Logger()

    def __init__(self, configuration: Configuration, reading: Reading, reactor: Any, doors: Sequence[Door]) -> None:
        """`reading` is what the configuration said; `SettingError` if it cannot be listened as it says."""
        super().__init__(reading.settings, reactor)
        self.configuration = configuration
        self.doors = doors
        self.linking = Linking(self)
        self.when_reloaded: list[Callable[[Settings], object]] = []
        """Called with the settings after each reload that was applied."""
        now = reactor.seconds()
        self.reloads = Reloads(last_at=now, in_force_since=now, digest=reading.digest)
        plan = _Plan(self, reading.settings, {})
        for want in plan.wanted:
            self.adopt(want.listener(reactor))
        plan.link()
        self._answering = plan.answering

    def say_where(self) -> None:
        """Say what it was told by, and where it listens."""
        if self.configuration.file:
            file, digest = self.configuration.file, self.reloads.digest
            self._log.info("configured by {file}, sha256 {digest}", event="configured", file=file, digest=digest)
        super().say_where()

    def reload(self) -> str:
        """Read the configuration again and put it in force, all of it or nothing; says what changed, or why nothing.

        It does not wait for anything, so two reloads follow each other, and nothing happens in the middle of one.
        """
        try:
            if not self.running or self._ended is not None:
                raise SettingError("the node is draining" if self._ended is not None else "the node does not run yet")
            with self.configuration.at_start():
                reading = self.configuration.read()
                before = self.live.settings
                settings, left = _without_restart(before, reading.settings)
                plan = _Plan(self, settings, self._answering)
                exchange = Exchange(self.reactor, self.listeners, plan.wanted)
                exchange.bind()
        except (SettingError, CannotListenError, OSError) as error:
            return self._refuse(str(error))
        except Exception as error:
            self._log.failure("a reload failed", level=LogLevel.error, event="reload-failed")
            return self._refuse(f"a fault of the node's own: {type(error).__name__}")
        changes = [*_changes(before, settings), *plan.read_again, *self._apply(settings, plan, exchange)]
        return self._done(reading.digest, changes, left)

    def _apply(self, settings: Settings, plan: _Plan, exchange: Exchange) -> list[str]:
        """All that was prepared; only a fault of ours can make a step fail, and it ends none of the others."""
        present, said = set(self.listeners), list[str]()
        steps: list[Callable[[], object]] = [
            partial(self.put_in_force, settings),
            plan.put,
            lambda: said.extend(plan.link()),
            lambda: said.extend(self.exchange(exchange)),
            *(partial(call, settings) for call in self.when_reloaded),
        ]
        for step in steps:
            try:
                step()
            except Exception:
                self._log.failure("a part of a reload failed", level=LogLevel.error, event="reload-failed")
        self._answering = plan.answering
        for listener in self.listeners:
            if listener not in present:
                self.say_of(listener)
        return said

    def _done(self, digest: str, changes: list[str], left: list[str]) -> str:
        said = "reloaded: " + "; ".join([*changes, *left] or ["nothing changed"])
        now, reloads = self.reactor.seconds(), self.reloads
        self.reloads = Reloads(reloads.applied + 1, reloads.refused, True, now, now, said, digest)
        self._log.info("reloaded: {changes}", event="reloaded", changes="; ".join(changes) or "nothing changed")
        for text in [*left, *self.live.settings.warnings()]:
            self._log.warn("{warning}", event="config-warning", warning=text)
        return said

    def _refuse(self, reason: str) -> str:
        said = f"reload refused, and nothing changed: {' '.join(reason.split())}"
        self.reloads = replace(
            self.reloads,
            refused=self.reloads.refused + 1,
            last_was_applied=False,
            last_at=self.reactor.seconds(),
            said=said,
        )
        self._log.error("reload refused, and nothing changed: {reason}", event="reload-refused", reason=reason)
        return said


class _Plan:
    """Which listeners settings ask for, and what answers there: made, but in nobody's way yet."""

    def __init__(self, node: ReloadableNode, settings: Settings, answering: Mapping[str, IProtocolFactory]) -> None:
        """`answering` is what answers now, by door; `SettingError` with every door that cannot be opened."""
        self.wanted: list[Wanted] = []
        self.answering: dict[str, IProtocolFactory] = {}
        self.read_again: list[str] = []
        """What has changed in files whose names have not."""
        self._to_put: list[tuple[Front, IProtocolFactory, tuple[Any, ...]]] = []
        mistakes = [
            Mistake((option.key,), "this node has nothing that could answer there")
            for option in TABLE
            if option.key.endswith(".listen") and option.of(settings) and option.key not in {d.key for d in node.doors}
        ]
        for door in node.doors:
            if endpoints := door.endpoints(settings):
                try:
                    factory = self._factory(door, node, settings, answering.get(door.key))
                    self.wanted += [
                        Wanted(door.key, endpoint, factory, door.purpose, door.to_the_end) for endpoint in endpoints
                    ]
                except (SettingError, OSError) as error:
                    mistakes.append(Mistake((door.key,), str(error)))
        if mistakes:
            raise SettingError(*mistakes)
        self.link = node.linking.prepare(settings)
        """Puts in force what the settings say of other nodes, and says what has changed."""

    def _factory(
        self, door: Door, node: ReloadableNode, settings: Settings, present: IProtocolFactory | None
    ) -> IProtocolFactory:
        made_of = tuple(_content(BY_KEY[key], settings) for key in door.depends_on)
        if present is None:
            made = door.make(node, settings)
            present = Front(made, made_of) if door.depends_on else made
        elif isinstance(present, Front) and present.made_of != made_of:
            self._to_put.append((present, door.make(node, settings), made_of))
            self.read_again += [
                f"{key}: read again"
                for key, was, is_now in zip(door.depends_on, present.made_of, made_of, strict=True)
                if was != is_now and BY_KEY[key].of(settings) == BY_KEY[key].of(node.live.settings)
            ]
        self.answering[door.key] = present
        return present

    def put(self) -> None:
        """Let what was made answer from now on, where a front that is open has another one behind it."""
        for front, behind, made_of in self._to_put:
            front.put(behind, made_of)


def _content(option: Option, settings: Settings) -> object:
    """What an option comes to: its value, and of a file with a secret what is in it, as a digest."""
    value = option.of(settings)
    return (value, sha256(secret_in(value)).digest()) if option.kind is SECRET_FILE and value else value


def _without_restart(before: Settings, settings: Settings) -> tuple[Settings, list[str]]:
    """The settings, but for what a restart takes, which stays as it was; and what that is."""
    stay: dict[str, Any] = {}
    told: list[str] = []
    for option in TABLE:
        was, is_to_be = option.of(before), option.of(settings)
        if option.on_reload is OnReload.RESTART and was != is_to_be:
            stay[option.key] = was
            told.append(f"{option.key} stays {option.write(was)} until a restart makes it {option.write(is_to_be)}")
    kept = with_values(settings, stay)
    if mistakes := kept.check():
        raise SettingError(*mistakes)
    return kept, told


def _changes(before: Settings, after: Settings) -> Iterator[str]:
    """What is different, key by key; listeners tell for themselves."""
    for option in TABLE:
        was, is_now = option.of(before), option.of(after)
        if was != is_now and not option.key.endswith(".listen"):
            yield f"{option.key}: {option.write(was) or 'none'} -> {option.write(is_now) or 'none'}"
