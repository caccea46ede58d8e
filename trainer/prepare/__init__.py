"""split_dl_dataset and preprocess_dl_dataset: prepare a data set for training."""
