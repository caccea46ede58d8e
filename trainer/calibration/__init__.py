"""compute_dl_anomaly_thresholds: images that a model has not seen are scored, and its thresholds are laid by them."""
