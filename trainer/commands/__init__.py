"""The command line: a module for each command, but for those that have a room of their own."""
