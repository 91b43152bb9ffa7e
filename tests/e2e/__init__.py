"""A mesh end to end, by its commands."""
