"""Command-line clients of the bus: a camera, a screen and the topics. They need the extra `client`, and no torch."""
