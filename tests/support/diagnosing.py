"""Runs of `sslctl check`, and what they found."""

from __future__ import annotations

from typing import Any

from tests.support.cdn import Cdn

NAME = "shop.example.com"


def diagnose(cdn: Cdn, *names: str) -> Any:
    """Return the JSON of `check` about the first of `names`, with the exit code of the command."""
    result = cdn.sslctl("check", *(names or (NAME,)), "--json")
    return {**result.json["diagnoses"][0], "exit": result.exit_code}


def step(diagnosis: Any, wanted: str, name: str = NAME) -> Any:
    """Return the step `wanted` about `name`."""
    return next(each for each in diagnosis["steps"] if (each["step"], each["name"]) == (wanted, name))
