"""The configuration: one TOML file, overridden by environment variables, read into immutable settings."""
