"""The file with the domains and the DNS fault of a sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslctl.errors import StateError, TryLater
from sslctl.sandbox.domain_records import FILE, Content, DnsFault, DnsTrouble, DomainRecord, DomainRecords
from sslctl.system.locks import locked

RECORD = DomainRecord("cdn.test", ('0 issue "ca.test"', '128 x "y"'), ("2001:db8::1",), "https://other.test/")


def test_reader_sees_each_change_of_a_writer(tmp_path: Path) -> None:
    reader, writer = DomainRecords(tmp_path), DomainRecords(tmp_path)
    assert reader.read() == Content()
    writer.set_domain("shop.test", RECORD)
    assert reader.read() == Content({"shop.test": RECORD})
    trouble = DnsTrouble(DnsFault.SLOW, "shop.test", 2.5)
    writer.set_trouble(trouble)
    assert reader.read() == Content({"shop.test": RECORD}, trouble)
    reader.set_domain("www.test", DomainRecord("cdn.test"))
    writer.set_trouble(None)
    assert reader.read() == Content({"shop.test": RECORD, "www.test": DomainRecord("cdn.test")})


def test_change_during_the_change_of_another_process_is_refused(tmp_path: Path) -> None:
    records = DomainRecords(tmp_path)
    with locked(tmp_path / f".{FILE}.lock"), pytest.raises(TryLater, match="another command"):
        records.set_domain("shop.test", RECORD)
    assert records.read() == Content()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"domains": {"a": {}}, "trouble": null}', '{"domains": 1}']
)
def test_damaged_file_raises_state_error(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StateError, match="is not a file of the sandbox"):
        DomainRecords(tmp_path).read()


@pytest.mark.parametrize(
    ("domain", "names", "applies"),
    [
        ("", ["shop.test"], True),
        ("shop.test", ["shop.test"], True),
        ("shop.test", ["a.b.shop.test"], True),
        ("shop.test", ["myshop.test", "test"], False),
        ("cdn.test", ["shop.test", "shop.cdn.test"], True),
    ],
)
def test_trouble_applies_to_the_domain_and_the_names_below_it(
    domain: str, names: list[str], applies: bool
) -> None:
    assert DnsTrouble(DnsFault.DNSSEC, domain).applies_to(names) == applies
