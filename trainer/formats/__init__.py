"""Which picture formats are read, what a file of each says of itself, and its pixels."""
