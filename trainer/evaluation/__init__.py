"""evaluate_dl_model: what a model is worth on labelled images."""
