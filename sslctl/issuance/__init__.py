"""One domain, from C4's record to the verified upload; and many of them at once."""
