"""The fail-safe gate: verdicts in, one action for each part out. Needs neither torch nor numpy."""
