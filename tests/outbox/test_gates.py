"""Gates: the reasons why a sender is not being read."""

from nettool.outbox.gates import Gate
from tests.outbox.place import Sender


def test_a_sender_waits_for_a_gate_once_and_goes_on_once() -> None:
    gate, alice, bob = Gate(), Sender(b"alice"), Sender(b"bob")
    gate.shut(alice, 1.0)
    gate.shut(alice, 2.0)
    gate.shut(bob, 3.0)
    assert gate.waiting == {alice: 1.0, bob: 3.0}
    gate.open()
    gate.open()
    assert not gate.waiting
    assert not alice.waits
    assert not bob.waits


def test_a_sender_that_has_left_is_forgotten_and_not_called() -> None:
    gate, alice = Gate(), Sender(b"alice")
    gate.shut(alice, 1.0)
    gate.forget(alice)
    gate.forget(alice)
    gate.open()
    assert alice.gates == [gate]


def test_a_sender_that_leaves_while_it_is_told_to_wait_does_not_wait() -> None:
    class Leaver(Sender):
        def wait_for(self, gate: object) -> None:
            shut.forget(self)

    shut = Gate()
    shut.shut(Leaver(b"alice"), 1.0)
    assert not shut.waiting
