"""What every test is held to: it ends, and it leaves nothing behind.

pytest-twisted runs each test inside the reactor, but waits for ever for a Deferred that never fires, and lets a test
pass that leaves timers, sockets, logged failures or unhandled Deferreds.  Both are mended here; test_conftest.py shows
how.

- A test may be `async def`, with no decorator, or return a Deferred.  After `test_bound` seconds (pyproject.toml, or
  the marker `bound`) it is cancelled and fails.
- A test that expects failures in the log takes them: `logged_failures.flush(ZeroDivisionError)`.
- The marker `system` names programs that have to be there; `--no-skips` turns every skip into a failure.
- HYPOTHESIS_PROFILE is default, ci (the default where CI is set) or thorough; the last wants `-o test_bound=3600
  -o faulthandler_timeout=3700` too.

The reactor is imported inside functions only: pytest-twisted installs the one that --reactor names after this is
loaded.
"""

from __future__ import annotations

import functools
import gc
import inspect
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import hypothesis
import pytest
import pytest_twisted
from twisted.internet import process
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import STDLibLogObserver, globalLogBeginner
from twisted.python.failure import Failure

# Options of nettool in the environment of whoever runs the tests would change what is tested.
for _name in [name for name in os.environ if name.startswith("NETTOOL_")]:
    del os.environ[_name]

# Deadlines for single examples fail on a busy machine; test_bound is the limit instead.
_ALWAYS: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
# Where CI is set Hypothesis begins with a derandomized profile of its own, so each says whether it is.
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"derandomize": False},
    "ci": {"derandomize": True, "database": None, "print_blob": True},
    "thorough": {"derandomize": False, "max_examples": 5_000, "stateful_step_count": 200},
}
for _name, _profile in _PROFILES.items():
    hypothesis.settings.register_profile(_name, **_ALWAYS, **_profile)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("test_bound", "seconds after which a test that has not ended fails", default="120")
    parser.addoption("--no-skips", action="store_true", help="a test that is skipped fails")


def pytest_configure(config: pytest.Config) -> None:
    # What a shell runs in the background ignores INT, and so would every program that the tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.load_profile(
        os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "default")
    )
    # By way of the standard library, what a failing test has logged is in pytest's report of it.
    globalLogBeginner.beginLoggingTo([_logged, STDLibLogObserver()], discardBuffer=True, redirectStandardIO=False)


def pytest_collection_finish() -> None:
    # What was imported and collected stays: without it, looking for garbage after each test takes a tenth of the time.
    gc.collect()
    gc.freeze()


# --- a test ends ----------------------------------------------------------------------------------


class _Bound:
    """The time that one test has, in all its examples."""

    def __init__(self, item: pytest.Function) -> None:
        marker = item.get_closest_marker("bound")
        self.seconds = float(marker.args[0] if marker else item.config.getini("test_bound"))
        self._end = time.monotonic() + self.seconds

    def around(self, test: Callable[..., Any]) -> Callable[..., Any]:
        """The same test, whose Deferred ends within the bound."""

        # The wrapper looks like the test, marks of pytest-twisted included, but is no coroutine function.
        @functools.wraps(test)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            result = test(*args, **kwargs)
            if inspect.iscoroutine(result):
                return self._limit(ensureDeferred(result), result)
            return self._limit(result, None) if isinstance(result, Deferred) else result

        return bounded

    def _limit(self, test: Deferred[Any], coroutine: Any) -> Deferred[Any]:
        from twisted.internet import reactor

        ended: Deferred[Any] = Deferred()

        def expire() -> None:
            error = self.failure(f"it waited {_position(coroutine)}")
            # Cancelled, so that its `finally` runs; a test that goes on regardless is not waited for.
            test.cancel()
            ended.errback(error)

        def finish(result: Any) -> None:
            if timer.active():
                timer.cancel()
                ended.callback(result)

        timer = reactor.callLater(max(0.0, self._end - time.monotonic()), expire)
        test.addBoth(finish)
        return ended

    @contextmanager
    def alarm(self) -> Iterator[None]:
        """For code that never returns to the reactor: a signal raises in the middle of it, again if it is swallowed."""

        def interrupt(*_: object) -> None:
            raise self.failure("its code did not return")

        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, self.seconds + 1, 1)  # the reactor's own timer comes first
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def failure(self, detail: str) -> BaseException:
        return pytest.fail.Exception(f"the test did not end within {self.seconds:g} s: {detail}", pytrace=True)


def _position(coroutine: Any) -> str:
    """Where a coroutine waits: the innermost line of our own, through all that it awaits."""
    where = "for its Deferred"
    while inspect.iscoroutine(coroutine) and coroutine.cr_frame is not None:
        where = f"at {coroutine.cr_frame.f_code.co_filename}:{coroutine.cr_frame.f_lineno}"
        coroutine = coroutine.cr_await
    return where


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    bound = _Bound(pyfuncitem)
    # pytest-twisted replaces a Hypothesis test's inner function for good, and chokes on its own replacement when the
    # test has parameters and runs again.  So the owner gets back what it had.
    owner, name = (pyfuncitem, "obj")
    if hasattr(pyfuncitem.obj, "hypothesis"):
        owner, name = (pyfuncitem.obj.hypothesis, "inner_test")
    test = getattr(owner, name)
    setattr(owner, name, bound.around(test))
    try:
        with bound.alarm():
            return (yield)
    finally:
        setattr(owner, name, test)


