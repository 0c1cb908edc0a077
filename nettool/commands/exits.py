"""Exit statuses, by their names in sysexits.h."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a shell can tell by."""

    OK = 0
    USAGE = 64
    """The command was not used as its help says."""
    NO_INPUT = 66
    """A file that is needed is not there."""
    UNAVAILABLE = 69
    """What was asked for cannot be had now."""
    SOFTWARE = 70
    """A fault of ours."""
    CANNOT_CREATE = 73
    """A file cannot be made, or is there already."""
    TEMPORARY = 75
    """It may work later."""
    CONFIG = 78
    """Something is wrong with a configuration."""
    INTERRUPTED = 130
    """By Ctrl-C, as shells have it."""
