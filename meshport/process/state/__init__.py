"""The state of processors: rows that a changelog restores, and what groups, windows, joins and de-duplication keep in them."""
