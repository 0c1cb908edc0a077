"""
cluster: other nodes.

In: what the broker tells of this node's peers, topics and lines; bytes from other nodes.  Out: lines, peers and topics
of other nodes, as calls of the broker's; bytes.  Never: a line that crosses two links; a line sent twice or lost
without being counted; a name at a node that nobody configured.

Pure, in the order in which a line goes: `far` a receiver or a sender on another node · `queue` what waits for a node,
was sent to it and is not confirmed · `sending` its frames and bounds · `frames` what nodes say · `outlet` what goes out
on one connection · `link` one connection: hello, the choice, heartbeats · `arrivals` what came in · `neighbour` another
node, whatever becomes of its links · `presence` whose bare name means whom · `linked` all of them: the `ICluster` ·
`phases` the measurements · `snapshots` what others may look at.
Two rooms of its own: `identity` who a node is and whom it trusts · `resolver` where other nodes are.
With Twisted: `protocol` a connection · `dialling` how a node is reached · `service` the whole, to be started ·
`secured` the same over TLS, between nodes that trust each other · `judges` who is trusted where no key decides.
"""
