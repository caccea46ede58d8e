"""What the inspector's archive writes and the trainer reads: names of files, and rows of the index."""
