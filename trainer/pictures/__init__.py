"""Picture and mask files: the one reader of each, which opens every file once, and remarks about them."""
