"""The gate's doors on this side of the registry: what is compared, where it comes from, and how the verdict is shown."""
