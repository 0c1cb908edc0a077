"""Whole nodes in memory: services on a clock, their peers as transports in memory."""
