"""read_dl_dataset_anomaly: data sets of folders, manifests and archives."""
