"""A mesh on this machine: an embedded Kafka, the registry, and the processors, each a process of its own."""
