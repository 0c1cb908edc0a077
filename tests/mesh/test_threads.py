"""The mesh in programs that run no reactor: real processes, each of which has to end by itself."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

PATIENCE = 60

BEGIN = """
import os, signal, sys, threading, time
from nettool.mesh import *
from nettool.mesh.threads import transport

def pair(mesh, address="inproc://pair", *ids):
    listener = transport("").listen(address)
    mesh.add(transport("").connect(listener.endpoint), "here")
    mesh.add(listener.accept(10), "there")
    return listener
"""


def run(program: str, begin: str = BEGIN) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{begin}\n{textwrap.dedent(program)}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def prints(program: str, begin: str = BEGIN) -> str:
    """What it prints; it complains of nothing, and ends by itself."""
    done = run(program, begin)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_every_call_in_a_script() -> None:
    assert prints(
        """
        told = []
        with ThreadedMesh(8, 4) as mesh:
            unsubscribe = mesh.subscribe(told.append)
            listener = pair(mesh, "tcp://localhost:0")
            mesh.send(Envelope("here", b"1"))
            mesh.send_when_ready(Envelope("here", b"2"), timeout=5)
            mesh.send_many([Envelope("here", b"3"), Envelope("here", b"4")])
            print(mesh.recv(5), [mesh.recv_many(1, 5)[0].payload for _ in range(3)])
            print(mesh.stats()["here"].sent)
            other = transport("").connect(listener.endpoint)
            for error, call in (
                (TimeoutError, lambda: mesh.recv(0.01)),
                (NotFound, lambda: mesh.send(Envelope("nobody", b""))),
                (DuplicateId, lambda: mesh.add(other, "here")),
                (NotFound, lambda: mesh.remove("nobody")),
                (TypeError, lambda: mesh.send(Envelope("here", "text"))),
                (UnknownScheme, lambda: transport("gopher")),
            ):
                try:
                    call()
                except error as raised:
                    print(type(raised).__name__)
            connection = mesh.remove("here", 5)
            connection.send(b"from outside")
            print(mesh.recv(5).payload, connection.local_endpoint.startswith("tcp://"))
            mesh.send(Envelope("there", b"to outside"))
            print(connection.recv(5))
            connection.close()
            mesh.sender().send_many([]), mesh.lifecycle()
            unsubscribe()
            other.close()
            listener.close()
        print([type(event).__name__ for event in told[:3]])
        try:
            mesh.recv()
        except MeshClosed as closed:
            print(closed)
        """
    ) == (
        "Envelope(id='there', payload=b'1') [b'2', b'3', b'4']\n4\nTimeoutError\nNotFound\nDuplicateId\n"
        "NotFound\nTypeError\nUnknownScheme\nb'from outside' True\nb'to outside'\n['Added', 'Added', 'Removed']\n"
        "the mesh is closed\n"
    )


def test_many_threads_at_once_lose_and_double_nothing() -> None:
    assert (
        prints(
            """
        with ThreadedMesh(64, 16) as mesh:
            pair(mesh, "tcp://127.0.0.1:0")
            received, threads = [], []

            def send(number):
                for index in range(200):
                    mesh.send_when_ready(Envelope("here", b"%d %d" % (number, index)))

            def receive():
                for envelope in mesh.receiver():
                    received.append(envelope.payload)
                    if len(received) >= 8 * 200:
                        done.set()

            done = threading.Event()
            for number in range(8):
                threads.append(threading.Thread(target=send, args=(number,)))
                threads.append(threading.Thread(target=receive))
            for thread in threads:
                thread.start()
            print(done.wait(50))
        for thread in threads:
            thread.join(20)
        print(sorted(received) == sorted(b"%d %d" % (n, i) for n in range(8) for i in range(200)))
        """
        )
        == "True\nTrue\n"
    )


def test_meshes_share_one_reactor_in_a_daemon_thread_that_is_never_stopped() -> None:
    assert (
        prints(
            """
        for _ in range(3):
            with ThreadedMesh() as mesh:
                pair(mesh, "inproc://again%d" % _)
                mesh.send(Envelope("here", b"x"))
                mesh.recv(5)
        print([thread.name for thread in threading.enumerate() if "reactor" in thread.name])
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.getsignal(signal.SIGINT).__name__)
        """
        )
        == "['nettool.mesh reactor']\nTrue default_int_handler\n"
    )


def test_names_are_looked_up_and_the_program_ends_all_the_same() -> None:
    assert (
        prints(
            """
        listener = transport("tcp").listen("tcp://127.0.0.1:0")
        with transport("tcp").connect("tcp://localhost:" + listener.endpoint.rpartition(":")[2]) as near:
            with listener.accept(5) as far:
                print(far.remote_endpoint == near.local_endpoint)
        listener.close()
        """
        )
        == "True\n"
    )


def test_an_exception_in_the_with_block_closes_and_goes_on_up() -> None:
    done = run(
        """
        with ThreadedMesh() as mesh:
            pair(mesh)
            1 / 0
        """
    )
    assert done.returncode == 1 and done.stderr.count("Traceback") == 1 and "ZeroDivisionError" in done.stderr


CTRL_C = """
import socket
silent = socket.create_server(("127.0.0.1", 0))  # it takes connections, and says nothing
with ThreadedMesh() as mesh:
    listener = pair(mesh)
    print("waiting", flush=True)
    try:
        WAIT
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    mesh.send(Envelope("here", b"after"))
    print(mesh.recv(10))
