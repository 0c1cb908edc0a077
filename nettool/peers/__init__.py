"""
peers: one peer's conversation, from its socket to the broker and back.

In: connections, from any Twisted endpoint.  Out: lines routed, answers, a connection closed so that its last line
arrives.  Never: a decision about who gets a line; a peer's fault that is another peer's too.

`session` what is said, and the phase it is in; pure · `protocol` the connection around it · `ready` the sockets that
can be read, all in one call · `factory` all connections, and the limits on their number.
"""
