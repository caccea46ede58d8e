"""The inspection service: it reads frames from Kafka and answers each with one verdict. `pipeline.py` shows the flow."""