"""


@pytest.mark.parametrize(
    "wait",
    [
        "mesh.recv()",
        "next(iter(mesh))",
        "mesh.recv_many(5, 100)",
        "listener.accept()",
        "transport('tls').connect('tls://127.0.0.1:%d' % silent.getsockname()[1])",
    ],
)
def test_ctrl_c_interrupts_whatever_waits_and_takes_nothing_with_it(wait: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", BEGIN + CTRL_C.replace("WAIT", wait)], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "waiting\n"
    while _state(program.pid) != "S":  # it waits, rather than being on its way there
        time.sleep(0.001)
    program.send_signal(signal.SIGINT)
    out, _ = program.communicate(timeout=PATIENCE)
    assert out == "interrupted\nEnvelope(id='there', payload=b'after')\n"
    assert program.returncode == 0


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]


def test_what_came_for_a_call_that_was_interrupted_is_received_by_the_next() -> None:
    assert (
        prints(
            """
        from concurrent.futures import Future

        with ThreadedMesh() as mesh:
            pair(mesh)
            mesh.send_many(Envelope("here", b"%d" % number) for number in range(6))
            result = Future.result

            def interrupted(self, timeout=None):
                value = result(self, timeout)
                if threading.current_thread() is threading.main_thread():
                    raise KeyboardInterrupt  # it is there, and then Ctrl-C comes
                return value

            for call in (mesh.recv, lambda: mesh.recv_many(2)):
                Future.result = interrupted
                try:
                    call()
                except KeyboardInterrupt:
                    pass
                Future.result = result
            print([mesh.recv(5).payload for _ in range(6)])
        """
        )
        == "[b'0', b'1', b'2', b'3', b'4', b'5']\n"
    )


@pytest.mark.parametrize("crossed", [True, False])
def test_ctrl_c_on_the_way_over_loses_nothing(crossed: bool) -> None:
    """It may come when the call has been handed to the reactor's thread, or just before."""
    assert (
        prints(
            """
        from twisted.internet import reactor

        with ThreadedMesh() as mesh:
            pair(mesh)
            mesh.send_many(Envelope("here", b"%d" % number) for number in range(6))
            hand_over = reactor.callFromThread

            def interrupted(*call):
                reactor.callFromThread = hand_over
                if CROSSED:
                    hand_over(*call)
                raise KeyboardInterrupt

            for call in (mesh.recv, lambda: mesh.recv_many(2)):
                reactor.callFromThread = interrupted
                try:
                    call()
                except KeyboardInterrupt:
                    print("interrupted")
            print([mesh.recv(5).payload for _ in range(6)])
        """.replace("CROSSED", str(crossed))
        )
        == "interrupted\ninterrupted\n[b'0', b'1', b'2', b'3', b'4', b'5']\n"
    )


