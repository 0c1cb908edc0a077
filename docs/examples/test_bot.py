"""
Tests of the bot with a real node, on a clock: no socket is opened, no second passes, and each run is like the last.

    pytest test_bot.py
"""

import random

import pytest
from bot import DiceBot
from twisted.internet.task import Clock
from twisted.protocols.basic import LineOnlyReceiver

from nettool.embed import Node


class Asker(LineOnlyReceiver):
    """Somebody who talks to the bot."""

    delimiter = b"\n"

    def __init__(self):
        self.heard = []

    def lineReceived(self, line):
        self.heard.append(line)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def node(clock):
    with Node(clock, max_line="1KiB", outbox_bytes="128KiB") as node:
        yield node


@pytest.fixture
def bot(node, clock):
    bot = node.connect(DiceBot(random.Random(1)))
    clock.advance(0)
    return bot


@pytest.fixture
def ask(node, clock, bot):
    """Log somebody in, who then says these lines."""

    def ask(name, *lines):
        asker = node.connect(Asker())
        for line in (name, *lines):
            asker.sendLine(line)
        clock.advance(0)
        assert asker.heard.pop(0) == b"ok login %b@node1" % name
        return asker

    return ask


def test_it_rolls_for_who_asks(ask):
    assert ask(b"alice", b"dice: roll 2d6").heard == [b"from dice: 2d6: 2 + 5 = 7"]


def test_it_rolls_for_all_on_its_topic(ask):
    bob = ask(b"bob", b"/join #dice")
    alice = ask(b"alice", b"#dice: roll 1d20")
    assert alice.heard == []
    assert bob.heard == [b"ok join #dice", b"from alice to #dice: roll 1d20", b"from dice to #dice: alice: 1d20: 5 = 5"]


def test_it_has_no_more_than_a_hundred_dice(ask):
    assert ask(b"alice", b"dice: roll 101d6").heard == [b"from dice: I have 100 dice, and none without sides"]


def test_it_does_not_answer_what_was_not_asked(ask):
    assert ask(b"alice", b"dice: hello", b"dice: roll", b"dice: roll 2d", b"/ping").heard == [b"pong"]


def test_one_who_reads_slowly_gets_all_answers(ask, bot, clock):
    alice = ask(b"alice")
    alice.transport.pauseProducing()
    for _ in range(5000):
        alice.sendLine(b"dice: roll 100d6")
    clock.advance(0)  # what is due now happens now, and not four seconds late
    clock.advance(4)  # the node waits for a full name for 5 seconds
    alice.transport.resumeProducing()
    clock.advance(0)
    assert len(alice.heard) == 5000
    assert not bot.not_taken


def test_answers_that_nobody_takes_come_back_and_keep_nobody_else_waiting(ask, bot, clock):
    alice = ask(b"alice")
    alice.transport.pauseProducing()
    for _ in range(5000):
        alice.sendLine(b"dice: roll 100d6")
    clock.advance(0)
    clock.advance(5)
    assert bot.not_taken[b"alice"] > 0
    assert ask(b"bob", b"dice: roll 1d6").heard[0].startswith(b"from dice: 1d6: ")
    alice.transport.resumeProducing()
    clock.advance(0)
    assert len(alice.heard) == 5000 - bot.not_taken[b"alice"]


def test_a_second_bot_is_told_that_the_name_is_taken(node, clock, bot):
    second = node.connect(DiceBot(random.Random(1)))
    clock.advance(0)
    assert second.ended.result == "bye name-taken"
    assert not bot.ended.called


def test_it_ends_with_the_node(clock):
    with Node(clock) as node:
        bot = node.connect(DiceBot(random.Random(1)))
        clock.advance(0)
    assert bot.ended.result == "bye shutdown"
    assert node.totals().adds_up
