"""The broker: who is here, who gets this line, and where each line ends up.

In: plain calls, one event at a time.  Out: what a reader of the protocol expects, and the ledger that adds up.
Never: a reactor, a socket, or a clock that is not a number.
"""
