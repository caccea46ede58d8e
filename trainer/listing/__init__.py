"""Which images there are, with labels, splits and masks, before any is opened; and what happened to every other file."""
