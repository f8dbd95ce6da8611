"""The SSL Management page: the same calls into the core as the commands, rendered as HTML."""
