"""Exit statuses, by their names in sysexits.h."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a shell can tell by."""

    OK = 0
    USAGE = 64
    """The command was not used as its help says."""
    UNAVAILABLE = 69
    """What was asked for cannot be had now."""
    SOFTWARE = 70
    """A fault of ours."""
    TEMPORARY = 75
    """It may work later."""
    CONFIG = 78
    """Something is wrong with a configuration."""
    INTERRUPTED = 130
    """By Ctrl-C, as shells have it."""
