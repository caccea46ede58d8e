"""An OS thread notices what hangs, and ends the process."""
