"""What operators see and may do: snapshots, metrics, the web door."""
