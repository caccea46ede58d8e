"""What can be said of images before a fit: facts about them, what looks odd, and the contact sheet."""
