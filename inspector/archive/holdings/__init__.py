"""What the archive holds: a day's pictures and index, the transaction that changes them, and what is removed in time."""
