"""Runs a command with sockets as systemd passes them: `activate.py NAME=DESCRIPTOR ... -- command ...`."""

import os
import sys

FIRST = 3  # SD_LISTEN_FDS_START


def main(*words: str) -> None:
    end = words.index("--")
    passed = [word.partition("=") for word in words[:end]]
    # Out of the way first: one of them may have the number that another is to get.
    copies = [os.dup2(int(number), 100 + index) for index, (_, _, number) in enumerate(passed)]
    for index, copy in enumerate(copies):
        os.dup2(copy, FIRST + index, inheritable=True)
        os.close(copy)
    names = ":".join(name for name, _, _ in passed)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(passed)), "LISTEN_FDNAMES": names}
    os.execvp(words[end + 1], words[end + 1 :])


if __name__ == "__main__":
    main(*sys.argv[1:])
