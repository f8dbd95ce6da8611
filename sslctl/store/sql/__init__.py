"""SQL that every supported database understands."""
