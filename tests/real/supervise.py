"""Starts a daemon, and ends with its status: `supervise.py PIDFILE LOGFILE command ...`.

Its standard output is `daemon PID`, then the daemon's log as it grows.  A daemon is nobody's child but init's; here it
is ours, since we ask the kernel for what init gets (PR_SET_CHILD_SUBREAPER).
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def main(pidfile: str, logfile: str, *command: str) -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    started = subprocess.run(command, stdout=sys.stderr, check=False)
    if started.returncode:
        return started.returncode
    pid = int(Path(pidfile).read_text())
    print("daemon", pid, flush=True)
    # tail waits for changes (inotify), and follows a file that is moved away and made anew.
    with subprocess.Popen(["tail", "-n", "+1", "-s", "0.1", f"--pid={pid}", "-F", logfile]) as tail:
        _, status = os.waitpid(pid, 0)
        tail.wait()
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
