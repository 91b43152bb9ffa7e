"""What becomes of the events that a publisher was handed: who handed them in, and how each ended."""
