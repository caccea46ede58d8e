"""The commands, and what each does with the chapter's procedures."""
