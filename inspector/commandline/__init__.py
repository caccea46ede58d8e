"""How both packages make a command line of their settings: a leaf that needs pydantic and the standard library."""
