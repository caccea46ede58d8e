"""The event loop and the threads beside it."""
