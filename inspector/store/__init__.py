"""Pictures that a frame names instead of carrying them: which places are allowed, and how they are read."""
