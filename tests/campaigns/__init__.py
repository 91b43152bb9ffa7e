"""Campaigns: processors are killed, reassigned and sabotaged, and a ledger accounts for every event."""
