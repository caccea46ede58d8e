"""Passwords, tokens, certificates and keys, read from the files that the settings name; nothing here prints what it reads."""
