"""Faults, attacks and overload on real Apache Kafka, judged by a checker that knows nothing of the service; docs/chaos.md tells more."""
