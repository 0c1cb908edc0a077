"""conftest.py is tested by runs of pytest over small sources, each in its own process, which has one reactor."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections import defaultdict
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")

INI = """
[pytest]
addopts = -p no:asyncio --strict-markers
filterwarnings = error
test_bound = 1
markers =
    system(*programs): needs programs
    bound(seconds): may take so long
"""

# Each of these has to fail, and its report has to say so with these words.
BAD = {
    "a_deferred_that_never_fires": (
        "the test did not end within 1 s: it waited at *test_a_deferred_that_never_fires.py:3",
        """
        from twisted.internet.defer import Deferred
        async def inner():
            await Deferred()
        async def test_it():
            await inner()
        """,
    ),
    "a_returned_deferred_that_never_fires": (
        "the test did not end within 1 s: it waited for its Deferred",
        """
        from twisted.internet.defer import Deferred
        def test_it():
            return Deferred()
        """,
    ),
    "a_test_that_goes_on_after_it_is_cancelled": (
        "the test did not end within 1 s",
        """
        from twisted.internet.defer import CancelledError, Deferred
        async def test_it():
            while True:
                try:
                    await Deferred()
                except CancelledError:
                    pass
        """,
    ),
    "code_that_never_returns": (
        "the test did not end within 1 s: its code did not return",
        """
        def test_it():
            while True:
                pass
        """,
    ),
    "code_that_never_returns_after_a_turn": (
        "the test did not end within 1 s: its code did not return",
        """
        from twisted.internet import reactor
        from twisted.internet.task import deferLater
        async def test_it():
            await deferLater(reactor, 0)
            while True:
                pass
        """,
    ),
    "an_example_that_never_ends": (
        "the test did not end within 1 s: it waited at *test_an_example_that_never_ends.py:6",
        """
        from hypothesis import given, strategies
        from twisted.internet.defer import Deferred
        @given(strategies.booleans())
        async def test_it(value):
            if value:
                await Deferred()
        """,
    ),
    "a_delayed_call": (
        "delayed call: <DelayedCall *",
        """
        from twisted.internet import reactor
        def test_it():
            reactor.callLater(5, print)
        """,
    ),
    "an_open_port": (
        "open: <*Factory* on *>",
        """
        from twisted.internet import reactor
        from twisted.internet.protocol import Factory
        def test_it():
            reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        """,
    ),
    "a_connection": (
        "open: <*Client*",
        """
        from twisted.internet import reactor
        from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint, TCP4ClientEndpoint
        from twisted.internet.protocol import Factory, Protocol
        async def test_it():
            port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Protocol))
            await TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port).connect(Factory.forProtocol(Protocol))
            await port.stopListening()
        """,
    ),
    "a_child_process": (
        "process: <*",
        """
        from twisted.internet import reactor
        from twisted.internet.protocol import ProcessProtocol
        def test_it():
            reactor.spawnProcess(ProcessProtocol(), "sleep", ["sleep", "60"], env=None)
        """,
    ),
    "a_thread": (
        "thread: <Thread(*",
        """
        import threading, time
        def test_it():
            threading.Thread(target=time.sleep, args=[3], daemon=True).start()
        """,
    ),
    "a_logged_failure": (
        "logged failure: *",
        """
        from twisted.logger import Logger
        def test_it():
            try:
                1 / 0
            except ZeroDivisionError:
                Logger().failure("oops")
        """,
    ),
    "a_failure_logged_the_old_way": (
        "logged failure: *ZeroDivisionError: oops*",
        """
        from twisted.python import log
        def test_it():
            log.err(ZeroDivisionError("oops"))
        """,
    ),
    "a_failure_logged_as_another_is_expected": (
        "logged failure: *KeyError: *oops*",
        """
        from twisted.python import log
        def test_it(logged_failures):
            log.err(KeyError("oops"))
            log.err(ValueError("expected"))
            assert len(logged_failures.flush(ValueError)) == 1
        """,
    ),
    "a_failure_in_the_reactor": (
        "logged failure: *",
        """
        from twisted.internet import reactor
        def test_it():
            reactor.callLater(0, lambda: 1 / 0)
        """,
    ),
    "an_unhandled_error_of_a_deferred": (
        "logged failure: *ZeroDivisionError: oops*",
        """
        from twisted.internet.defer import fail
        def test_it():
            fail(ZeroDivisionError("oops"))
        """,
    ),
    "an_unhandled_error_of_a_deferred_in_a_circle": (
        "logged failure: *ZeroDivisionError: oops*",
        """
        from twisted.internet.defer import fail
        def test_it():
            circle = [fail(ZeroDivisionError("oops"))]
            circle.append(circle)
        """,
    ),
    "an_unhandled_error_in_a_fixture": (
        "logged failure: *ZeroDivisionError: oops*",
        """
        import pytest
        from twisted.internet.defer import fail
        @pytest.fixture
        def failed():
            return fail(ZeroDivisionError("oops"))
        def test_it(failed):
            pass
        """,
    ),
    "a_coroutine_that_nobody_awaits": (
        "*coroutine 'nothing' was never awaited*",
        """
        async def nothing():
            pass
        def test_it():
            nothing()
        """,
    ),
    "a_program_that_is_missing": (
        "not installed: no-such-program*",
        """
        import pytest
        @pytest.mark.system("ls", "no-such-program")
        def test_it():
            pass
        """,
    ),
    "a_skip": (
        "skipped, which --no-skips does not allow: *because*",
        """
        import pytest
        def test_it():
            pytest.skip("because")
        """,
    ),
    "a_skipped_module": (
        "skipped, which --no-skips does not allow: *because*",
        """
        import pytest
        pytest.skip("because", allow_module_level=True)
        """,
    ),
}

GOOD = """
    import pytest, pytest_twisted
    from hypothesis import given, strategies
    from twisted.internet import reactor
    from twisted.internet.defer import fail, succeed
    from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
    from twisted.internet.protocol import Factory, Protocol
    from twisted.internet.task import deferLater
    from twisted.python import log

    def test_a_plain_one():
        pass

    async def test_an_async_one():
        await deferLater(reactor, 0.01)

    @pytest_twisted.ensureDeferred
    async def test_a_marked_one():
        await deferLater(reactor, 0.01)

    @pytest_twisted.inlineCallbacks
    def test_a_generator():
        yield deferLater(reactor, 0.01)

    def test_a_returned_deferred():
        return succeed(1)

    @pytest.mark.bound(5)
    async def test_a_slow_one():
        await deferLater(reactor, 1.5)

    @pytest.mark.parametrize("parameter", [1, 2])
    @given(strategies.integers())
    async def test_examples_with_parameters(parameter, value):
        await deferLater(reactor, 0)

    @pytest.mark.parametrize("parameter", [1, 2])
    @given(strategies.integers())
    def test_plain_examples_with_parameters(parameter, value):
        pass

    @pytest_twisted.async_yield_fixture
    async def port():
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Protocol))
        yield port
        await port.stopListening()

    @pytest_twisted.async_yield_fixture(scope="module")
    async def shared():
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Protocol))
        yield port
        await port.stopListening()

    async def test_a_connection_that_is_closed(port, shared):
        for end in port, shared:
            client = TCP4ClientEndpoint(reactor, "127.0.0.1", end.getHost().port)
            (await client.connect(Factory.forProtocol(Protocol))).transport.loseConnection()

    def test_a_failure_that_is_expected(logged_failures):
        log.err(ZeroDivisionError())
        assert len(logged_failures.flush(ZeroDivisionError)) == 1

    def test_a_deferred_whose_error_is_handled():
        fail(ZeroDivisionError()).addErrback(lambda failure: failure.trap(ZeroDivisionError))

    @pytest.mark.xfail(strict=True)
    def test_an_expected_failure():
        assert False
