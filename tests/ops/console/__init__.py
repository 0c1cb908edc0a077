"""The manhole: its keys, its protocol against strangers, and what operators type."""
