"""The names of claims, under which processes take turns; nothing else spells one."""

from __future__ import annotations

TICK = "tick"
"""Held by the tick that runs."""

KEY_ROTATION = "keys rotate"
"""Held while the keys that encrypt the state are rotated."""


def domain_claim(name: str) -> str:
    """Return the name of the claim on the domain `name`, a lower-case A-label."""
    return f"domain:{name}"
