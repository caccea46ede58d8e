"""Picture and mask files: the one reader of each, every one opened once, and what is to be said of them."""
