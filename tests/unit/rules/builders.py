"""Leaves, certificates, findings and domains for the tests of the rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sslctl.rules.model import Certificate, Domain, Finding, Leaf, Source
from sslctl.rules.reasons import Code

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
WEEK = timedelta(days=7)


def leaf(
    *, left: timedelta, lifetime: timedelta = timedelta(days=90), names: tuple[str, ...] = ("a.test",)
) -> Leaf:
    end = NOW + left
    return Leaf(names, "ab" * 32, "1f", "CN=CA", "ECDSA P-256", end - lifetime, end)


def certificate(
    number: int = 1, *, left: timedelta = timedelta(days=60), source: Source = Source.C4, **kinds: object
) -> Certificate:
    stamps = {key: value for key, value in kinds.items() if key.endswith("_at")}
    rest = {key: value for key, value in kinds.items() if key not in stamps}
    return Certificate(number, 1, number, source, leaf(left=left, **rest), NOW, **stamps)  # type: ignore[arg-type]


def finding(code: Code, *, retry: timedelta | None = timedelta(0)) -> Finding:
    return Finding(code, "this", "that", NOW, None if retry is None else NOW + retry)


def domain(**changes: object) -> Domain:
    values: dict[str, object] = {
        "id": 1,
        "name": "a.test",
        "sans": (),
        "source": Source.C4,
        "created_at": NOW,
        "checked_at": NOW,
    }
    return Domain(**(values | changes))  # type: ignore[arg-type]


def serving(**kinds: object) -> dict[str, object]:
    held = certificate(**kinds)  # type: ignore[arg-type]
    return {"wanted": held, "serving": held}