OUTSIDE = """
from concurrent.futures import Future

result = Future.result
mesh = ThreadedMesh()
listener = transport("").listen("tcp://127.0.0.1:0")
near = transport("").connect(listener.endpoint)
far = listener.accept(5)

def interrupted(crossed, timeout=None):
    if threading.current_thread() is not threading.main_thread():
        return result(crossed, timeout)
    Future.result = result
    before()
    value = crossed.result()
    after()
    raise KeyboardInterrupt

def recv_interrupted():
    Future.result = interrupted
    try:
        far.recv()
    except KeyboardInterrupt:
        print("interrupted")

def end():
    for closing in (mesh, listener, near, far):
        closing.close()
"""


def test_what_came_for_an_interrupted_call_goes_to_the_thread_that_waits_beside_it() -> None:
    assert (
        prints(
            """
        def before():
            wait_until(1)
            beside.start()
            wait_until(2)
            near.send(b"1")

        def after():
            pass

        def wait_until(receivers):
            while len(far.inner._receivers) < receivers:
                time.sleep(0.001)

        got = []
        beside = threading.Thread(target=lambda: got.append(far.recv(10)))
        recv_interrupted()
        beside.join()
        near.send(b"2")
        near.send(b"3")
        print(got, far.recv(5), far.recv(5))
        end()
        """,
            BEGIN + OUTSIDE,
        )
        == "interrupted\n[b'1'] b'2' b'3'\n"
    )


def test_what_came_for_an_interrupted_call_goes_to_the_mesh_that_its_connection_is_in_by_then() -> None:
    assert (
        prints(
            """
        def before():
            near.send(b"1")

        def after():
            mesh.add(far, "far")

        recv_interrupted()
        near.send(b"2")
        near.send(b"3")
        print([mesh.recv(5).payload for _ in range(3)], mesh.stats()["far"].received)
        end()
        """,
            BEGIN + OUTSIDE,
        )
        == "interrupted\n[b'1', b'2', b'3'] 3\n"
    )


def test_a_running_reactor_is_used_and_its_own_thread_is_refused() -> None:
    assert prints(
        """
        from twisted.internet import reactor

        def refused():
            for call in (ThreadedMesh, lambda: transport("tcp")):
                try:
                    call() if call is ThreadedMesh else call().connect("tcp://127.0.0.1:1")
                except WrongThread as error:
                    print("use nettool.mesh.Mesh" in str(error))

        def work():
            with ThreadedMesh() as mesh:
                pair(mesh)
                mesh.send(Envelope("here", b"x"))
                print(mesh.recv(5).payload)
                print([thread.name for thread in threading.enumerate() if "reactor" in thread.name.lower()])
            reactor.callFromThread(reactor.stop)

        reactor.callWhenRunning(refused)
        thread = threading.Thread(target=work)
        reactor.callWhenRunning(thread.start)
        reactor.run()
        thread.join()
        try:
            ThreadedMesh()
        except MeshClosed as error:
            print(error)
        """
    ) in ("True\nTrue\nb'x'\n[]\nthe reactor has been stopped, and cannot be started again\n",)


