"""What `trainer check` does: facts of images before a fit, what looks odd, what would refuse them, and the contact sheet."""
