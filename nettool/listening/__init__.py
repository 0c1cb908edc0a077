"""
Where a node can be reached: endpoints, what they need, and the listeners on them.

In: server endpoint strings, factories.  Out: listeners that are bound, exchanged and closed, all or nothing; what is
wrong with an endpoint before anything is bound.  Never: a line, or a setting's meaning.
"""
