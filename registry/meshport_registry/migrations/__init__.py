"""The registry's schema changes, run at every start."""
