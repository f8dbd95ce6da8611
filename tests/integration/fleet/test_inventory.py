"""The comparison of C4's list of domains with the state: what is believed, and what is not."""

from __future__ import annotations

import pytest

from sslctl.control_plane import Installed, NoInventory, Record, State, Unanswered, Unauthorized
from sslctl.errors import BadInput, ConfigError, TryLater
from sslctl.fleet import inventory
from sslctl.fleet.inventory import Comparison, Group, compare
from sslctl.issuance.suspicions import SuspicionLimit
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code
from sslctl.store.sqlite.store import SqliteStore
from tests.support.fakes import Clock
from tests.support.listing_c4 import ListingC4
from tests.support.store_cases import bundle, finding, leaf

FLEET = [f"d{number:02}.example.com" for number in range(20)]
LIMIT = SuspicionLimit()


@pytest.fixture
def c4(clock: Clock, store: SqliteStore) -> ListingC4:
    """A C4 with `FLEET`, which is managed."""
    made = ListingC4(clock)
    for name in FLEET:
        made.create(name, f"{name}.cdn.test")
    store.add_domains(FLEET)
    return made


def names(compared: Comparison, group: Group) -> list[str]:
    return [each.name for each in compared.groups[group].first]


def differing(compared: Comparison) -> dict[Group, list[str]]:
    return {group: names(compared, group) for group in Group if compared.number(group)}


def test_nothing_differs_if_c4_has_what_is_managed(store: SqliteStore, c4: ListingC4) -> None:
    compared = compare(store, c4, LIMIT)
    assert (compared.listed, compared.managed_listed, compared.managed) == (20, 20, 20)
    assert differing(compared) == {}


def test_names_that_are_unmanaged_deleted_or_unusable_are_told_apart(
    store: SqliteStore, c4: ListingC4
) -> None:
    for name in ("new.example.com", "co.uk"):
        c4.create(name, "target.cdn.test")
    store.delete_domain(store.domain(FLEET[0]))
    assert differing(compare(store, c4, LIMIT)) == {
        Group.UNMANAGED: ["new.example.com"],
        Group.DELETED: [FLEET[0]],
        Group.UNUSABLE: ["co.uk"],
    }


def test_domain_that_c4_dropped_is_confirmed_by_a_request_for_it(store: SqliteStore, c4: ListingC4) -> None:
    c4.delete(FLEET[0])
    c4.lacking = [FLEET[1]]
    compared = compare(store, c4, LIMIT)
    assert differing(compared) == {Group.DROPPED: [FLEET[0]], Group.UNCONFIRMED: [FLEET[1]]}


def test_no_answer_about_a_domain_that_the_list_lacks_is_no_confirmation(
    store: SqliteStore, c4: ListingC4
) -> None:
    def fail(record: Record) -> Record:
        if record.name == FLEET[0]:
            raise Unanswered("answered 503")
        return record

    listed = list(c4.inventory())
    c4.read_faults.append(fail)
    c4.inventory = lambda: iter(listed[1:])  # type: ignore[method-assign]
    assert differing(compare(store, c4, LIMIT)) == {Group.UNCONFIRMED: [FLEET[0]]}


@pytest.mark.parametrize(
    ("number", "is_believed"),
    [(5, True), (6, False), (19, False)],
    ids=["at the limit", "above", "nearly all"],
)
def test_list_that_lacks_many_managed_domains_is_not_believed(
    store: SqliteStore, c4: ListingC4, number: int, *, is_believed: bool
) -> None:
    c4.create("new.example.com", "target.cdn.test")
    c4.lacking = FLEET[:number]
    if is_believed:
        assert names(compare(store, c4, LIMIT), Group.UNCONFIRMED) == FLEET[:number]
        return
    with pytest.raises(
        TryLater, match=rf"lacks {number} of 20 managed ones, which is too many to be believed"
    ):
        compare(store, c4, LIMIT)


