"""The reference C4: the whole published contract, with switches for faults."""
