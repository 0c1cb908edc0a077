"""One target under the fuzzer, in a process of its own: `python -m tests.fuzz.engine TARGET [OPTION]...`.

In: a target's name, and what libFuzzer is told; in the environment, FUZZ_BREAK, what is to be broken.
Out: libFuzzer's exit status; it never returns.  Never: a choice of time, place or input; those are `__main__`'s.

The package is imported here, and nowhere before, so that its branches are watched.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext

import atheris


def main(name: str, options: list[str]) -> None:
    """Fuzz until libFuzzer has had enough."""
    with atheris.instrument_imports(include=["nettool"]):
        from tests.fuzz.breaks import BREAKS
        from tests.fuzz.targets import TARGETS
    # libFuzzer starts itself again by way of a shell, without quoting: what has spaces is no option.
    broken = os.environ.get("FUZZ_BREAK")
    with BREAKS[broken].done() if broken else nullcontext():
        atheris.Setup([f"{sys.executable} -m tests.fuzz.engine {name}", *options], TARGETS[name].check)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
