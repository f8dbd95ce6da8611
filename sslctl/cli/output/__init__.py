"""What the commands print and write: the only writer of standard output."""
