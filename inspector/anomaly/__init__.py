"""The domain: pictures in, anomaly maps and verdicts out. No broker, no wire types, no I/O beyond bundles."""
