"""
A bot that rolls dice for whoever asks.

    python bot.py tcp:127.0.0.1:6388

Say `dice: roll 2d6` to it, or `#dice: roll 2d6` to be heard by all who joined that topic.
"""

import random
import re
import sys
from collections import Counter

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

ASKED = re.compile(rb"from (\S+)(?: to (#\S+))?: roll (\d{1,3})d(\d{1,4})")
GIVEN_BACK = re.compile(rb"returned (\S+) queue-full: ")


class DiceBot(LineReceiver):
    """Answers each `roll <dice>d<sides>`, where it was asked."""

    delimiter = b"\n"
    MAX_LENGTH = 128 * 1024  # a line of 64 KiB, and what the node puts before it

    def __init__(self, chance):
        self.chance = chance
        self.last_line = b""
        self.ended = Deferred()
        self.not_taken = Counter()

    def connectionMade(self):
        # Who asks faster than the answers are taken has to wait: while the node does not read the answers, not a line
        # more is answered.
        self.transport.registerProducer(self, True)
        self.sendLine(b"dice")
        self.sendLine(b"/join #dice")

    def lineReceived(self, line):
        self.last_line = line
        if asked := ASKED.fullmatch(line):
            name, topic, dice, sides = asked.groups()
            rolled = self.roll(int(dice), int(sides))
            self.sendLine(b"%b: %b: %b" % (topic, name, rolled) if topic else b"%b: %b" % (name, rolled))
        elif returned := GIVEN_BACK.match(line):
            self.not_taken[returned[1]] += 1

    def roll(self, dice, sides):
        """What was rolled, in words."""
        if not 1 <= dice <= 100 or sides < 1:
            return b"I have 100 dice, and none without sides"
        rolled = [self.chance.randint(1, sides) for _ in range(dice)]
        return b"%dd%d: %b = %d" % (dice, sides, " + ".join(map(str, rolled)).encode(), sum(rolled))

    def connectionLost(self, reason):
        self.ended.callback(self.last_line.decode(errors="replace"))


async def main(reactor, where):
    """Roll until the node says `bye`."""
    bot = await connectProtocol(clientFromString(reactor, where), DiceBot(random.SystemRandom()))
    print(await bot.ended)


if __name__ == "__main__":
    react(main, sys.argv[1:])
