"""
Where options are written: the command line, the environment, a TOML file.

In: flags, variables, a file.  Out: checked `Settings`, or every mistake at once, each with its place.
Never: a value from one of them when a stronger one has it: a flag before a variable before the file.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, chdir, nullcontext
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import sha256
from typing import Any

from nettool.errors import Mistake, SettingError
from nettool.options.table import BY_KEY, BY_NAME, BY_VARIABLE, SECTIONS, VARIABLE, Option, with_values
from nettool.settings import MIB, NodeSettings, Settings, write_size
from nettool.wire.names import is_name

CONFIG_VARIABLE = VARIABLE + "CONFIG"
OTHERS = frozenset(VARIABLE + name for name in ("CONNECT", "NAME", "URL"))
"""Variables of the command `nettool`, which are no options of a node."""

LARGEST = MIB
"""Bytes of a file that is read while the node waits."""


@dataclass
class Source:
    """What was written in one place: values by key, where each was, and everything that is wrong there, in order."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def take(self, option: Option, written: Iterable[str], place: str) -> None:
        """Take what was written of one option, or all that is wrong with it."""
        self.places[option.key] = place
        try:
            self.values[option.key] = option.parse(tuple(written))
        except SettingError as error:
            self.mistakes += [Mistake((option.key,), mistake.text, place) for mistake in error.mistakes]

    def refuse(self, text: str, place: str) -> None:
        """Something that is no option, or cannot be read."""
        self.mistakes.append(Mistake((), text, place))


def settle(sources: Iterable[Source], otherwise: Settings) -> Settings:
    """Settings from what was written, the weakest source first; what nobody wrote is as in `otherwise`.

    `SettingError` with every mistake of all sources.
    """
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    mistakes: list[Mistake] = []
    for source in sources:
        values |= source.values
        places |= source.places
        mistakes += source.mistakes
    wrong = {key for mistake in mistakes for key in mistake.keys}
    settings = with_values(otherwise, values)
    for mistake in settings.check():
        if not wrong.intersection(mistake.keys):
            mistakes.append(Mistake(mistake.keys, mistake.text, _place(mistake, places)))
    if mistakes:
        raise SettingError(*mistakes)
    return settings


def _place(mistake: Mistake, places: Mapping[str, str]) -> str:
    """Where to look: where the wrong key was written, or else another one that makes it wrong."""
    key = mistake.keys[0]
    if key in places:
        return places[key]
    other = next((places[other] for other in mistake.keys if other in places), "")
    return f"{other.rpartition(': ')[0] or other}: {key}" if other else ""


def from_flags(flags: Mapping[str, str | list[str]]) -> Source:
    """What the command line says, by name of the option."""
    source = Source()
    for name, said in flags.items():
        source.take(BY_NAME[name], said if isinstance(said, list) else [said], "--" + name)
    return source


def from_keywords(keywords: Mapping[str, str], known: Iterable[Option]) -> Source:
    """What a program says, as keywords: names of options with underscores."""
    source = Source()
    by_keyword = {option.name.replace("-", "_"): option for option in known}
    for keyword, said in keywords.items():
        if keyword in by_keyword:
            source.take(by_keyword[keyword], [said], keyword)
        else:
            source.refuse("there is no such option" + _nearest(keyword, by_keyword), keyword)
    return source


def from_environment(environment: Mapping[str, str]) -> Source:
    """What variables say: several values with white space between them; an empty one says nothing."""
    source = Source()
    known = [variable.removeprefix(VARIABLE) for variable in (*BY_VARIABLE, CONFIG_VARIABLE)]
    for variable, said in sorted(environment.items()):
        if variable.startswith(VARIABLE) and said.strip() and variable not in OTHERS:
            if option := BY_VARIABLE.get(variable):
                source.take(option, said.split() if option.several else [said], variable)
            elif variable != CONFIG_VARIABLE:
                near = _nearest(variable.removeprefix(VARIABLE), known, VARIABLE)
                source.refuse("there is no such option" + near, variable)
    return source


