"""What the observer finds of processors: whether they run, what they have not processed, and their quarantined events."""
