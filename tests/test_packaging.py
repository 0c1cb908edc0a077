"""What is installed is what is here, and twistd finds it.

These tests look at the installed package, from a directory of their own: twistd puts the current directory first on
sys.path, and in the repository would find the source.  tox.ini says by EXPECTED_INSTALL how the package was installed.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]

# What brings each module that nettool imports: a requirement of setup.py, with the extra where it comes by one.
BRINGS = {
    "twisted": "twisted",
    "zope": "zope.interface",
    "OpenSSL": "twisted[tls]",
    "service_identity": "twisted[tls]",
    "cryptography": "twisted[conch]",
    "attrs": "twisted",
    "click": "click",
    "automat": "twisted",
    "typing_extensions": "twisted",
}


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that has to succeed; the environment cannot lead it back to the source."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def script(name: str) -> Path:
    return Path(sysconfig.get_path("scripts"), name)


def source_files(*suffixes: str) -> set[str]:
    files = [path for path in [*ROOT.glob("nettool/**/*"), *ROOT.glob("twisted/**/*")] if path.is_file()]
    unwanted = ("__pycache__", "dropin.cache", "dropin.cache.new")
    wanted = [path for path in files if not any(part in unwanted for part in path.parts)]
    return {str(path.relative_to(ROOT)) for path in wanted if not suffixes or path.suffix in suffixes}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy: a directory build/ that lies about would bring back modules that are gone.

    In the copy nettool cannot be imported, so this is also the test that setup.py does without.
    """
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("nettool", "twisted"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache*"))
    with (copy / "nettool" / "__init__.py").open("a", encoding="utf-8") as package:
        package.write('\nraise ImportError("setup.py imported what it is about to build")\n')
    run(sys.executable, "-c", f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})", cwd=copy)
    [path] = out.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


@pytest.fixture(scope="module")
def requirements(metadata: Message) -> list[Requirement]:
    return [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]


def test_the_wheel_holds_exactly_the_source(wheel: zipfile.ZipFile) -> None:
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == source_files()


def test_the_wheel_has_the_version_of_the_package(metadata: Message) -> None:
    [version] = re.findall(r'^__version__.* = "(.+)"$', (ROOT / "nettool/__init__.py").read_text(), re.MULTILINE)
    assert metadata["Version"] == version


def test_the_package_is_typed() -> None:
    assert "nettool/py.typed" in source_files()


def test_twisted_stays_a_package_of_twisted() -> None:
    assert [path for path in source_files() if path.startswith("twisted/") and path.endswith("__init__.py")] == []


def test_the_plugin_cache_is_never_committed() -> None:
    assert "dropin.cache" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_lowest_versions_are_those_of_setup_py(requirements: list[Requirement]) -> None:
    lines = (ROOT / "tests/lowest.txt").read_text(encoding="utf-8").splitlines()
    tested = {f"{line}".casefold() for line in lines if not line.startswith("#")}
    declared = {f"{requirement.name}{requirement.specifier}".casefold() for requirement in requirements}
    assert tested == {minimum.replace(">=", "==") for minimum in declared}


def test_what_is_imported_is_declared(requirements: list[Requirement]) -> None:
    declared = {requirement.name.casefold() for requirement in requirements}
    declared |= {f"{r.name.casefold()}[{extra}]" for r in requirements for extra in r.extras}
    undeclared = {}
    for path in source_files(".py"):
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            for top in {name.partition(".")[0] for name in names} - {"nettool"} - sys.stdlib_module_names:
                if BRINGS.get(top, top).casefold() not in declared:
                    undeclared[top] = path
    assert undeclared == {}


def test_the_package_is_installed_as_expected(tmp_path: Path) -> None:
    code = "import nettool, twisted.plugins.nettool_plugin as p; print(nettool.__file__, p.__file__, sep='\\n')"
    package, plugin = (Path(line) for line in run(sys.executable, "-c", code, cwd=tmp_path).splitlines())
    root = package.parents[1]
    # By hand, without tox, either kind will do.
    expected = os.environ.get("EXPECTED_INSTALL") or ("editable" if root == ROOT else "wheel")
    assert root == (ROOT if expected == "editable" else Path(sysconfig.get_path("purelib")))
    assert plugin == root / "twisted/plugins/nettool_plugin.py"
    assert source_files() - {str(path.relative_to(root)) for path in root.glob("nettool/**/*")} == {
        str(plugin.relative_to(root))
    }


@pytest.mark.parametrize("program", ["twistd", "twist"])
def test_twistd_lists_nettool(program: str, tmp_path: Path) -> None:
    assert re.search(r"^ +nettool  ", run(script(program), "--help", cwd=tmp_path), re.MULTILINE)


def test_twistd_shows_the_options_of_nettool(tmp_path: Path) -> None:
    assert "--listen" in run(script("twistd"), "nettool", "--help", cwd=tmp_path)


def test_importing_a_library_room_installs_no_reactor(tmp_path: Path) -> None:
    """Which reactor runs is for twistd, or for the program that uses a room, to say."""
    rooms = ("wire", "outbox", "broker", "mesh", "peers", "cluster", "client")
    paths = sorted(path for path in source_files(".py") if path.split("/")[1] in rooms)
    names = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in paths]
    assert names
    code = (
        "import sys\nfor name in sys.argv[1:]: __import__(name)\nassert 'twisted.internet.reactor' not in sys.modules"
    )
    run(sys.executable, "-c", code, *names, cwd=tmp_path)


def test_every_console_script_loads() -> None:
    for entry in entry_points(group="console_scripts"):
        if entry.dist is not None and entry.dist.name == "nettool":
            assert callable(entry.load())
