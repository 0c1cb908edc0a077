"""The command line of the benchmark.

In: arguments.  Out: what they say, checked as far as it can be without looking at the machine.  Never: a measurement.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.servers import SERVERS
from bench.settings import Mix, Settings
from bench.workloads import WORKLOADS

DESCRIPTION = """\
nettool and other servers under the same load, in turn, on this machine: nats-server, Redis and Mosquitto, as far as
they are installed.  Prints tables of medians and of ratios."""

EPILOG = """\
examples:
  python -m bench --quick                       a first look, about two minutes
  python -m bench --json all.json               everything, about half an hour with four servers
  python -m bench --workloads names,trip --servers nettool,nats --rounds 11
  python -m bench.plots all.json                draw what was measured; python -m bench.plots --help

Each run starts the server afresh on one core, warms it up, and loads it from another core.  Before the first run of a
workload the contents of what is delivered are checked, and it is measured how many lines make a run of --seconds.  A
run in which a byte is missing or too much does not count.  Keep the machine idle otherwise: other processes are noticed
and said, not made up for.  Where that cannot be had, --per-cpu compares what the servers do with the time they get;
round trips stay by the clock.  nats-server takes 2.6 s longer for each run, until it has sent its first PING.

Exit status: 0, or 1 if a run failed, 2 for wrong options, 69 if nettool is not there, 130 after Ctrl-C.
"""

BLOCK_HELP = "about how much a sender sends before its lines repeat; default %(default)s"
IDLE_HELP = "wait so long before memory is read; default %(default)s"
QUICK = Settings(seconds=0.3, trips=1000, rounds=1, redo=0)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options; wrong ones end the program."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = Settings()
    usual = [key for key, server in SERVERS.items() if server.usual]
    add = parser.add_argument
    add("--list", action="store_true", help="show the workloads and the servers, and end")
    add("--quick", action="store_true", help="fewer workloads, one short round of each")
    add("--workloads", type=_keys(WORKLOADS), metavar="A,B", help="default all; --list names them")
    add("--servers", type=_keys(SERVERS), default=usual, metavar="A,B", help="default all installed ones, but bare")
    add("--rounds", type=_count, metavar="N", help="default 5; of round trips 11, of the slow reader 3, of memory 2")
    add("--seconds", type=_above_zero, metavar="S", help=f"length of a run; default {defaults.seconds}")
    add("--trips", type=_count, metavar="N", help=f"round trips of a run; default {defaults.trips}")
    add("--block-bytes", type=_count, default=defaults.block_bytes, metavar="N", help=BLOCK_HELP)
    add("--at-once", type=_count, default=defaults.at_once, metavar="N", help="logins at once; default %(default)s")
    add("--idle-seconds", type=_above_zero, default=defaults.idle_seconds, metavar="S", help=IDLE_HELP)
    add("--redo", type=int, metavar="N", help=f"repeat a run that others disturbed; default {defaults.redo}")
    add("--per-cpu", action="store_true", help="rates by the server's processor time, for a machine that is not idle")
    add("--json", metavar="FILE", type=Path, help="write every run, the medians and the ratios there")
    add("--markdown", action="store_true", help="print the tables as Markdown")
    add("--server-core", type=int, metavar="N", help="default the first core this process may use")
    add("--load-core", type=int, metavar="N", help="default the second")
    mix = defaults.mix
    sizes = parser.add_argument_group("sizes of the workloads mix and half").add_argument
    sizes("--mix-senders", type=_count, default=mix.senders, metavar="N", help="default %(default)s")
    sizes("--mix-topics", type=_count, default=mix.topics, metavar="N", help="default %(default)s")
    sizes("--mix-hearers", type=_count, default=mix.hearers, metavar="N", help="of each topic; default %(default)s")
    sizes("--mix-shared", action="store_true", help="the senders hear; default as many connections more")
    options = parser.parse_args(arguments)
    if options.mix_hearers > options.mix_senders:
        parser.error("--mix-hearers: there are only as many hearers to choose from as senders")
    if options.workloads is None:
        options.workloads = [key for key, row in WORKLOADS.items() if row.quick or not options.quick]
    options.error = parser.error
    return options


def settings(options: argparse.Namespace, server_core: int | None) -> Settings:
    """What the options say about all runs."""
    usual = QUICK if options.quick else Settings()
    return Settings(
        seconds=options.seconds or usual.seconds,
        trips=options.trips or usual.trips,
        block_bytes=options.block_bytes,
        at_once=options.at_once,
        idle_seconds=options.idle_seconds,
        mix=Mix(options.mix_senders, options.mix_topics, options.mix_hearers, options.mix_shared),
        server_core=server_core,
        rounds=options.rounds or usual.rounds,
        redo=options.redo if options.redo is not None else 0 if options.per_cpu else usual.redo,
        per_cpu=options.per_cpu,
    )


def _keys(table: Mapping[str, object]) -> Callable[[str], list[str]]:
    """An option's type: keys of this table, separated by commas."""

    def keys(value: str) -> list[str]:
        chosen = [key.strip() for key in value.split(",") if key.strip()]
        unknown = [key for key in chosen if key not in table]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'}: not among {', '.join(table)}")
        return list(dict.fromkeys(chosen))

    return keys


def _above_zero(value: str) -> float:
    """An option's type: a number above zero."""
    number = float(value)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{value}: not above zero")
    return number


def _count(value: str) -> int:
    """An option's type: a whole number above zero."""
    number = int(value)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{value}: not above zero")
    return number
