"""The settings of the service and its clients, from the command line, the environment and a file."""
