"""Who may do what at the registry: the table of routes, and the policies that decide for each."""
