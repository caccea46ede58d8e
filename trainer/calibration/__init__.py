"""compute_dl_anomaly_thresholds: scores images that a model has not seen, and sets its thresholds from these scores."""