"""


NEXT = "\n\ndef test_the_next_one():\n    pass\n"


@pytest.fixture(scope="module")
def reports(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, dict[str, list[str]]]:
    """All bad sources in one run, each with a good test behind it: module, name of the test, what was wrong."""
    directory = tmp_path_factory.mktemp("bad")
    (directory / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8"), encoding="utf-8")
    (directory / "pytest.ini").write_text(INI, encoding="utf-8")
    for name, (_, source) in BAD.items():
        (directory / f"test_{name}.py").write_text(textwrap.dedent(source).strip() + NEXT, encoding="utf-8")
    options = ("--no-skips", "--continue-on-collection-errors", "--junit-xml=report.xml")
    reactor = f"--reactor={request.config.option.reactor}"
    subprocess.run([sys.executable, "-m", "pytest", *options, reactor], cwd=directory, capture_output=True, check=False)
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for case in ElementTree.parse(directory / "report.xml").iter("testcase"):
        module = case.get("classname") or case.get("name") or ""
        problems = [f"{problem.get('message')}\n{problem.text}" for problem in case]
        found[module.removeprefix("test_")][case.get("name") or ""] += problems
    return found


@pytest.mark.parametrize("name", BAD)
def test_a_bad_test_fails_and_says_why(reports: dict[str, dict[str, list[str]]], name: str) -> None:
    tests = reports[name]
    assert tests.pop("test_the_next_one", []) == []
    [[problem]] = tests.values()
    assert fnmatchcase(problem, f"*{BAD[name][0]}*")


@pytest.fixture
def run(pytester: pytest.Pytester, request: pytest.FixtureRequest):
    """Runs pytest over a source with the conftest under test, on the reactor under test."""
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    (pytester.path / "pytest.ini").write_text(INI, encoding="utf-8")

    def run(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=source)
        return pytester.runpytest_subprocess(f"--reactor={request.config.option.reactor}", *options)

    return run


def test_good_tests_pass(run) -> None:
    result = run(GOOD)
    result.assert_outcomes(passed=13, xfailed=1)


def test_skips_are_allowed_without_the_option(run) -> None:
    skipping = """
        import pytest
        def test_it():
            pytest.skip("because")
    """
    run(skipping).assert_outcomes(skipped=1)
    run(skipping, "--no-skips").assert_outcomes(failed=1)


def test_a_fixture_that_hangs_ends_the_run(run) -> None:
    source = """
        import pytest_twisted
        from twisted.internet.defer import Deferred
        @pytest_twisted.async_fixture
        async def hanging():
            await Deferred()
        def test_it(hanging):
            pass
    """
    result = run(source, "-o", "faulthandler_timeout=1", "-o", "faulthandler_exit_on_timeout=true")
    result.stderr.fnmatch_lines(["Timeout (0:00:01)!"])
    assert result.ret == 1


def test_a_failure_logged_after_the_last_test_fails_the_run(run) -> None:
    result = run(
        """
        import pytest
        from twisted.python import log
        @pytest.fixture(scope="module")
        def shared():
            yield
            log.err(ZeroDivisionError("oops"))
        def test_it(shared):
            pass
        """
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["logged after the last test: *"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_the_environment_of_whoever_runs_the_tests_is_not_seen(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETTOOL_MAX_LINE", "1")
    run(
        """
        import os
        def test_it():
            assert "NETTOOL_MAX_LINE" not in os.environ
        """
    ).assert_outcomes(passed=1)


@pytest.mark.parametrize("profile, examples", [("default", 100), ("ci", 100), ("thorough", 5_000)])
def test_the_profile_is_chosen_by_the_environment(
    run, monkeypatch: pytest.MonkeyPatch, profile: str, examples: int
) -> None:
    monkeypatch.setenv("HYPOTHESIS_PROFILE", profile)
    run(
        f"""
        from hypothesis import settings
        def test_it():
            assert settings().max_examples == {examples}
            assert settings().deadline is None
            assert settings().derandomize == ({profile!r} == "ci")
        """
    ).assert_outcomes(passed=1)
