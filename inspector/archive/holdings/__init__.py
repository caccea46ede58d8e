"""The contents of the archive: a day's pictures and index, the transaction that changes them, and their removal by age and size."""
