"""Changes: compare-and-set, and each with its event or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sslctl.errors import Busy, NotManaged, StateError
from sslctl.rules.model import Domain, Source
from sslctl.rules.reasons import Code
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
def test_old_facts_change_nothing(store: Store, domain: Domain, backend: Backend, step: Step) -> None:
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
def test_every_change_makes_what_was_known_before_old(store: Store, busy_domain: Domain, step: Step) -> None:
    assert isinstance(step(store, busy_domain), Domain)
    with pytest.raises(Busy):
        store.record_finding(busy_domain, None)


@pytest.mark.parametrize("step", [step for name, step in ADVANCES.items() if name != "delete_domain"])
def test_what_a_change_gives_is_what_the_next_one_starts_from(
    store: Store, busy_domain: Domain, step: Step
) -> None:
    changed = step(store, busy_domain)
    assert changed == store.domain(NAME)
    assert isinstance(changed, Domain)
    assert store.record_finding(changed, None).revision == changed.revision + 1


def test_a_deleted_domain_cannot_be_changed_by_who_knew_it_before(store: Store, domain: Domain) -> None:
    store.delete_domain(domain)
    for known in (domain, replace(domain, revision=domain.revision + 1)):
        with pytest.raises((Busy, NotManaged)):
            store.record_finding(known, None)


# A change and its event


_STAMPS: dict[str, Step] = {
    "mark_uploaded": lambda store, domain: store.mark_uploaded(held(domain)),
    "mark_revoked": lambda store, domain: store.mark_revoked(held(domain)),
    "add_domain": lambda store, _: store.add_domain("b.test", (), Source.C4),
}
# Steps that tell something for a domain that is served: what was wanted is wanted still, so that is no news there.
_TOLD = {name: step for name, step in {**ADVANCES, **_STAMPS}.items() if name != "record_finding healthy"}


@pytest.mark.parametrize("step", _TOLD.values(), ids=_TOLD)
def test_a_change_whose_event_cannot_be_written_does_not_happen(
    store: Store, busy_domain: Domain, backend: Backend, step: Step
) -> None:
    # A certificate that is served already is served without an event; another one is not.
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


@pytest.mark.parametrize("step", _TOLD.values(), ids=_TOLD)
def test_a_change_is_told_once(store: Store, busy_domain: Domain, backend: Backend, step: Step) -> None:
    known = store.mark_not_serving(busy_domain, "") if step is ADVANCES["mark_serving"] else busy_domain

    def told() -> int:
        with backend.sql() as sql:
            return int(sql("SELECT count(*) FROM event", ())[0][0])

    before = told()
    step(store, known)
    assert told() == before + 1
