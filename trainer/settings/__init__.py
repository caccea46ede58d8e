"""The settings of the commands: one frozen object for each, checked before anything starts. Loads no torch."""
