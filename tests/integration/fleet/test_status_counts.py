"""The first tick of each day in Singapore records the number of domains by status."""

from __future__ import annotations

from datetime import UTC, date, datetime

from sslctl.errors import Exit
from sslctl.rules.reasons import Status
from tests.support.cdn import Cdn

MIDNIGHT = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)  # 00:00 of the 24th in Singapore
DAY = date(2026, 11, 24)


def test_first_tick_of_a_day_records_the_counts_after_its_passes(cdn: Cdn) -> None:
    cdn.add_domain("elsewhere.example.com", points_at="parking.elsewhere.test")
    cdn.add_domain("well.example.com")
    assert cdn.sslctl("add", "elsewhere.example.com", "well.example.com", "--no-wait").exit_code == 0
    cdn.clock.at = MIDNIGHT
    app = cdn.app()
    assert app.store.status_counts(DAY, DAY) == {}
    assert cdn.sslctl("daemon-tick").exit_code == Exit.SOME_NOT_WELL
    recorded = dict.fromkeys(Status, 0) | {Status.SUCCESS: 1, Status.FAILURE: 1}
    assert app.store.status_counts(DAY, DAY) == {DAY: recorded}
    assert cdn.sslctl("delete", "--yes", "elsewhere.example.com").exit_code == 0
    cdn.clock.move(hours=23)
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert app.store.status_counts(DAY, date.max) == {DAY: recorded}
    cdn.clock.move(hours=1)
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert app.store.status_counts(date(2026, 11, 25), date.max) == {
        date(2026, 11, 25): dict.fromkeys(Status, 0) | {Status.SUCCESS: 1}
    }
