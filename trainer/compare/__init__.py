"""The command compare: what a model on trial in the shadow says, compared with the verdicts that counted."""
