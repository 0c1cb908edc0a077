"""The outbox: what one connection still has to be sent.

In: batches, and a transport that takes them or does not.  Out: every line once, in order, or a reason why not.
Never: a socket, or a time that is asserted.
"""
