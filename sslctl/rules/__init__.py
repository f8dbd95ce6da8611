"""The rules of sslctl, as pure functions and immutable values: nothing here reads a file, a clock or the network."""
