"""The output of the commands. Nothing outside this package writes to standard output."""
