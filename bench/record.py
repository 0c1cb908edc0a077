"""Results in a file, and back.

In: results, or files written from them.  Out: JSON, or results, from one file or from several that belong together.
Never: a figure that only the file's summaries have: what is read are its runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.quantities import UNITS, Quantity
from bench.report import Results, Row
from bench.rounds import Run

FORMAT = 2
"""1 had neither quantities nor this number."""


class WrongFile(Exception):
    """A file that does not hold results of this format."""


def as_data(results: Results) -> dict[str, Any]:
    """Everything, for `json.dump`: `runs` is what was measured, `summaries` and `ratios` are made from it."""
    quantities = {quantity.key: quantity for row in results.rows for quantity in row.quantities}
    pairs = [(row, quantity) for row in results.rows for quantity in row.quantities]
    first, *others = results.servers
    ratios = [results.ratio(row, quantity, first, other) for row, quantity in pairs for other in others]
    return {
        "format": FORMAT,
        "about": results.about,
        "servers": results.servers,
        "quantities": [asdict(quantity) for quantity in quantities.values()],
        "workloads": [
            {**asdict(replace(row, quantities=())), "quantities": [quantity.key for quantity in row.quantities]}
            for row in results.rows
        ],
        "summaries": [
            asdict(results.summary(row, quantity, server)) for row, quantity in pairs for server in results.servers
        ],
        "ratios": [asdict(ratio) for ratio in ratios if ratio],
        "runs": [asdict(run) for run in results.runs],
    }


def write(results: Results, path: Path) -> None:
    """Write a file that `read` can read."""
    path.write_text(json.dumps(as_data(results), indent=1) + "\n", encoding="utf-8")


def from_data(data: Any) -> Results:
    """What `as_data` was made from; `WrongFile` for anything else."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise WrongFile(f"not results of the benchmark in format {FORMAT}")
    try:
        quantities = {item["key"]: Quantity(**item) for item in data["quantities"]}
        unknown = {quantity.unit for quantity in quantities.values()} - UNITS.keys()
        if unknown:
            raise WrongFile(f"unknown units: {', '.join(sorted(unknown))}")
        rows = tuple(
            Row(**{**item, "quantities": tuple(quantities[key] for key in item["quantities"])})
            for item in data["workloads"]
        )
        return Results(data["about"], rows, data["servers"], tuple(Run(**item) for item in data["runs"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise WrongFile(f"damaged: {error!r}") from None


def read(paths: Iterable[Path]) -> Results:
    """The results of several files as one; a workload that several have counts as the last of them has it.

    So no ratio is made of runs from different files.  What the files say of themselves differently is joined by `; `.
    """
    joined = Results({}, (), {}, ())
    for path in paths:
        try:
            joined = join(joined, from_data(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, WrongFile) as error:
            raise WrongFile(f"{path}: {error}") from None
    return joined


def join(old: Results, new: Results) -> Results:
    """The old results with those workloads replaced, in their place, that the new ones have."""
    measured = {run.workload for run in new.runs}
    rows = {row.key: row for row in old.rows}
    rows |= {row.key: row for row in new.rows if row.key in measured or row.key not in rows}
    return Results(
        about={key: _both(old.about.get(key, ""), new.about.get(key, "")) for key in {**old.about, **new.about}},
        rows=tuple(rows.values()),
        servers={**old.servers, **new.servers},
        runs=(*(run for run in old.runs if run.workload not in measured), *new.runs),
    )


def _both(one: str, other: str) -> str:
    known = one.split("; ") if one else []
    return "; ".join([*known, other] if other and other not in known else known)
