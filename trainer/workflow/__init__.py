"""A fit from its settings to its bundle: the chapter's procedures in a row, what is said of them, and what is left behind."""
