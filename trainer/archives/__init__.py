"""Where an archive of pictures lies, in a folder or in an S3 store, and how its files come to this machine."""
