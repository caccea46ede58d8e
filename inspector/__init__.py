"""The inspection service: frames from Kafka in, one verdict each out. `pipeline.py` shows the flow."""
