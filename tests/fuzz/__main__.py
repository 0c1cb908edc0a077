"""`python -m tests.fuzz`, from the root of the repository.

In: options.  Out: a line for each target; for a fault, the exception and how to repeat it.
Never: a change of the corpus, but by `--minimise`; a fault that ends with status 0.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.breaks import BREAKS
from tests.fuzz.targets import CORPUS, TARGETS, Target

ROOT = Path(__file__).resolve().parents[2]
FINDS = ROOT / "build" / "fuzz"

EPILOG = """\
Each target begins with its corpus and with what earlier runs left in --finds.  New inputs go there, faults' too.
Repeating an input needs no fuzzer: it is what tests/fuzz/test_corpus.py does with the whole corpus.

Exit status: 0, or 1 if there was a fault, 2 for wrong options, 69 if atheris is not there, 130 after Ctrl-C.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole program; its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    names = options.targets or list(TARGETS)
    unknown = sorted(set(names) - set(TARGETS))
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if options.repeat:
        if len(names) != 1:
            parser.error("--repeat: name one target")
        return _repeat(TARGETS[names[0]], options.repeat)
    if find_spec("atheris") is None:
        print(
            f"atheris is not installed for Python {sys.version_info[0]}.{sys.version_info[1]}: pip install atheris",
            "(it has wheels for few versions of Python, and builds with clang for others).  `--repeat` works without.",
            sep="\n",
            file=sys.stderr,
        )
        return 69
    if options.minimise:
        for name in names:
            _minimise(name, options.finds / name)
        return 0
    return max([_fuzz(name, options) for name in names])


def _parser() -> argparse.ArgumentParser:
    listing = "\n".join(f"  {name:10}{target.about}" for name, target in TARGETS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=f"Fuzz the pure rooms by the branches that inputs reach.\n\ntargets:\n{listing}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--longest", type=int, metavar="BYTES", help="of an input; each target has its own default")
    parser.add_argument("--timeout", type=int, default=10, metavar="SECONDS", help="an input may take (10)")
    parser.add_argument("--finds", type=Path, default=FINDS, metavar="DIR", help="for new inputs (build/fuzz)")
    parser.add_argument("--repeat", type=Path, nargs="+", metavar="FILE", help="run these inputs, and nothing else")
    parser.add_argument("--minimise", action="store_true", help="make the corpus anew, of itself and --finds")
    return parser


def _repeat(target: Target, files: list[Path]) -> int:
    for file in files:
        start = time.perf_counter()
        target.check(file.read_bytes())
        print(f"{file}: no fault, {time.perf_counter() - start:.3f} s")
    return 0


def _fuzz(name: str, options: argparse.Namespace) -> int:
    """Fuzz one target; 1 if there was a fault."""
    place: Path = options.finds / name
    inputs, faults, log = place / "inputs", place / "faults", place / "log"
    for directory in (inputs, faults, CORPUS / name):
        directory.mkdir(parents=True, exist_ok=True)
    before = set(faults.iterdir())
    tokens = _write_tokens(TARGETS[name], place)
    status = _run(
        log,
        name,
        f"-max_total_time={options.seconds}",
        f"-timeout={options.timeout}",
        f"-max_len={options.longest or TARGETS[name].longest}",
        "-len_control=0",
        f"-dict={tokens}",
        f"-artifact_prefix={faults}{os.sep}",
        "-print_final_stats=1",
        str(inputs),
        str(CORPUS / name),
    )
    said = log.read_text(encoding="utf-8", errors="replace")
    new = sorted(set(faults.iterdir()) - before)
    print(f"{name}: {_figures(said)}", flush=True)
    if not status and not new:
        return 0
    print(_exception(said))
    for fault in new:
        print(f"{name}: a fault; repeat it with: python -m tests.fuzz {name} --repeat {fault}")
    print(f"{name}: ended with status {status}; all that was said is in {log}")
    return 1


def _run(log: Path, name: str, *options: str, broken: str = "") -> int:
    """libFuzzer's exit status; what it says goes into a file."""
    command = [sys.executable, "-m", "tests.fuzz.engine", name, *options]
    environment = {**os.environ, "FUZZ_BREAK": broken}
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    return done.returncode


def _figures(said: str) -> str:
    """What libFuzzer's last lines say, in words."""
    runs = re.search(r"stat::number_of_executed_units: (\d+)", said)
    rate = re.search(r"stat::average_exec_per_sec: *(\d+)", said)
    last = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said)
    if not (runs and rate and last):
        return "no figures"
    return f"{runs[1]} inputs, {rate[1]}/s, {last[-1][0]} branches, {last[-1][2]} inputs kept"


def _exception(said: str) -> str:
    """From the exception, or where time was over, to libFuzzer's figures; the last words, if there is neither."""
    start = re.search(r"^ *=== .* ===$", said, re.MULTILINE)
    return said[start.start() :].partition("stat::")[0].strip() if start else said[-2000:]


def _minimise(name: str, place: Path) -> None:
    """Keep the smallest inputs that reach every branch that any of them reaches, and what finds every break."""
    sources = [path for path in (CORPUS / name, place / "inputs") if path.is_dir()]
    with tempfile.TemporaryDirectory() as new:
        # How often a branch is taken makes ten times as many inputs, for tests that then cover nothing more.
        options = ["-merge=1", "-use_counters=0", f"-max_len={TARGETS[name].longest}", new]
        place.mkdir(parents=True, exist_ok=True)
        status = _run(place / "merge", name, *options, *map(str, sources))
        if status or not any(Path(new).iterdir()):
            raise SystemExit(f"{name}: status {status}; see {place / 'merge'}")
        inputs = sorted((path for source in sources for path in source.iterdir()), key=lambda path: path.stat().st_size)
        for what in [what for what in BREAKS if BREAKS[what].target == name]:
            _keep_what_finds(what, Path(new), inputs)
        kept = sorted(Path(new).iterdir())
        shutil.rmtree(CORPUS / name, ignore_errors=True)
        shutil.copytree(new, CORPUS / name)
        print(f"{name}: {len(kept)} inputs, {sum(path.stat().st_size for path in kept)} bytes")


def _keep_what_finds(what: str, new: Path, inputs: list[Path]) -> None:
    """See to it that a break is found by what is kept: by one input more, if need be, and that made for it."""
    target = TARGETS[BREAKS[what].target]
    with BREAKS[what].done():
        found = next((path for path in [*new.iterdir(), *inputs] if target.finds(path.read_bytes())), None)
    if found is not None:
        if found.parent != new:
            shutil.copy(found, new)
        return
    print(f"looking for an input that finds that {what}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        tokens = _write_tokens(target, Path(place))
        options = [
            "-max_total_time=60",
            "-len_control=0",
            f"-max_len={target.longest}",
            f"-dict={tokens}",
            f"-artifact_prefix={place}/",
        ]
        finds = Path(place, "inputs")
        finds.mkdir()
        _run(Path(place, "log"), BREAKS[what].target, *options, str(finds), str(new), broken=what)
        for path in Path(place).glob("crash-*"):
            shutil.copy(path, new / path.name.removeprefix("crash-"))
            return
    print(f"none was found in a minute: {what}", file=sys.stderr)


def _write_tokens(target: Target, place: Path) -> Path:
    """A dictionary for libFuzzer."""
    tokens = place / "tokens"
    tokens.write_text("".join(f'"{_escaped(token)}"\n' for token in target.tokens), encoding="ascii")
    return tokens


def _escaped(token: bytes) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in token)


_PLAIN = frozenset(range(32, 127)) - frozenset(b'"\\')

if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
