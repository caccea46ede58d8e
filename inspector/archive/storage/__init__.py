"""Where the archive's files are stored: a folder or a store of objects, behind one protocol."""
