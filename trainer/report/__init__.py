"""The page that a fit leaves behind."""