@pytest.mark.parametrize(("managed", "is_believed"), [(1, True), (2, False), (3, False)])
def test_list_without_any_of_several_managed_domains_is_not_believed(
    store: SqliteStore, c4: ListingC4, managed: int, *, is_believed: bool
) -> None:
    c4.create("new.example.com", "target.cdn.test")
    for name in FLEET:
        c4.delete(name)
    for name in FLEET[managed:]:
        store.delete_domain(store.domain(name))
    if is_believed:
        assert names(compare(store, c4, LIMIT), Group.DROPPED) == FLEET[:managed]
        return
    with pytest.raises(TryLater, match=f"lacks {managed} of {managed} managed ones"):
        compare(store, c4, LIMIT)


def test_domains_in_discard_do_not_make_the_list_unbelievable(store: SqliteStore, c4: ListingC4) -> None:
    for name in FLEET[:10]:
        store.record_finding(store.domain(name), finding(Code.C4_UNKNOWN_DOMAIN))
        c4.delete(name)
    assert differing(compare(store, c4, LIMIT)) == {Group.IN_DISCARD: FLEET[:10]}


def test_empty_list_is_not_believed_even_if_nothing_is_managed(store: SqliteStore, clock: Clock) -> None:
    with pytest.raises(TryLater, match="list of domains is empty, so nothing was compared"):
        compare(store, ListingC4(clock), LIMIT)


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (
            Unanswered("answered 500"),
            TryLater,
            "did not give all of its list of domains, so nothing was compared",
        ),
        (Unauthorized("answered 401"), ConfigError, "C4 refused our token, so nothing was compared"),
        (NoInventory("answered 501"), BadInput, "cannot list its domains, so nothing was compared"),
    ],
    ids=["unanswered", "unauthorized", "no list"],
)
def test_list_that_ends_early_proves_nothing(
    store: SqliteStore, c4: ListingC4, error: Exception, expected: type[Exception], message: str
) -> None:
    c4.error, c4.ends_after = error, 19
    with pytest.raises(expected, match=message):
        compare(store, c4, LIMIT)


def test_certificate_is_unknown_unless_it_is_of_any_domain_here(
    store: SqliteStore, c4: ListingC4, clock: Clock
) -> None:
    known = leaf(names=("other.example.com",))
    store.add_text_certificate("other.example.com", (), bundle(), known)
    c4.create("other.example.com", "target.cdn.test")
    c4.create("new.example.com", "target.cdn.test")
    for name, fingerprint in (
        (FLEET[0], known.fingerprint),
        (FLEET[1], "ef" * 32),
        ("new.example.com", "cd" * 32),
    ):
        c4.place(name, Installed(Source.TEXT, fingerprint, clock(), State.ACTIVE))
    compared = compare(store, c4, LIMIT)
    assert names(compared, Group.UNKNOWN_CERTIFICATE) == [FLEET[1], "new.example.com"]
    assert [each.is_managed for each in compared.groups[Group.UNKNOWN_CERTIFICATE].first] == [True, False]


def test_all_differences_are_counted_and_only_the_first_are_kept(
    store: SqliteStore, c4: ListingC4, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "MOST_KEPT", 3)
    for number in range(7):
        c4.create(f"new{number}.example.com", "target.cdn.test")
    found = compare(store, c4, LIMIT).groups[Group.UNMANAGED]
    assert (found.number, len(found.first)) == (7, 3)


def test_blocks_do_not_change_the_result(
    store: SqliteStore, c4: ListingC4, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    c4.create("new.example.com", "target.cdn.test")
    c4.delete(FLEET[7])
    for name in FLEET[:5]:
        c4.place(name, Installed(Source.C4, "ef" * 32, clock(), State.ACTIVE))
    whole = compare(store, c4, LIMIT)
    monkeypatch.setattr(inventory, "_BLOCK", 3)
    monkeypatch.setattr(inventory, "_LOOKED_UP_TOGETHER", 2)
    assert compare(store, c4, LIMIT) == whole


def test_comparison_ends_when_it_takes_too_long(store: SqliteStore, c4: ListingC4) -> None:
    with pytest.raises(TryLater, match="list of domains took too long"):
        compare(store, c4, LIMIT, is_over=lambda: True)