# --- a test leaves nothing behind -----------------------------------------------------------------


class LoggedFailures:
    """The failures that were logged, by `log.err`, by `Logger.failure` or by a Deferred whose error nobody handled."""

    def __init__(self) -> None:
        self._failures: list[Failure] = []

    def __call__(self, event: dict[str, Any]) -> None:
        failure = event.get("log_failure") or (event.get("isError") and event.get("failure"))
        if failure:
            self._failures.append(failure)

    def flush(self, *types: type[BaseException]) -> list[Failure]:
        """Take the failures of these types, or all: the test expected them."""
        taken = [failure for failure in self._failures if not types or failure.check(*types)]
        self._failures = [failure for failure in self._failures if failure not in taken]
        return taken


_logged = LoggedFailures()


def _open_things() -> list[tuple[str, Any]]:
    """What a test could leave behind in the process, each with what to call it."""
    from twisted.internet import reactor

    threads = (t for t in threading.enumerate() if not t.name.startswith("PoolThread-twisted.internet.reactor"))
    return [
        *(("delayed call", call) for call in reactor.getDelayedCalls()),
        *(("open", selectable) for selectable in {*reactor.getReaders(), *reactor.getWriters()}),
        *(("process", child) for child in process.reapProcessHandlers.values()),
        *(("thread", thread) for thread in threads),
    ]


def _close(kind: str, thing: Any) -> None:
    """Whatever can be done so that one test's remains do not disturb the next."""
    from twisted.internet import reactor

    with suppress(Exception):
        if kind == "delayed call":
            thing.cancel()
        elif kind == "process":
            thing.signalProcess("KILL")
        elif kind == "open":
            end = getattr(thing, "stopListening", None) or getattr(thing, "abortConnection", None)
            if end is not None:
                end()
            reactor.removeReader(thing)
            reactor.removeWriter(thing)


def _turn(times: int = 1) -> None:
    from twisted.internet import reactor

    for _ in range(times):
        pytest_twisted.blockon(deferLater(reactor, 0))


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    # Of the fixtures that belong to this test alone this is the first to begin and the last to end.
    _turn()  # the first one starts the reactor, which opens what it needs for itself
    before = {id(thing) for _, thing in _open_things()}

    def remains() -> list[tuple[str, Any]]:
        return [(kind, thing) for kind, thing in _open_things() if id(thing) not in before]

    yield
    _turn()  # unwinds the reactor's stack, which still refers to the test's Deferred
    for _ in range(20):  # both ends of a connection need some turns to close, over TLS more of them
        if not remains():
            break
        _turn()
    request.node.funcargs.clear()
    gc.collect()  # a Deferred logs its unhandled error when it is thrown away
    # What is left stays as a rule, as the reports do: with it, looking for garbage would take 36 ms after each test.
    gc.freeze()
    left = [f"{kind}: {thing!r}" for kind, thing in remains()]
    for kind, thing in remains():
        _close(kind, thing)
    if left:
        _turn(2)
    left += [f"logged failure: {failure.getTraceback()}" for failure in _logged.flush()]
    if left:
        pytest.fail("the test left behind\n" + "\n".join(left), pytrace=False)


@pytest.fixture(autouse=True, scope="module")
def _garbage_is_found() -> Iterator[None]:
    # What was frozen after a test and became garbage later is found with the first test of the next file.
    yield
    gc.unfreeze()


@pytest.fixture
def logged_failures() -> LoggedFailures:
    """What has been logged as a failure; a test has to flush what it expects, and fails for the rest."""
    return _logged


def pytest_sessionfinish(session: pytest.Session) -> None:
    # What was logged after the last test, by a fixture of a module for example; between tests, the next test is blamed.
    gc.unfreeze()
    gc.collect()
    for failure in _logged.flush():
        print(f"\nlogged after the last test: {failure.getTraceback()}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# --- a test that cannot run fails -----------------------------------------------------------------


def pytest_runtest_setup(item: pytest.Item) -> None:
    wanted = [program for marker in item.iter_markers("system") for program in marker.args]
    missing = [program for program in wanted if shutil.which(program) is None]
    if missing:
        pytest.fail(f"not installed: {', '.join(missing)} (.ci/run installs what the system tests need)", pytrace=False)


def _without_skips(config: pytest.Config, report: Any) -> Any:
    if config.option.no_skips and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which --no-skips does not allow: {report.longrepr[2]}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    return _without_skips(item.config, (yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    return _without_skips(collector.config, (yield))
