"""A frame in flight: its lease, the memory that it holds, and the model that judges it."""
