"""A module for each campaign; it holds one `CAMPAIGN` and is found by its place."""
