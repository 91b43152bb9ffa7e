"""A processor on Kafka: its plan, the messages that it reads, and those that it writes."""
