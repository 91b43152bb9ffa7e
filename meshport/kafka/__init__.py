"""Kafka: the client, topics, and a broker for everyone. The only importer of confluent_kafka."""