def test_who_waits_when_the_reactor_is_stopped_is_told() -> None:
    assert (
        prints(
            """
        from twisted.internet import reactor

        told, begun = [], threading.Barrier(4, timeout=20)

        def wait(call):
            begun.wait()
            try:
                call()
            except MeshClosed as error:
                told.append(str(error))

        def work():
            mesh = ThreadedMesh()
            listener = pair(mesh)
            calls = [mesh.recv, lambda: mesh.recv_many(5, 100), lambda: listener.accept(100)]
            threads.extend(threading.Thread(target=wait, args=(call,)) for call in calls)
            for thread in threads:
                thread.start()
            begun.wait()
            while len(__import__("nettool.mesh.crossing", fromlist=["x"])._waiting) < 3:
                time.sleep(0.001)
            mesh.send(Envelope("here", b""))  # who came before it has crossed over, too
            reactor.callFromThread(reactor.stop)

        threads = []
        working = threading.Thread(target=work)
        reactor.callWhenRunning(working.start)
        reactor.run()
        for thread in [working, *threads]:
            thread.join(20)
        print(told, [thread.is_alive() for thread in threads])
        """
        )
        == f"{['the reactor has been stopped'] * 2} {[False] * 3}\n"
    )


@pytest.mark.parametrize("stop", ["reactor.stop()", "os.kill(os.getpid(), signal.SIGINT)"])
def test_the_reactor_stops_while_a_thread_of_its_own_pool_waits(stop: str) -> None:
    """It joins them: they are told before that, and whatever they call from then on raises."""
    assert (
        prints(
            """
        from nettool.mesh import crossing
        from twisted.internet import reactor
        from twisted.internet.threads import deferToThread

        def stop():
            if crossing._waiting:
                STOP
            else:
                reactor.callLater(0, stop)

        def work():
            mesh = ThreadedMesh()
            reactor.callFromThread(stop)
            for call in (mesh.recv, mesh.recv, mesh.stats, mesh.close, ThreadedMesh):
                try:
                    call()
                except MeshClosed as error:
                    print(str(error).partition(",")[0])

        reactor.callWhenRunning(deferToThread, work)
        reactor.run()
        print("ended")
        """.replace("STOP", stop)
        )
        == "the reactor has been stopped\n" * 5 + "ended\n"
    )


def test_a_mesh_that_is_made_while_the_reactor_stops_is_refused() -> None:
    """It would wait for a reactor that waits for it."""
    assert (
        prints(
            """
        from twisted.internet import reactor
        from twisted.internet.threads import deferToThread

        def work():
            print(reactor.running)
            try:
                ThreadedMesh().recv()
            except MeshClosed as error:
                print(error)

        reactor.addSystemEventTrigger("before", "shutdown", deferToThread, work)
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        """
        )
        == "True\nthe reactor has been stopped\n"
    )


def test_the_thread_that_ran_the_reactor_is_told_afterwards_that_it_was_stopped() -> None:
    assert (
        prints(
            """
        from twisted.internet import reactor

        made = []

        def work():
            made.append(ThreadedMesh())
            made.append(transport("inproc").listen("inproc://x"))
            reactor.callFromThread(reactor.stop)

        reactor.callWhenRunning(threading.Thread(target=work).start)
        reactor.run()
        mesh, listener = made
        for call in (mesh.recv, mesh.close, listener.accept, listener.close, ThreadedMesh):
            try:
                call()
            except MeshClosed as error:
                print(str(error).partition(",")[0])
        """
        )
        == "the reactor has been stopped\n" * 5
    )


def test_a_removal_that_was_interrupted_leaves_the_connection_where_it_was() -> None:
    assert (
        prints(
            """
        from concurrent.futures import Future

        with ThreadedMesh() as mesh:
            pair(mesh)
            result = Future.result

            def interrupted(self, timeout=None):
                value = result(self, timeout)
                if threading.current_thread() is threading.main_thread():
                    raise KeyboardInterrupt
                return value

            Future.result = interrupted
            try:
                mesh.remove("here")
            except KeyboardInterrupt:
                pass
            Future.result = result
            mesh.send(Envelope("here", b"still"))
            mesh.send(Envelope("there", b"here"))
            print(sorted(mesh.recv(5) for _ in range(2)))
        """
        )
        == "[Envelope(id='here', payload=b'here'), Envelope(id='there', payload=b'still')]\n"
    )


