"""The benchmark: nettool and other servers under the same load, in turn, on this machine.

In: the servers that are installed, the workloads of `workloads.py`.  Out: a table of medians and ratios, or JSON.
Never: a rate that counts a run in which a byte was missing; a test that asserts a time.

Read the two tables first, `servers.py` and `workloads.py`; then `load.py`, and `rounds.py`, which joins them.
"""
