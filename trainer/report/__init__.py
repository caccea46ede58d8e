"""The page that a fit writes."""
