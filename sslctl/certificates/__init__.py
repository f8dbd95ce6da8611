"""Certificates and keys: reading, checking and writing PEM, X.509 and PKCS#12."""
