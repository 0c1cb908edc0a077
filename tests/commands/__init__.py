"""The command `nettool`."""
