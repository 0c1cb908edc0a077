"""
The table of options, for people: a file of defaults, and a page of the documentation.

In: the table.  Out: text.  Never: a fact that is not in the table or in the defaults themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from nettool.options.table import SECTIONS, TABLE, OnReload, Option
from nettool.settings import Settings

HEAD = """\
# The configuration of a nettool node, with all defaults.
#
# Start it with `twistd nettool --config FILE`.  NETTOOL_... variables go before what is said here, and options of the
# command line before them.  A key that is left out has its default.  `nettool check-config FILE` tells what is wrong.
#
# Times are written "100ms", "10s", "2m", "1h" or "forever"; sizes "64KiB", "4MiB" or plain bytes.
"""

ABOUT = {
    "node": "The node as a whole.",
    "log": "Its log.",
    "peers": "Who connects, and what one connection may do.",
    "delivery": "What is queued for peers that read slowly.",
    "links": "Other nodes, and what is under way to them.",
    "manhole": "A Python prompt inside the node, by SSH; off without `listen`.",
    "web": "Metrics, health and a status page over HTTP; off without `listen`.",
}

WIDTH = 118


def default_config() -> str:
    """A TOML file that reproduces the defaults, with what each key means."""
    sections = []
    for section in SECTIONS:
        keys = "\n".join(_key(option) for option in TABLE if option.group == section)
        sections.append(f"# {ABOUT[section]}\n[{section}]\n\n{keys}")
    return HEAD + "\n" + "\n".join(sections)


def _key(option: Option) -> str:
    told = [option.help]
    if option.here:
        told.append(f"Default: {option.here}.")
    if option.on_reload is OnReload.RESTART:
        told.append("A change needs a restart.")
    comment = "".join(f"# {line}\n" for line in wrap(" ".join(told), WIDTH))
    name = option.key.partition(".")[2]
    shown = f"# {name} = {_toml(option, option.example)}\n" if option.example else ""
    value = "" if option.here else f"{name} = {_toml(option, option.write(option.of(Settings())))}\n"
    return comment + shown + value


def _toml(option: Option, written: str) -> str:
    words = [f'"{word}"' for word in (written.split() if option.several else [written])]
    if option.several:
        return f"[{', '.join(words)}]"
    return written if option.kind.numbers and written.isdigit() else words[0]


PAGE = """\
# Options of a node

An option is written on the command line of `twistd nettool`, as a variable of its environment, or as a key in the file
that `--config FILE` (`NETTOOL_CONFIG`) names. The command line goes before the environment, that before the file, and
the file before the default. `nettool default-config` prints a file with all defaults.

Times are written `100ms`, `10s`, `2m`, `1h` or `forever`; sizes `64KiB`, `4MiB` or plain bytes. Several values are an
option given several times, a variable with white space between them, an array in a file. A variable that is empty is
unset; one that begins with `NETTOOL_` and is not here is an error.

The last column says what a [reload](../operating.md#changing-it-while-it-runs) does: *at once* is for present
connections too, *listeners* are bound before those that they replace are closed, and *restart* is what it takes.

This page is made from [`TABLE`](../../nettool/options/table.py) by `python docs/options_page.py`.
"""


def reference_page() -> str:
    """The page of all options, as Markdown."""
    return PAGE + "\n".join(_tables()) + "\n"


def _tables() -> Iterator[str]:
    for section in SECTIONS:
        yield from ("", f"## {section}", "", ABOUT[section], "")
        yield "| option | variable, key | | default | reload |"
        yield "| --- | --- | --- | --- | --- |"
        for option in TABLE:
            if option.group == section:
                yield _row(option)


def _row(option: Option) -> str:
    word = option.kind.word.replace("|", "\\|")
    several = " Several may be given." if option.several else ""
    default = option.default if option.here or option.default == "off" else f"`{option.default}`"
    cells = [
        f"`--{option.name} {word}`",
        f"`{option.variable}`, `{option.key}`",
        option.help + several,
        default,
        option.on_reload.value,
    ]
    return f"| {' | '.join(cells)} |"
