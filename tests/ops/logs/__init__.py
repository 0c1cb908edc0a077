"""Tests of the process's log."""
