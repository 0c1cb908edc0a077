"""What tests in memory are built of: transports that take only what they are told to, and peers on them.

`transport` a transport with layers between it and a socket, as TLS is · `sockets` Twisted's own TCP transport on a
socket in memory, and the reactor that looks after it · `peer` the other end of either: what a peer does and hears.

Time is a `task.Clock`'s everywhere, and only a test moves it.  What happens "in the next turn" happens in
`clock.advance(0)`.
"""
