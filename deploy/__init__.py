"""What runs around the product: the demo, local brokers, deployment files. Not part of the wheel."""
