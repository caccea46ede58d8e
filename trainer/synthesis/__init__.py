"""Defects made from ok pictures, for use where there are no real ones."""
