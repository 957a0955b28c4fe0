"""The verbs that the command line and notebooks share, one a file."""
