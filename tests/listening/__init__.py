"""Endpoints, and the listeners on them."""
