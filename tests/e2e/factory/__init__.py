"""A factory in ten minutes: everything that an operator and a line engineer do with the system, on Apache Kafka, from nothing."""
