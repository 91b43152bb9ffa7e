"""What runs stages safely on Kafka: the worker, its log, checkpoints, commits, quarantine and redrive."""
