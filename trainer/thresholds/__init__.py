"""compute_dl_anomaly_thresholds: thresholds from scores of images that the model has not seen."""
