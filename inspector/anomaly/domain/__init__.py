"""The region of interest of a camera."""
