"""One peer's conversation: the session alone, the connection around it, and all of them."""
