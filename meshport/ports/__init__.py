"""Publishing to, subscribing to and replaying the ports of data products."""
