"""The reference C4: the whole published contract, with fault injection."""
