"""Readers that are no stage of the inspector: a group of results, single records at known places, a small topic as a whole."""
