"""
testing: what every transport is held to.

In: a transport.  Out: tests, for pytest with pytest-twisted or anything else that runs `async def` tests on the
reactor.  Never: a sleep; an assertion about time.

    class TestMine(TransportContract):
        def transport(self):
            return MyTransport()

        def address(self):
            return "mine://here"
"""

from nettool.mesh.testing.contract import TransportContract
from nettool.mesh.testing.ends import BOUND, Ends, fails, fill, turn

__all__ = ["BOUND", "Ends", "TransportContract", "fails", "fill", "turn"]
