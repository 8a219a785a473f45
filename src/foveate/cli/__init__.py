"""The command line: one typed function and one file for each command."""
