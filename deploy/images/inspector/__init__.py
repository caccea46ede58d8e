"""What lies in the inspector's image beside the program."""
