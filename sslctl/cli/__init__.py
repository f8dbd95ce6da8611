"""The command line of sslctl: one file a command."""
