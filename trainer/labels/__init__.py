"""What the names of folders and files say of images: ok, nok or nothing."""
