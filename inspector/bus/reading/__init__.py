"""Readers beside the frames: a group of results, single records at known places, a small topic as a whole, the ends of topics."""
