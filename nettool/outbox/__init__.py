"""
outbox: what one connection still has to be sent.

In: batches, at any time, from anyone.  Out: chunks for a transport that takes them, senders made to wait where it does
not, and every batch that will not be sent handed back.  Never: a decision about who gets a line; a silent loss.

`batch` what is passed from room to room · `queue` the outbox of a connection · `part` a batch larger than a chunk, on
its way · `backlog` what waits in an outbox while its transport takes nothing · `lane` one of its two kinds of lines,
each with its bound, patience and episode · `losses` lines that tell what was lost · `gates` senders that wait ·
`passage` what has passed through, and how long it took · `facts` what an operator is told · `pump` the producer that
empties an outbox into a transport, by a `sink` · `turn` when it does.  All but the last three are pure; they serve the
mesh, too.

Who may be made to wait, and what must never happen:

- While the transport takes data, nobody waits.  A backlog exists only while it does not.
- Lines to names, with answers, and topic lines, with notices, are two lanes.  A lane that reaches its bound begins an
  *episode*.  Whoever has lines in the lane then, and whoever adds some later, waits, each lane's patience long at most.
  The episode ends when the transport has taken so much that the lane is under its low-water mark, and only then.
- After patience, lines to the name are given back and topic lines push out the oldest, until the episode ends.
- Answers make only their own peer wait, and for as long as it takes: it alone can end it, by reading.
- A half-sent line is never dropped, nor given up for another line: only the connection's end cuts it off.
"""
