"""Where the archive's files lie: a folder, or a store of objects, behind one protocol."""
