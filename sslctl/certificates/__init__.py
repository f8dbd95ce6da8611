"""Certificates and keys: PEM, X.509 and PKCS#12."""
