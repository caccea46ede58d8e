"""A model: its parts, how it scores, and how it is stored on disk."""
