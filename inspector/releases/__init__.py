"""Releases on the bus: what is released now, who changed it, and how a change is written."""
