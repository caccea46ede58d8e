"""split_dl_dataset and preprocess_dl_dataset: a data set made ready to be trained on."""
