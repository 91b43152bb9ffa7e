"""Kafka messages of processors: what an input message is read as, and what an output is written as."""
