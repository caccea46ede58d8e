"""What `inspector config --check` tries before a line depends on it."""
