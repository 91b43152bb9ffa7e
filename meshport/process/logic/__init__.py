"""The logic of processors: operators, expressions, aggregators. Pure: no Kafka, no clock, no state."""
