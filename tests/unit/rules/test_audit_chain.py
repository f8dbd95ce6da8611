"""The audit chain, without a store: any edit of the events is found, and where it begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslctl.rules.audit_chain import Chain, Head, Record, Walk, mac_of, verify

BEGUN_AT = "2026-11-23T04:00:00Z"
CHAIN = Chain(bytes(32), BEGUN_AT, 0)
Events = list[tuple[Record, str | None]]

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_records = st.lists(
    st.tuples(
        st.integers(1, 9), st.none() | _texts, _texts, _texts, _texts, _texts, st.none() | st.integers(1, 9)
    ),
    min_size=1,
    max_size=6,
).map(lambda rows: [(number, *row) for number, row in enumerate(rows, start=1)])


def chained(records: list[Record], chain: Chain = CHAIN) -> tuple[Events, bytes]:
    """Return `records` with their MACs, and the state after the last one."""
    state, events = chain.first(), Events()
    for record in records:
        state = chain.advance(state, record)
        events.append((record, mac_of(state)))
    return events, state


def with_nul(text: str) -> str:
    return text.replace("\N{REPLACEMENT CHARACTER}", "\0")


def numbered(*numbers: int) -> list[Record]:
    return [(number, 1, "a.test", BEGUN_AT, "root", "found", f"{number}", None) for number in numbers]


@given(_records)
def test_unchanged_events_are_verified_whatever_they_hold(records: list[Record]) -> None:
    events, state = chained(records)
    found = verify(Walk(CHAIN), events, state, None)
    assert (found.intact, found.broken, found.head) == (
        len(records),
        "",
        Head(len(records), str(events[-1][1])),
    )
    assert (found.begun_at, found.inherited) == (datetime.fromisoformat(BEGUN_AT), 0)
    assert verify(Walk(CHAIN), events, state, found.head) == found


def test_empty_history_is_verified() -> None:
    found = verify(Walk(CHAIN), [], CHAIN.first(), None)
    assert (found.intact, found.head, found.broken) == (0, None, "")


@given(_records, st.data())
def test_changed_field_is_found_at_its_event(records: list[Record], data: st.DataObject) -> None:
    events, state = chained(records)
    place = data.draw(st.integers(0, len(records) - 1))
    field = data.draw(st.integers(0, len(records[place]) - 1))
    record = list[object](records[place])
    record[field] = data.draw(
        st.integers(10, 99)
        if field in (0, 1, 7)
        else _texts.filter(lambda text: with_nul(text) != with_nul(str(record[field])))
    )
    events[place] = (tuple(record), events[place][1])  # type: ignore[assignment]
    found = verify(Walk(CHAIN), events, state, None)
    assert found.intact == place
    assert found.broken.startswith(f"event {record[0]} (")


def test_changed_mac_is_found_at_its_event() -> None:
    events, state = chained(numbered(1, 2, 3))
    for mac in (None, "00" * 16):
        found = verify(Walk(CHAIN), [events[0], (events[1][0], mac), events[2]], state, None)
        assert (found.intact, found.broken[:8]) == (1, "event 2 ")


@pytest.mark.parametrize("kept", range(3))
def test_events_cut_off_at_the_end_are_missed(kept: int) -> None:
    events, state = chained(numbered(1, 2, 3))
    found = verify(Walk(CHAIN), events[:kept], state, None)
    after = f"{kept}:{events[kept - 1][1]}" if kept else "the beginning"
    assert (found.intact, found.broken) == (kept, f"events after {after} are missing")


def test_mac_does_not_restore_the_state_after_a_cut() -> None:
    events, _ = chained(numbered(1, 2, 3))
    found = verify(Walk(CHAIN), events[:2], bytes.fromhex(str(events[1][1])), None)
    assert (found.intact, found.broken[:13]) == (2, "events after ")


def test_removed_or_moved_event_is_found() -> None:
    events, state = chained(numbered(1, 2, 3))
    assert verify(Walk(CHAIN), [events[0], events[2]], state, None).intact == 1
    assert verify(Walk(CHAIN), [events[1], events[0], events[2]], state, None).intact == 0


def test_chain_with_another_key_time_or_number_is_found() -> None:
    events, state = chained(numbered(1, 2))
    for other in (
        replace(CHAIN, key=b"\1" * 32),
        replace(CHAIN, begun_at="2026"),
        replace(CHAIN, inherited=1),
    ):
        assert other.first() != CHAIN.first()
    assert verify(Walk(replace(CHAIN, key=b"\1" * 32)), events, state, None).intact == 0


def test_older_copy_is_found_by_a_noted_head() -> None:
    events, _ = chained(numbered(1, 2, 3))
    older, state = chained(numbered(1, 2))
    noted = Head(3, str(events[2][1]))
    assert verify(Walk(CHAIN), older, state, None).broken == ""
    assert verify(Walk(CHAIN), older, state, noted).broken == "event 3, which was noted as a head, is missing"
    differs = verify(Walk(CHAIN), older, state, replace(noted, id=2))
    assert (differs.intact, differs.broken[:8]) == (2, "event 2 ")
    assert f"differs from the head 2:{noted.mac}" in differs.broken


def test_broken_event_is_named_without_control_characters() -> None:
    record: Record = (1, 1, "a\x1b[31m", BEGUN_AT, "root", "fo\nund", "", None)
    found = verify(Walk(CHAIN), [(record, None)], b"", None)
    assert "\x1b" not in found.broken
    assert "\n" not in found.broken


# The secret


def test_new_chains_have_keys_of_their_own() -> None:
    chains = {Chain.begin(BEGUN_AT, 7).key for _ in range(20)}
    assert {len(key) for key in chains} == {32}
    assert len(chains) == 20


@given(st.binary(min_size=32, max_size=32), st.integers(0, 1 << 40))
def test_chain_is_read_as_it_was_written(key: bytes, inherited: int) -> None:
    chain = Chain(key, BEGUN_AT, inherited)
    assert Chain.from_json(chain.to_json()) == chain


@pytest.mark.parametrize(
    "text", ["", "sslctl", "[]", "7", "{}", '{"key": 1, "begun_at": "", "inherited": 0}', '{"key": "0"}']
)
def test_text_that_is_no_chain_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own message, or ours
        Chain.from_json(text)


def test_mac_is_half_of_the_state_in_hexadecimal_digits() -> None:
    assert mac_of(bytes(range(32))) == bytes(range(16)).hex()


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("\0", "\ufffd"),
        ("a\0b\ufffdc\0", "a\ufffdb\ufffdc\ufffd"),
        ("\0" * 500, "\ufffd" * 500),
        ("\ufffd" * 500, "\ufffd" * 500),
    ],
)
def test_replacement_of_nul_in_postgresql_counts_as_unchanged(written: str, stored: str) -> None:
    def records(detail: str) -> list[Record]:
        return [(1, 1, "a.test", BEGUN_AT, "root", "found", detail, None), *numbered(2)]

    events, state = chained(records(written))
    moved = [(record, mac) for record, (_, mac) in zip(records(stored), events, strict=True)]
    found = verify(Walk(CHAIN), moved, state, None)
    assert (found.intact, found.broken) == (2, "")
    moved[0] = (records(stored + "x")[0], moved[0][1])
    assert verify(Walk(CHAIN), moved, state, None).intact == 0
