"""
nettool: a network node that routes lines of text between named peers.

Read the rooms in the direction in which a line goes through them:

1. `nettool.wire`: bytes to lines and messages, and back;
2. `nettool.peers`: one peer's conversation, from its socket to the broker;
3. `nettool.broker`: who is here, who hears what, who gets this batch, and the ledger;
4. `nettool.outbox`: what one connection still has to be sent, its bounds and its patience;
5. `nettool.service`: the whole as a Twisted service, of `nettool.options`, on addresses of `nettool.listening`;
6. `nettool.tap`: the process around it, a node that can be told to change (`nettool.reloading`);
   `nettool.embed`: the same inside another program, or a test;
7. `nettool.commands`: the command `nettool`.

`nettool.cluster` is other nodes, between the broker and `nettool.mesh`, which is a library of its own.

Below them all lie `nettool.settings`, `nettool.errors`, `nettool.interfaces` and `nettool.files`.
"""

__version__ = "0.1.0"
