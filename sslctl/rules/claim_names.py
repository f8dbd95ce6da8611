"""The names of claims. No other module spells one."""

from __future__ import annotations

from sslctl.rules.model import Process
from sslctl.rules.singapore import format_sgt

TICK = "tick"
"""Held by the running tick."""

KEY_ROTATION = "keys rotate"
"""Held while the encryption keys of the state are rotated."""

HISTORY_PRUNING = "history prune"
"""Held while old history is moved into archives."""

_DOMAIN = "domain:"


def domain_claim(name: str) -> str:
    """Return the name of the claim on the domain `name`, a lower-case A-label."""
    return f"{_DOMAIN}{name}"


def domain_of(claim: str) -> str | None:
    """Return the domain of a claim on a domain; None for another claim."""
    return claim[len(_DOMAIN) :] if claim.startswith(_DOMAIN) else None


def describe(claim: str) -> str:
    """Return what a claim is about, in words."""
    named = {
        TICK: "the tick",
        KEY_ROTATION: "the rotation of the keys",
        HISTORY_PRUNING: "the pruning of the history",
    }
    return named.get(claim) or domain_of(claim) or claim


def describe_owner(owner: Process) -> str:
    """Return the process that holds a claim, in words."""
    since = f" (since {format_sgt(owner.since)})" if owner.since else ""
    return f"process {owner.pid} on {owner.host}{since}"
