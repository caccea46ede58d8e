"""The messages that say which model judges a camera, and who changed it."""
