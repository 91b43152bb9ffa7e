"""Kafka's clients: admin, consumer, producer, transactions. The only importer of confluent_kafka."""
