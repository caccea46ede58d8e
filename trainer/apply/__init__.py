"""`trainer apply`: scores files, and shows the verdicts."""
