"""Metrics for Prometheus: what they mean, how they are read from the store, and the text that a collector reads."""
