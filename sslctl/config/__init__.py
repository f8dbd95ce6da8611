"""The configuration: one TOML file, overridden by environment variables, as immutable settings."""
