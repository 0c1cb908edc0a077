"""The benchmark: nettool and other servers under the same load, in turn, on this machine.

In: the servers that are installed, the workloads of `workloads.py`.  Out: tables of medians and ratios, JSON, plots.
Never: a rate that counts a run in which a byte was missing; a test that asserts a time.

Read the two tables first, `servers.py` and `workloads.py`; then `measures.py`, which says what is done with a workload,
`load.py`, and `rounds.py`, which joins them.  `report.py`, `record.py` and `plots.py` are what becomes of the figures.
"""
