"""The command line: a module for each command, except for those that have a room of their own."""
