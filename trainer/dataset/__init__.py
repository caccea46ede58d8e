"""read_dl_dataset_anomaly: images, labels and masks from folders, manifests and archives."""
