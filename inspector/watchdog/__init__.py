"""What hangs is found out from an OS thread, and ends the process."""
