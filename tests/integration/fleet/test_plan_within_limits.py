"""The plan and the CA's limit of new orders: what counts as new leaves no order for domains that wait."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from sslctl.fleet import planning
from sslctl.rules.limits import Limit, LimitKind, Limits, Scope
from sslctl.rules.model import Finding, Source
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import RenewalRule
from tests.support.fakes import START, Clock
from tests.support.store_backends import SqliteBackend
from tests.support.store_cases import issue, serve

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("days", "sans", "planned"),
    [
        (84, (), ["due.test", "waiting.test"]),
        (119, (), ["due.test", "waiting.test"]),
        (120, (), ["due.test"]),
        (300, (), ["due.test"]),
        (84, ("www.due.test",), ["due.test"]),
    ],
    ids=str,
)
def test_renewal_that_counts_as_new_leaves_no_order_for_a_waiting_domain(
    tmp_path: Path, days: int, sans: tuple[str, ...], planned: list[str]
) -> None:
    clock, limits = Clock(), Limits(orders=Limit(1, HOUR))
    with closing(SqliteBackend(tmp_path).open(clock, limits=limits)) as store:
        domain = serve(store, issue(store, store.add_domain("due.test", (), Source.C4)))
        store.record_finding(domain, None)
        clock.at = now = START + days * DAY
        store.update_domain(store.domain("due.test"), sans, Source.C4)
        waits = Finding(Code.BUDGET_HELD, "used up", str(Scope(LimitKind.ORDERS)), now, now + HOUR)
        store.record_finding(store.add_domain("waiting.test", (), Source.C4), waits)
        plan = planning.plan(store, now, RenewalRule(7 * DAY))
        assert [task.name for task in plan.tasks] == planned
