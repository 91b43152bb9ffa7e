"""The delivery of published events: the caller of each, and its outcome."""
