"""How both packages make a command line from their settings; needs only pydantic and the standard library."""
