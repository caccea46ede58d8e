"""The stages of a frame's life; each knows its own work and no other stage."""
