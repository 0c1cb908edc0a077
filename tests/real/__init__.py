"""Real ones: a node in its own process, and clients that are nothing but sockets.

In: the promises of the protocol and of delivery, sentence by sentence.  Out: a sceptical stranger's verdict.
Never: an import from the package under test; what these tests know of a node is its options, its bytes and its log.
Only `test_storms_inside` runs a node in the test's own process, to read its ledger at every moment.
"""
