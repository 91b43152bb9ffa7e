"""What users of a port do: publish, subscribe, replay."""
