"""The versions of a domain's certificate."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.rules.model import Source
from sslctl.rules.versions import days_left, pick_reusable, version_state
from tests.unit.rules.builders import NOW, WEEK, certificate, domain, leaf


def test_pick_reusable_returns_the_usable_version_with_the_latest_expiry() -> None:
    short, long = certificate(1, left=WEEK), certificate(2, left=2 * WEEK)
    gone = [
        certificate(3, left=-WEEK),
        certificate(4, left=9 * WEEK, revoked_at=NOW),
        certificate(5, left=9 * WEEK, names=("a.test", "b.test")),
        certificate(6, left=9 * WEEK, source=Source.TEXT),
    ]
    assert pick_reusable([*gone, short, long], ("a.test",), NOW) is long
    assert pick_reusable(gone, ("a.test",), NOW) is None


@pytest.mark.parametrize(
    ("left", "days"),
    [
        (timedelta(hours=25), 1),
        (timedelta(hours=1), 0),
        (timedelta(hours=-1), -1),
        (timedelta(days=-2.5), -2),
    ],
    ids=str,
)
def test_days_left_is_negative_after_the_expiry(left: timedelta, days: int) -> None:
    assert days_left(leaf(left=left), NOW) == days


@pytest.mark.parametrize(
    ("stamps", "place", "state"),
    [
        ({}, "both", "serving"),
        ({}, "wanted", "uploading"),
        ({"uploaded_at": NOW}, "wanted", "activating"),
        ({"verified_at": NOW}, "neither", "replaced"),
        ({}, "neither", "unused"),
        ({"left": -WEEK}, "neither", "expired"),
        ({"left": -WEEK}, "both", "expired"),
        ({"revoked_at": NOW}, "both", "revoked"),
    ],
    ids=lambda value: " ".join(value) or "no stamp" if isinstance(value, dict) else None,
)
def test_version_state_follows_from_stamps_and_place(
    stamps: dict[str, object], place: str, state: str
) -> None:
    version = certificate(**stamps)  # type: ignore[arg-type]
    held = domain(
        wanted=version if place in ("both", "wanted") else None, serving=version if place == "both" else None
    )
    assert version_state(version, held, NOW) == state
