"""The rules of sslctl: pure functions and immutable values, without access to files, clocks or the network."""
