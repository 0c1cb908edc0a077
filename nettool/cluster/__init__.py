"""
Other nodes: who they are, where they are, and what goes to them and comes from them.

In: what this node's peers send to others; links from and to other nodes.  Out: the same lines, once each, to the broker
there and here.  Never: trust in a name that is not proven by its key.
"""
