"""`python -m bench`, from the root of the repository.

In: options.  Out: tables on standard output, progress on standard error, JSON in a file where asked for.
Never: a server left running; a silent omission: what is skipped or failed is said, and failure is exit status 1.
"""

from __future__ import annotations

import gc
import resource
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from bench import machine, options, record
from bench.report import NOTES, Results, Row, as_markdown, as_text
from bench.rounds import Run, expected_seconds, in_turn
from bench.servers import SERVERS, Server
from bench.settings import Settings
from bench.workloads import WORKLOADS, Workload


def main(arguments: list[str] | None = None) -> int:
    """The whole program; its exit status."""
    chosen = options.parse(arguments)
    if chosen.list:
        print(_listing())
        return 0
    for core in (chosen.server_core, chosen.load_core):
        if core is not None and core not in machine.usable_cores():
            chosen.error(f"core {core} is not among those this process may use: {machine.usable_cores()}")
    servers = _installed(chosen.servers)
    if "nettool" in chosen.servers and not any(server.key == "nettool" for server in servers):
        return 69
    if not servers:
        return 69
    server_core, load_core = _cores(chosen.server_core, chosen.load_core)
    settings = options.settings(chosen, server_core)
    about = _about(servers, settings, server_core, load_core)
    machine.pin(load_core)
    workloads = [WORKLOADS[key] for key in chosen.workloads]
    minutes = expected_seconds(workloads, servers, settings) / 60
    _say(f"{len(workloads)} workloads on {len(servers)} servers: about {max(1, round(minutes))} min. Ctrl-C ends it.")
    runs, complete = _measure(workloads, servers, settings)
    results = Results(about, tuple(map(_row, workloads)), {server.key: server.title for server in servers}, tuple(runs))
    _print(results, as_markdown(results) if chosen.markdown else as_text(results))
    if chosen.json:
        record.write(results, chosen.json)
    if not complete:
        return 130
    return 1 if any(run.failure for run in runs) else 0


def _measure(workloads: Sequence[Workload], servers: Sequence[Server], settings: Settings) -> tuple[list[Run], bool]:
    """All runs, with progress on standard error, and whether nobody stopped them with Ctrl-C."""
    _allow_many_files()
    # As Ctrl-C: the server is ended and what there is gets printed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    gc.disable()
    runs: list[Run] = []
    try:
        for workload in workloads:
            for run in in_turn(workload, servers, settings):
                runs.append(run)
                _progress(run, workload)
            gc.collect()
    except KeyboardInterrupt:
        _say("stopped; what there is until now:")
        return runs, False
    return runs, True


def _print(results: Results, tables: str) -> None:
    """The tables, with what they need above and below."""
    print("\n".join(f"{key}: {value}" for key, value in results.about.items()))
    print("\n" + tables + "\n\n" + NOTES)
    for remark in results.remarks():
        print(remark)
    doubtful = sum(run.disturbed for run in results.runs)
    if doubtful:
        print(f"{doubtful} of {len(results.runs)} runs are doubtful: other processes kept the machine busy meanwhile.")


def _row(workload: Workload) -> Row:
    return Row(
        key=workload.key,
        title=workload.title,
        heading=workload.measure.title if workload.nodes == 1 else f"across two nodes: {workload.measure.title}",
        text_bytes=workload.text_bytes if workload.measure.delivers_texts else None,
        family=workload.family,
        quantities=workload.measure.quantities,
    )


def _listing() -> str:
    """What can be chosen."""
    lines = ["workloads (+ those of --quick):"]
    for row in map(_row, WORKLOADS.values()):
        size = f", texts of {row.text_bytes} B" if row.text_bytes else ""
        mark = "+" if WORKLOADS[row.key].quick else " "
        lines.append(f"{mark} {row.key:14} {row.heading}: {row.title}{size}")
    lines.append("servers:")
    for server in SERVERS.values():
        program = server.program()
        lines.append(f"  {server.key:14} {server.version(program) if program else server.install}")
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


def _about(
    servers: Sequence[Server], settings: Settings, server_core: int | None, load_core: int | None
) -> dict[str, str]:
    """What belongs above the figures."""
    about = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), **machine.description()}
    about |= {server.key: server.version(server.program() or "") for server in servers}
    if server_core is None:
        about["pinned"] = "nothing: this system has no sched_setaffinity, so the figures vary more"
    elif server_core == load_core:
        about["pinned"] = f"server and load to the same core {server_core}: they take time from each other"
    else:
        about["pinned"] = f"server to core {server_core}, load to core {load_core}"
    about["a run"] = f"{settings.seconds:g} s, {settings.trips} round trips, {settings.at_once} logins at once"
    if settings.per_cpu:
        about["rates"] = "by the server's processor time, not by the clock"
    about["topic mix"] = str(settings.mix)
    return about


def _allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one; servers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _progress(run: Run, workload: Workload) -> None:
    where = f"{run.workload:14} round {run.round:2} {run.server:9}"
    if run.failure or run.cannot:
        _say(f"{where} {f'FAILED: {run.failure}' if run.failure else run.cannot}")
        return
    quantities = [quantity for quantity in workload.measure.quantities if quantity.key in run.figures]
    shown = " / ".join(quantity.shown(run.figures[quantity.key]) for quantity in quantities)
    busy = f"load {run.load_share:.0%}"
    if run.server_share is not None:
        busy += f", server {run.server_share:.0%}"
    if run.disturbed:
        busy += f", OTHER PROCESSES {run.others_share:.0%}"
    _say(f"{where} {shown:>15}  in {run.seconds:.2f} s  {busy}{f'  {run.remark}' if run.remark else ''}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
