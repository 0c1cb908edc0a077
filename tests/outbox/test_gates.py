"""Gates: the reasons why a sender is not being read."""

from nettool.outbox.gates import Gate, Wait
from tests.outbox.place import Sender


def test_a_sender_waits_for_a_gate_once_and_goes_on_once() -> None:
    gate, alice, bob = Gate(Wait()), Sender(b"alice"), Sender(b"bob")
    gate.shut(alice, 1.0)
    gate.shut(alice, 2.0)
    gate.shut(bob, 3.0)
    assert gate.waiting == {alice: 1.0, bob: 3.0}
    gate.open(4.0)
    gate.open(4.0)
    assert not gate.waiting
    assert not alice.waits
    assert not bob.waits


def test_a_sender_that_has_left_is_forgotten_and_not_called() -> None:
    wait = Wait()
    gate, alice = Gate(wait), Sender(b"alice")
    gate.shut(alice, 1.0)
    gate.forget(alice, 4.0)
    gate.forget(alice, 5.0)
    gate.open(6.0)
    assert alice.gates == [gate]
    assert wait.paused == 3.0


def test_pauses_are_counted_with_their_seconds_and_never_fall() -> None:
    wait = Wait()
    first, second, alice, bob = Gate(wait), Gate(wait), Sender(b"alice"), Sender(b"bob")
    first.shut(alice, 1.0)
    first.shut(alice, 2.0)
    second.shut(alice, 2.0)
    second.shut(bob, 3.0)
    assert (wait.pauses, wait.paused) == (3, 0.0)
    first.open(4.0)
    assert wait.paused == 3.0
    second.open(1.0)
    assert wait.paused == 3.0, "a clock may be set back"


def test_a_sender_that_leaves_while_it_is_told_to_wait_does_not_wait() -> None:
    class Leaver(Sender):
        def wait_for(self, gate: object, now: float) -> None:
            shut.forget(self, now)

    shut = Gate(Wait())
    shut.shut(Leaver(b"alice"), 1.0)
    assert not shut.waiting