def test_a_connection_outside_a_mesh_sends_in_time_or_says_so() -> None:
    assert (
        prints(
            """
        import nettool.mesh

        with ThreadedMesh() as mesh, transport("").listen("inproc://alone") as listener:
            with transport("").connect(listener.endpoint) as connection, listener.accept(5) as far:
                connection.send(b"1", 5)
                print(far.recv(5))
                try:
                    while True:
                        connection.send(bytes(1_000_000), 0.01)
                except TimeoutError as error:
                    print(error)
                for wrong in (connection.inner, nettool.mesh.transport("").connect):
                    try:
                        mesh.add(wrong, "x")
                    except TypeError as error:
                        print(str(error).partition(", not ")[0])
                mesh.add(connection, "x")
                try:
                    connection.send(b"")
                except AlreadyInUse:
                    print("in use")
                mesh.close(0)
        """
        )
        == "b'1'\nthere was no room within 0.01 s\n"
        + "a ThreadedMesh takes connections of nettool.mesh.threads.transport\n" * 2
        + "in use\n"
    )


def test_why_a_connection_has_ended_is_told_to_whoever_waits_for_it() -> None:
    assert (
        prints(
            """
        with ThreadedMesh() as mesh, transport("").listen("tcp://127.0.0.1:0") as listener:
            far, near = transport("").connect(listener.endpoint), listener.accept(5)
            for _ in range(2):
                try:
                    near.lost(0.01)
                except TimeoutError as error:
                    print(error)
            reasons, waiting = [], []
            for _ in range(2):
                waiting.append(threading.Thread(target=lambda: reasons.append(near.lost(20))))
                waiting[-1].start()
            while len(near._wait_for_end) < 2:
                time.sleep(0.001)
            mesh.add(near, "near")
            far.close()
            for thread in waiting:
                thread.join()
            reason = near.lost()
            print(isinstance(reason, Exception), [other is reason for other in reasons], near.lost(0) is reason)
            print(isinstance(far.lost(20), Exception))
        """
        )
        == "the connection did not end within 0.01 s\n" * 2 + "True [True, True] True\nTrue\n"
    )


def test_ctrl_c_while_the_end_of_a_connection_is_waited_for_leaves_it_to_others() -> None:
    assert (
        prints(
            """
        with transport("").listen("inproc://x") as listener, transport("").connect("inproc://x") as near:
            far = listener.accept(5)

            def interrupt():
                while not near._wait_for_end:
                    time.sleep(0.001)
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

            beside = threading.Thread(target=interrupt)
            try:
                beside.start()
                near.lost(20)
            except KeyboardInterrupt:
                print("interrupted")
            beside.join()
            near.send(b"alive")
            print(far.recv(5))
            near.close()
            print(isinstance(near.lost(20), Exception))
            far.close()
        """
        )
        == "interrupted\nb'alive'\nTrue\n"
    )


