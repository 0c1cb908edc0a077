"""Other nodes: pure parts by tables and Hypothesis, whole clusters in memory, attacks, a few real sockets."""
