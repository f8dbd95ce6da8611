"""A client of several CAs tells each CA that knows our account about a new key, and makes no account that is not needed."""

from __future__ import annotations

import pytest

from sslctl.issuer import IssueError
from sslctl.issuer.by_ca import IssuersByCa
from sslctl.rules.reasons import Code
from tests.support.fakes import Clock, FakeIssuer


class _Registering(FakeIssuer):
    """A CA that records how it was told to register, or is down."""

    def __init__(self, *, is_down: bool = False) -> None:
        super().__init__(Clock())
        self.is_down = is_down
        self.calls: list[bool] = []

    def register(self, *, only_known: bool = False) -> None:
        """See `Issuer.register`."""
        self.calls.append(only_known)
        if self.is_down:
            raise IssueError(Code.CA_UNAVAILABLE, "no connection")


def test_fallback_cas_are_told_only_if_they_know_us() -> None:
    first, second = _Registering(), _Registering()
    IssuersByCa({"https://a.test/": first, "https://b.test/": second}).register()
    assert (first.calls, second.calls) == ([False], [True])


def test_ca_that_is_down_keeps_no_other_from_being_told() -> None:
    first, second = _Registering(is_down=True), _Registering()
    with pytest.raises(IssueError, match="no connection"):
        IssuersByCa({"https://a.test/": first, "https://b.test/": second}).register()
    assert (first.calls, second.calls) == ([False], [True])
