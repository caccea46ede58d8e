"""evaluate_dl_model: how good a model is on labelled images."""
