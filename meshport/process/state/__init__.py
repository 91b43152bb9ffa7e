"""The state of a processor: its rows by key, their changelog, and what each operator keeps in them."""
