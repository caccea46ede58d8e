"""Kafka behind protocols. Only this room knows aiokafka."""
