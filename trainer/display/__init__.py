"""dev_display_*: results, evaluations and trainings as pictures."""
