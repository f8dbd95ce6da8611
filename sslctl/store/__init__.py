"""The state: its interfaces by concern, and the databases that keep it."""
