"""The command compare: what a model on trial in the shadow says, beside the verdicts that counted."""
