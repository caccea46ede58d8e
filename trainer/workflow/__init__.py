"""A fit from its settings to its bundle: the chapter's procedures in their order, remarks about them, and the files that are written."""
