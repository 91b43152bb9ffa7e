"""Events whose handling failed: kept beside their topic, tried again, quarantined."""
