"""The benchmark's own parts: what it says to servers, what it makes of what it measured.  Never: a time.

tests/real/test_benchmark.py runs it as a whole.
"""
