"""Other nodes: identity and trust, where they are."""