def test_a_forked_child_is_told_and_its_parent_goes_on() -> None:
    assert (
        prints(
            """
        with ThreadedMesh() as mesh:
            listener = pair(mesh)
            unsubscribe = mesh.subscribe(repr)
            inproc = transport("inproc")
            receiver, begun = mesh.receiver(), iter(mesh)
            connection = transport("").connect(listener.endpoint)
            sys.stdout.flush()
            child = os.fork()
            if not child:
                calls = [
                    mesh.recv,
                    lambda: mesh.send(Envelope("here", b"")),
                    lambda: mesh.send_many([]),
                    lambda: mesh.recv_many(1),
                    lambda: mesh.send_when_ready(Envelope("here", b"")),
                    lambda: mesh.remove("here"),
                    lambda: mesh.add(connection, "x"),
                    lambda: [envelope for envelope in mesh],
                    lambda: next(begun),
                    mesh.sender,
                    mesh.receiver,
                    mesh.lifecycle,
                    lambda: next(iter(receiver)),
                    mesh.stats,
                    mesh.close,
                    lambda: mesh.subscribe(print),
                    unsubscribe,
                    lambda: connection.send(b""),
                    connection.recv,
                    connection.lost,
                    connection.close,
                    listener.accept,
                    listener.close,
                    lambda: [connection for connection in listener],
                    lambda: inproc.listen("inproc://child"),
                    lambda: inproc.connect(listener.endpoint),
                    lambda: transport("tcp"),
                    ThreadedMesh,
                ]
                for number, call in enumerate(calls):
                    try:
                        print(number, call(), flush=True)
                    except MeshClosed as error:
                        if "forked" not in str(error):
                            print(number, error, flush=True)
                os._exit(0)
            print(os.waitpid(child, 0)[1])
            mesh.send(Envelope("here", b"x"))
            print(mesh.recv(5).payload)
        """
        )
        == "0\nb'x'\n"
    )


@pytest.mark.parametrize("begin", [BEGIN, "import os, signal, threading"], ids=["imported", "not imported"])
def test_a_child_that_is_forked_before_there_was_a_mesh_is_told_if_a_reactor_ran(begin: str) -> None:
    assert (
        prints(
            """
        from twisted.internet import reactor

        runs = threading.Event()
        reactor.callWhenRunning(runs.set)
        threading.Thread(target=reactor.run, args=(False,), daemon=True).start()
        print(runs.wait(20), flush=True)
        child = os.fork()
        if not child:
            signal.alarm(20)  # if it waits, it is for ever
            from nettool.mesh import MeshClosed
            from nettool.mesh.threads import ThreadedMesh, transport
            for call in (ThreadedMesh, transport, ThreadedMesh):
                try:
                    call()
                except MeshClosed as error:
                    print("forked" in str(error), flush=True)
            os._exit(0)
        print(os.waitpid(child, 0)[1])
        from nettool.mesh.threads import ThreadedMesh
        with ThreadedMesh() as mesh:
            print(mesh.stats())
        """,
            begin,
        )
        == "True\n" * 4 + "0\n{}\n"
    )


def test_a_child_that_is_forked_before_any_reactor_ran_has_a_mesh_of_its_own() -> None:
    assert (
        prints(
            """
        child = os.fork()
        with ThreadedMesh() as mesh:
            pair(mesh)
            mesh.send(Envelope("here", b"x"))
            received = mesh.recv(20).payload
        if not child:
            os._exit(received == b"x")
        print(received, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
        )
        == "b'x' 1\n"
    )


def test_in_a_repl() -> None:
    """A real terminal: each line is answered before the next is typed."""
    process, terminal = pty.fork()
    if not process:
        os.execv(sys.executable, [sys.executable, "-q", "-i", "-c", BEGIN])
    try:
        said = b""

        def ask(line: bytes, answer: bytes) -> None:
            nonlocal said
            os.write(terminal, line + b"\n")
            end = time.monotonic() + PATIENCE
            seen = len(said)
            while answer not in said[seen:].replace(line, b"") and time.monotonic() < end:
                said += os.read(terminal, 65536)
            assert answer in said[seen:]

        ask(b"mesh = ThreadedMesh(); listener = pair(mesh); print(6 * 7)", b"42")
        ask(b"mesh.send(Envelope('here', b'hel' + b'lo')); mesh.recv(5).payload", b"b'hello'")
        os.write(terminal, b"print('in' + 'side'); mesh.recv()\n")
        while b"inside" not in said:
            said += os.read(terminal, 65536)
        os.write(terminal, b"\x03")
        ask(b"", b"KeyboardInterrupt")
        ask(b"mesh.close(); print('clo' + 'sed')", b"closed")
        os.write(terminal, b"exit()\n")
    finally:
        os.close(terminal)
        assert os.waitpid(process, 0)[0] == process
