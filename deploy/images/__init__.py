"""The container images: how they are built, and what they install."""
