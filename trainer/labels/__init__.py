"""What the names of folders and files say about images: ok, nok or nothing."""
