"""Inputs made by a fuzzer that watches which branches they reach; README.md says how to run it.

In: any bytes at all.  Out: nothing, or an exception: what the code does is not what a plainer version of it says.
Never: a socket, a clock, chance; the same bytes give the same outcome.

`tape` bytes as choices · `cutter`, `requests`, `replies`, `names`, `session` a target each · `plain` a node of a few
plain lines · `targets` the table of them · `engine` one target under the fuzzer · `__main__` the command.
"""
