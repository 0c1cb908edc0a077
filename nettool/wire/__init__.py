"""
wire: bytes to lines and messages, and back.

In: bytes as they were read, cut anywhere.  Out: blocks of whole lines, and the values of `requests` and `replies`.
Never: I/O, time, chance, or a decision about who gets a line.  Everything here is pure.

`names` what may be a name or a topic · `lines` cuts a stream · `requests` what a peer says · `replies` a node ·
`blocks` renders many lines at once.
"""
