"""Whether a new model is worse than the one in use, on the same images."""
