"""Who asks: the callers of the registry, and what each request has to show for its caller to be known."""
