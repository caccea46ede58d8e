"""train_dl_model: from an initial model and ok images to a trained one."""
