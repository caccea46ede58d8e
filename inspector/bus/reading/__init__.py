"""Readers that are no stage of the inspector: a group of results, and single records at known places."""
