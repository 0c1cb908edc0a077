"""What the node says over HTTP, without sockets and in a browser."""