def _nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    near = get_close_matches(word, list(known), 1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


# A file


def from_file(path: str, content: bytes) -> Source:
    """What a TOML file says."""
    source = Source()
    try:
        text = content.decode("utf-8-sig")  # some editors begin a file with a mark
        sections = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        source.refuse(f"expected UTF-8, which the byte 0x{content[error.start]:02x} is not", f"{path}:{line}")
        return source
    except tomllib.TOMLDecodeError as error:
        source.refuse(f"expected TOML: {error}", path)
        return source
    lines = _lines_of_keys(text)

    def place(key: str) -> str:
        return f"{path}:{lines[key]}: {key}" if key in lines else f"{path}: {key}"

    for section, keys in sections.items():
        if isinstance(keys, dict) and section in SECTIONS:
            for name, value in keys.items():
                _take(source, f"{section}.{name}", value, place(f"{section}.{name}"))
        elif isinstance(keys, dict):
            source.refuse("there is no such section" + _nearest(section, SECTIONS), place(section))
        elif section in SECTIONS:
            source.refuse(f"expected a section, not {_shown(keys)}", place(section))
        else:
            source.refuse("there is no such key" + _meant(section), place(section))
    return source


def _take(source: Source, key: str, value: Any, place: str) -> None:
    """Take one key's value, or say what is wrong with it."""
    option = BY_KEY.get(key)
    if option is None:
        source.refuse("there is no such key" + _meant(key), place)
        return
    values = value if option.several and isinstance(value, list) else [value]
    wrong = [item for item in values if not (isinstance(item, str) or (option.kind.numbers and type(item) is int))]
    if wrong or not (values or option.may_be_none):
        shown = _shown(wrong[0]) if wrong else "none"
        source.mistakes.append(Mistake((key,), f"expected {option.kind.expected}, not {shown}", place))
    else:
        source.take(option, map(str, values), place)


def _meant(key: str) -> str:
    """The key that was probably meant: one of the same name, or else one that looks like it."""
    name = "." + key.rpartition(".")[2].replace("_", "-")
    same = [known for known in BY_KEY if known.endswith(name)]
    return f"; did you mean {same[0]}?" if same else _nearest(key, BY_KEY)


def _shown(value: Any) -> str:
    """A value of the wrong type, for whoever wrote it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "an array"
    return repr(value) if isinstance(value, str) else "a date or time"


_SECTION = re.compile(r"\s*\[\s*\"?([\w-]+)\"?\s*\]\s*(#.*)?$", re.ASCII)
_KEY = re.compile(r"\s*\"?([\w-]+)\"?\s*(?:\.\s*\"?([\w-]+)\"?\s*)?=", re.ASCII)


def _lines_of_keys(text: str) -> dict[str, int]:
    """The lines in which keys and sections are written, where that is plain to see: tomllib does not tell."""
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if found := _SECTION.match(line):
            section = found[1]
            lines.setdefault(section, number)
        elif found := _KEY.match(line):
            lines.setdefault(".".join(filter(None, (section, found[1], found[2]))), number)
    return lines


# All of them


@dataclass(frozen=True)
class Reading:
    """What all sources say, read once."""

    settings: Settings
    digest: str
    """SHA-256 of the file, as sha256sum prints it; empty where there is none."""


class Configuration:
    """What a process was told at its start, and the file that it can be told to read again.

    Invariant: flags and variables stay as they were at the start.
    """

    def __init__(
        self,
        flags: Mapping[str, str | list[str]],
        environment: Mapping[str, str],
        file: str | None = None,
        machine: Settings | None = None,
    ) -> None:
        """`file` is what the command line names, before the environment; `machine` has the defaults."""
        self._flags = dict(flags)
        self._environment = dict(environment)
        self.file = file or self._environment.get(CONFIG_VARIABLE, "")
        self._defaults = here(self._environment) if machine is None else machine
        self._started_in = _directory()

    def read(self) -> Reading:
        """Read the file, and check everything; `SettingError` with every mistake."""
        with self.at_start():
            sources = [from_environment(self._environment), from_flags(self._flags)]
            digest = ""
            if self.file:
                content = content_of(self.file)
                digest = sha256(content).hexdigest()
                sources.insert(0, from_file(self.file, content))
            return Reading(settle(sources, self._defaults), digest)

    def at_start(self) -> AbstractContextManager[None]:
        """Be in the directory where the process began, which a daemon may have left: paths are as they were there."""
        if self._started_in != _directory() and os.path.isdir(self._started_in):
            return chdir(self._started_in)
        return nullcontext()


def content_of(path: str) -> bytes:
    """The content of a configuration file; `SettingError` if it cannot be read."""
    reason: object
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # opening a pipe would wait for who writes it
            reason = "it is a directory" if os.path.isdir(path) else "it is none"
        else:
            with open(path, "rb") as file:
                content = file.read(LARGEST + 1)
            if len(content) <= LARGEST:
                return content
            reason = f"it is larger than {write_size(LARGEST)}"
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
    raise SettingError(Mistake((), f"expected a file that can be read: {reason}", path))


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return ""


def here(environment: Mapping[str, str]) -> Settings:
    """The defaults on this machine, for this user."""
    return Settings(NodeSettings(name=_host_name(), state_dir=_state_directory(environment)))


def _host_name() -> bytes:
    name = socket.gethostname().partition(".")[0].encode()
    return name if is_name(name) else b"node"


def _state_directory(environment: Mapping[str, str]) -> str:
    """systemd's, else the user's, by the rule of freedesktop.org; none if the user has no home."""
    given = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return given
    base = environment.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # the rule says that another one is to be ignored
        home = environment.get("HOME", "") or os.path.expanduser("~")
        base = os.path.join(home, ".local", "state") if os.path.isabs(home) else ""
    return os.path.join(base, "nettool") if base else ""
