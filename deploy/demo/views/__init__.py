"""What a run of the demo shows: tables and a moment of them in the terminal, the page with its chart."""
