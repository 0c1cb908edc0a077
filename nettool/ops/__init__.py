"""
ops: what an operator sees and may do.

In: a node.  Out: copied, plain data about it (`snapshots`), shown as metrics, as JSON, on a page, at a prompt, in a
log; and a few named levers.  Never: another room's private attribute; a line delayed because somebody looks.
"""
