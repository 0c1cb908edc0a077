"""
logs: what the node's process writes down.

In: every event of the process, nettool's and Twisted's.  Out: one line for each that matters, as text or JSON, with a
stable name; of a burst a few lines and a count.  Never: text that a peer sent, above level debug; a control character;
an exception; a wait for whoever reads the log.

`events` the table of names · `plain` values as plain data · `entries` what an event becomes · `bursts` what of many
passes · `sinks` where lines go · `log` the observer · `programs` how twistd and twist come to use it.
"""

from nettool.ops.logs.entries import LEVELS
from nettool.ops.logs.log import FORMATS, Log
from nettool.ops.logs.programs import begin, observe

__all__ = ["FORMATS", "LEVELS", "Log", "begin", "observe"]
