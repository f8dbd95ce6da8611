"""What `daemon-tick -q` has printed outlives the process."""

from __future__ import annotations

from datetime import timedelta

from sslctl.rules.reported import Kind, Printed
from tests.support.fakes import START
from tests.support.store_backends import Backend
from tests.support.store_cases import NAME


def test_store_keeps_what_was_printed_last(backend: Backend) -> None:
    opened = backend.open()
    assert opened.printed() == {}
    printed = {
        NAME: Printed(Kind.DOMAIN, {"Failure CNAME_ELSEWHERE": START, "": START - timedelta(hours=1)}),
        "the pause account": Printed(Kind.FLEET, {"": START}, START + timedelta(minutes=5)),
        "new warning “ü”": Printed(Kind.EVENT, {}),
    }
    opened.record_printed(printed)
    opened.close()
    again = backend.open()
    assert again.printed() == printed
    del printed[NAME]
    printed["the pause account"] = Printed(Kind.FLEET, {"": START})
    again.record_printed(printed)
    assert again.printed() == printed
    again.close()
