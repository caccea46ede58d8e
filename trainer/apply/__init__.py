"""What `trainer apply` does: files to verdicts, and how they are shown."""
