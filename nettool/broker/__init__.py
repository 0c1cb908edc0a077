"""
broker: who is here, who hears what, who gets this batch, and the ledger in which every line ends up.

In: what happened to sessions, one event at a time, as plain calls.  Out: batches put into outboxes, answers, notices,
lines given back.  Never: I/O, a reactor, a clock of its own (time comes in as `now`), a transport or a Protocol.

`directory` who is here and who hears what · `routing` from a read to outboxes · `plans` what routing remembers of a
mixed read · `ledger` the counts · `cluster` the seam to other nodes · `broker` the events.
"""
