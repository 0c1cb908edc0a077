"""Options: where they are written, and what they come to."""
