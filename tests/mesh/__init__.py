"""The mesh: pure framing and queues, and its transports on the real reactor."""
