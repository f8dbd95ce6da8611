"""Issuance for one domain, from C4's record to the verified upload, and batches of it."""
