"""`python -m bench`, from the root of the repository.

In: options.  Out: a table on standard output, progress on standard error, JSON in a file where asked for.
Never: a server left running; a silent omission: what is skipped or failed is said, and failure is exit status 1.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from bench import machine
from bench.report import NOTES, as_data, as_table, figure, share
from bench.rounds import Run, Settings, in_turn
from bench.servers import SERVERS, Server
from bench.workloads import WORKLOADS, Mix, Workload

EPILOG = """\
Each run starts the server afresh on one core, warms it up, and loads it from another core.  Before the first run of a
workload the contents of what is delivered are checked, and it is measured how many lines make a run of --seconds.  A
run in which a byte is missing or too much does not count.  Keep the machine idle otherwise: other processes are noticed
and said, not made up for.  Where that cannot be had, --per-cpu compares what the servers do with the time they get;
round trips stay by the clock.  nats-server takes 2.6 s longer for each run, until it has sent its first PING.

Exit status: 0, or 1 if a run failed, 2 for wrong options, 69 if nettool is not there, 130 after Ctrl-C.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole program; its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        print(_listing())
        return 0
    for core in (options.server_core, options.load_core):
        if core is not None and core not in machine.usable_cores():
            parser.error(f"core {core} is not among those this process may use: {machine.usable_cores()}")
    if options.mix_hearers > options.mix_senders:
        parser.error("--mix-hearers: there are only as many hearers to choose from as senders")
    servers = _installed(options.servers)
    if "nettool" in options.servers and not any(server.key == "nettool" for server in servers):
        return 69
    server_core, load_core = _cores(options.server_core, options.load_core)
    about = _about(servers, server_core, load_core)
    if options.per_cpu:
        about["rates"] = "by the server's processor time, not by the clock"
    mix = Mix(options.mix_senders, options.mix_topics, options.mix_hearers, options.mix_shared)
    about["topic mix"] = str(mix)
    settings = Settings(
        seconds=options.seconds,
        trips=options.trips,
        mix=mix,
        server_core=server_core,
        rounds=options.rounds,
        redo=0 if options.per_cpu else options.redo,
        per_cpu=options.per_cpu,
    )
    machine.pin(load_core)
    workloads = [WORKLOADS[key] for key in options.workloads]
    runs, complete = _measure(workloads, servers, settings)
    _print(runs, workloads, servers, about)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(as_data(runs, workloads, [server.key for server in servers], about), file, indent=1)
            file.write("\n")
    if not complete:
        return 130
    return 1 if any(run.failure for run in runs) else 0


def _measure(workloads: Sequence[Workload], servers: Sequence[Server], settings: Settings) -> tuple[list[Run], bool]:
    """All runs, with progress on standard error, and whether nobody stopped them with Ctrl-C."""
    _allow_many_files()
    gc.disable()
    runs: list[Run] = []
    try:
        for workload in workloads:
            for run in in_turn(workload, servers, settings):
                runs.append(run)
                _progress(run)
            gc.collect()
    except KeyboardInterrupt:
        _say("stopped; what there is until now:")
        return runs, False
    return runs, True


def _print(
    runs: Sequence[Run], workloads: Sequence[Workload], servers: Sequence[Server], about: dict[str, str]
) -> None:
    """The table, with what it needs above and below."""
    print("\n".join(f"{key}: {value}" for key, value in about.items()))
    print("\n" + as_table(runs, workloads, [server.key for server in servers]) + "\n\n" + NOTES)
    doubtful = sum(run.disturbed for run in runs)
    if doubtful:
        print(f"{doubtful} of {len(runs)} runs are doubtful: other processes kept the machine busy meanwhile.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="nettool and other servers under the same load, in turn, on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--list", action="store_true", help="show the workloads and the servers, and end")
    add("--workloads", type=_keys(WORKLOADS), default=list(WORKLOADS), metavar="A,B", help="default all")
    add("--servers", type=_keys(SERVERS), default=list(SERVERS), metavar="A,B", help="default all installed ones")
    add("--rounds", type=_count, metavar="N", help="default 5, of round trips 11")
    add("--seconds", type=_above_zero, default=1.0, metavar="S", help="length of a run; default %(default)s")
    add("--trips", type=_count, default=3000, metavar="N", help="round trips of a run; default %(default)s")
    add("--redo", type=int, default=2, metavar="N", help="do a run that others disturbed again so often; default 2")
    add("--per-cpu", action="store_true", help="rates by the server's processor time, for a machine that is not idle")
    add("--json", metavar="FILE", help="write every run, the medians and the ratios there")
    add("--server-core", type=int, metavar="N", help="default the first core this process may use")
    add("--load-core", type=int, metavar="N", help="default the second")
    mix = Mix()
    sizes = parser.add_argument_group("sizes of the workloads mix and half").add_argument
    sizes("--mix-senders", type=_count, default=mix.senders, metavar="N", help="default %(default)s")
    sizes("--mix-topics", type=_count, default=mix.topics, metavar="N", help="default %(default)s")
    sizes("--mix-hearers", type=_count, default=mix.hearers, metavar="N", help="of each topic; default %(default)s")
    sizes("--mix-shared", action="store_true", help="the senders hear; default as many connections more")
    return parser


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


def _listing() -> str:
    """What can be chosen."""
    lines = ["workloads:"]
    for row in WORKLOADS.values():
        lines.append(f"  {row.key:10} {row.title}, texts of {row.text_bytes} B")
    lines.append("servers:")
    for server in SERVERS.values():
        program = server.program()
        lines.append(f"  {server.key:10} {server.version(program) if program else server.install}")
    return "\n".join(lines)


def _installed(keys: Sequence[str]) -> list[Server]:
    """The servers among these that are there; the others are named on standard error."""
    found = []
    for key in keys:
        if SERVERS[key].program() is None:
            _say(f"{key} skipped: {SERVERS[key].install}")
        else:
            found.append(SERVERS[key])
    return found


def _cores(server_core: int | None, load_core: int | None) -> tuple[int | None, int | None]:
    """Which core the server gets and which the generator; None where pinning is not possible."""
    usable = machine.usable_cores()
    if not usable:
        return None, None
    return (
        usable[0] if server_core is None else server_core,
        usable[min(1, len(usable) - 1)] if load_core is None else load_core,
    )


def _about(servers: Sequence[Server], server_core: int | None, load_core: int | None) -> dict[str, str]:
    """What belongs above the figures."""
    about = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), **machine.description()}
    about |= {server.key: server.version(server.program() or "") for server in servers}
    if server_core is None:
        about["pinned"] = "nothing: this system has no sched_setaffinity, so the figures vary more"
    elif server_core == load_core:
        about["pinned"] = f"server and load to the same core {server_core}: they take time from each other"
    else:
        about["pinned"] = f"server to core {server_core}, load to core {load_core}"
    return about


def _allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one; servers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _progress(run: Run) -> None:
    where = f"{run.workload:9} round {run.round:2} {run.server:8}"
    if run.failure:
        _say(f"{where} FAILED: {run.failure}")
    else:
        shares = f"load {share(run.load_share)}, server {share(run.server_share)}"
        if run.disturbed:
            shares += f", OTHER PROCESSES {share(run.others_share)}"
        _say(f"{where} {figure(run):>15}  in {run.seconds:.2f} s  {shares}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
