"""Changes: compare-and-set, and each with its event or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sslctl.errors import Busy, NotManaged, StateError
from sslctl.rules.model import Domain, Source
from sslctl.rules.reasons import Code
from sslctl.rules.remarks import Remarks
from sslctl.store.interface import Store
from tests.support.store_backends import Backend
from tests.support.store_cases import (
    ADVANCES,
    NAME,
    Step,
    finding,
    held,
    issue,
    open_order,
    serve,
)

# Compare-and-set


@pytest.mark.parametrize("step", [*ADVANCES.values(), open_order], ids=[*ADVANCES, "open_order"])
def test_change_of_a_stale_domain_raises_busy_and_writes_nothing(
    store: Store, domain: Domain, backend: Backend, step: Step
) -> None:
    served = serve(store, issue(store, domain))
    if step is not open_order:
        open_order(store, served)
    stale = served
    store.record_finding(served, finding(Code.NXDOMAIN))
    before = backend.dump()
    with pytest.raises(Busy, match=r"^a\.test was changed by another sslctl meanwhile$"):
        step(store, stale)
    assert backend.dump() == before


@pytest.mark.parametrize("step", ADVANCES.values(), ids=ADVANCES)
def test_every_change_makes_the_earlier_domain_stale(store: Store, busy_domain: Domain, step: Step) -> None:
    assert isinstance(step(store, busy_domain), Domain)
    with pytest.raises(Busy):
        store.record_finding(busy_domain, None)


@pytest.mark.parametrize("step", [step for name, step in ADVANCES.items() if name != "delete_domain"])
def test_returned_domain_is_the_one_to_change_next(store: Store, busy_domain: Domain, step: Step) -> None:
    changed = step(store, busy_domain)
    assert changed == store.domain(NAME)
    assert isinstance(changed, Domain)
    assert store.record_finding(changed, None).revision == changed.revision + 1


def test_deleted_domain_cannot_be_changed(store: Store, domain: Domain) -> None:
    store.delete_domain(domain)
    for known in (domain, replace(domain, revision=domain.revision + 1)):
        with pytest.raises((Busy, NotManaged)):
            store.record_finding(known, None)


# A change and its event


_STAMPS: dict[str, Step] = {
    "mark_uploaded": lambda store, domain: store.mark_uploaded(held(domain)),
    "mark_revoked": lambda store, domain: store.mark_revoked(held(domain)),
    "add_domain": lambda store, _: store.add_domain("b.test", (), Source.C4),
    "record_remarks": lambda store, domain: store.record_remarks(domain, Remarks(note="mailed")),
}
# The steps that write an event for a domain that is served.
_WITH_EVENT = {
    name: step for name, step in {**ADVANCES, **_STAMPS}.items() if name != "record_finding healthy"
}


@pytest.mark.parametrize("step", _WITH_EVENT.values(), ids=_WITH_EVENT)
def test_change_is_rolled_back_when_its_event_cannot_be_written(
    store: Store, busy_domain: Domain, backend: Backend, step: Step
) -> None:
    # A certificate that is served already writes no event.
    known = store.mark_not_serving(busy_domain, "") if step is ADVANCES["mark_serving"] else busy_domain
    before = backend.dump()
    with backend.refusing_events():
        refusing = backend.dump()
        with pytest.raises(StateError, match="no more events"):
            step(store, known)
        assert backend.dump() == refusing
    assert backend.dump() == before
    step(store, known)
    assert backend.dump() != before


@pytest.mark.parametrize("step", _WITH_EVENT.values(), ids=_WITH_EVENT)
def test_change_writes_exactly_one_event(
    store: Store, busy_domain: Domain, backend: Backend, step: Step
) -> None:
    known = store.mark_not_serving(busy_domain, "") if step is ADVANCES["mark_serving"] else busy_domain

    def count_events() -> int:
        with backend.sql() as sql:
            return int(sql("SELECT count(*) FROM event", ())[0][0])

    before = count_events()
    step(store, known)
    assert count_events() == before + 1
