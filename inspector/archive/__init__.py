"""`inspector archive`: keeps pictures with their verdicts where the trainer reads them. No torch."""
