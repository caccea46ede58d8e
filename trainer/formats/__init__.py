"""Which picture formats are read; what a file of each format says about itself, and its pixels."""
