"""The names of claims. No other module spells one."""

from __future__ import annotations

TICK = "tick"
"""Held by the running tick."""

KEY_ROTATION = "keys rotate"
"""Held while the encryption keys of the state are rotated."""


def domain_claim(name: str) -> str:
    """Return the name of the claim on the domain `name`, a lower-case A-label."""
    return f"domain:{name}"
