"""A model: what it is made of, how it scores, and how it lies on disk."""
