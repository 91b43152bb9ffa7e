"""Campaigns: processors that are killed, moved about and sabotaged, and a ledger that says what became of every event."""
