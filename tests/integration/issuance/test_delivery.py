"""Delivery to C4: uploads, read-backs, reinstallations, and text certificates, with kills and faults in between."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from sslctl import control_plane
from sslctl.certificates.x509 import make_csr, make_key, read_leaf
from sslctl.issuer import IssueError
from sslctl.rules.model import Bundle, Order, Source
from sslctl.rules.reasons import Code
from sslctl.rules.status import derive_status
from sslctl.sandbox.c4.faults import Drop, Fault, Operation
from sslctl.text import instant
from tests.support.cdn import Cdn
from tests.support.fakes import Clock, FakeIssuer

NAME = "shop.example.com"


class OverriddenC4:
    """C4, except for the methods that a test overrides. `uploads` counts the calls."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.uploads = 0

    def __getattr__(self, method: str) -> Any:
        return getattr(self._real, method)


class Killed(BaseException):
    """Stands for kill -9: no code catches it."""


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    cdn.add_domain(NAME)
    return cdn


def pasted(cdn: Cdn) -> Bundle:
    bundle = cdn.text_pair(NAME)
    assert cdn.sslctl("add", NAME, *cdn.paste(bundle)).exit_code == 0
    return bundle


def fingerprint(cdn: Cdn) -> str | None:
    placed = cdn.c4.serving(NAME)
    return None if placed is None else placed.fingerprint


def view(cdn: Cdn) -> Any:
    return cdn.sslctl("view", NAME, "--json").json["domain"]


def test_recheck_reinstalls_a_lost_certificate_before_it_checks_dns(shop: Cdn) -> None:
    shop.sslctl("add", NAME)
    before = fingerprint(shop)
    shop.clock.move(days=84)
    shop.c4.delete_domain(NAME)
    shop.add_domain(NAME, points_at="elsewhere.example.org")
    # The renewal is due and would fail, but the old certificate is still valid.
    assert shop.sslctl("recheck", NAME).exit_code == 4
    assert fingerprint(shop) == before
    assert view(shop)["serving"]["fingerprint_sha256"] == before


def test_recheck_believes_that_c4_does_not_know_a_served_domain_only_when_it_hears_so_again_later(
    shop: Cdn,
) -> None:
    shop.sslctl("add", NAME)
    shop.c4.delete_domain(NAME)
    for minutes in (0, 49):
        shop.clock.move(minutes=minutes)
        result = shop.sslctl("recheck", NAME)
        assert (result.exit_code, view(shop)["status"]) == (75, "Success")
        assert "suspected, C4_UNKNOWN_DOMAIN" in result.stdout
        assert view(shop)["serving"] is not None
    shop.clock.move(minutes=1)
    assert shop.sslctl("recheck", NAME).exit_code == 6
    assert (view(shop)["status"], view(shop)["serving"]) == ("Discard", None)


def test_recheck_after_a_kill_reinstalls_the_removed_text_certificate_when_ours_is_refused(shop: Cdn) -> None:
    pasted(shop)
    text = fingerprint(shop)

    class Dying(OverriddenC4):
        def upload(self, *arguments: Any) -> Any:
            self.uploads += 1
            if self.uploads == 2:
                raise Killed
            return self._real.upload(*arguments)

    app = shop.app()
    app.store.update_domain(app.store.domain(NAME), (), Source.C4)
    app.control_plane = Dying(app.control_plane)
    with pytest.raises(Killed):
        app.pipeline(lambda _domain, _step: None).run(NAME)
    assert fingerprint(shop) is None
    assert view(shop)["serving"] is None
    shop.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422, times=1))
    result = shop.sslctl("recheck", NAME)
    assert result.exit_code == 7
    assert "the text certificate is installed again" in result.stdout
    assert fingerprint(shop) == text
    assert view(shop)["serving"]["source"] == "text"
    assert shop.sslctl("recheck", NAME).exit_code == 0
    assert (view(shop)["serving"]["source"], len(shop.issuer.orders)) == ("c4", 1)


def test_delivery_keeps_our_certificate_when_the_response_to_its_upload_over_text_is_lost(shop: Cdn) -> None:
    pasted(shop)

    class Losing(OverriddenC4):
        def upload(self, *arguments: Any) -> Any:
            self.uploads += 1
            done = self._real.upload(*arguments)
            if self.uploads == 2:
                raise control_plane.Unanswered("connection closed without a response")
            return done

    app = shop.app()
    app.store.update_domain(app.store.domain(NAME), (), Source.C4)
    app.control_plane = Losing(app.control_plane)
    domain = app.pipeline(lambda _domain, _step: None).run(NAME)
    assert derive_status(domain, shop.clock()).code is None
    assert shop.uploads(NAME) == [200, 409, 200]


def test_delivery_verifies_the_removal_of_a_text_certificate_when_the_response_is_lost(shop: Cdn) -> None:
    pasted(shop)
    shop.c4.set_faults(Fault(kind=Operation.REMOVE, drop=Drop.AFTER))
    assert shop.sslctl("add", NAME).exit_code == 0
    assert (view(shop)["serving"]["source"], len(shop.issuer.orders)) == ("c4", 1)


def test_add_reports_unknown_when_the_removal_of_the_text_certificate_cannot_be_verified(shop: Cdn) -> None:
    pasted(shop)
    shop.c4.set_faults(
        Fault(kind=Operation.LOOKUP, times=2),
        Fault(kind=Operation.UPLOAD, times=1),
        Fault(kind=Operation.REMOVE, drop=Drop.AFTER),
        Fault(kind=Operation.LOOKUP, status=503),
        Fault(kind=Operation.UPLOAD, status=503, retry_after=60),
    )
    result = shop.sslctl("add", NAME)
    assert result.exit_code == 7
    assert "whether the text certificate is still installed is unknown" in " ".join(result.stdout.split())
    shop.c4.heal()
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert (view(shop)["serving"]["source"], len(shop.issuer.orders)) == ("c4", 1)


def test_add_reports_the_text_certificate_as_served_when_c4_refuses_its_removal(shop: Cdn) -> None:
    pasted(shop)
    shop.c4.set_faults(Fault(kind=Operation.REMOVE, status=422))
    result = shop.sslctl("add", NAME)
    assert result.exit_code == 7
    assert "the text certificate is still installed" in result.stdout
    assert view(shop)["serving"]["source"] == "text"
    shop.c4.heal()
    assert shop.sslctl("recheck", NAME).exit_code == 0
    assert len(shop.issuer.orders) == 1


@pytest.mark.parametrize("kind", [Operation.LOOKUP, Operation.UPLOAD])
def test_finding_carries_the_retry_after_of_c4(shop: Cdn, kind: Operation) -> None:
    shop.c4.set_faults(Fault(kind=kind, status=503, retry_after=1800))
    shop.sslctl("add", NAME)
    reason = view(shop)["reason"]
    assert reason["retry_at"] == "2026-11-23T04:30:00Z"


def test_pair_pasted_during_an_open_order_is_served(shop: Cdn) -> None:
    app = shop.app()
    domain = app.store.add_domain(NAME, (), Source.C4)
    key = make_key("ecdsa")
    order = app.store.open_order(domain, (NAME,), key, make_csr(key, (NAME,)))
    urls: list[str] = []
    shop.issuer.issue(order, urls.append)
    app.store.record_order_url(order, urls[0])
    bundle = shop.text_pair(NAME)
    assert shop.sslctl("add", NAME, *shop.paste(bundle)).exit_code == 0
    found = view(shop)
    assert (found["source"], found["serving"]["source"]) == ("text", "text")
    # The certificate that the CA issued meanwhile is collected when the source is c4 again.
    assert shop.sslctl("add", NAME).exit_code == 0
    assert view(shop)["serving"]["source"] == "c4"
    assert len(shop.issuer.orders) == 1


@pytest.mark.parametrize(
    ("twist", "found"),
    [
        ({"names": (NAME, "bank.example.com")}, "not exactly those that were ordered"),
    ],
)
def test_add_does_not_deliver_a_certificate_with_names_that_were_not_ordered(
    shop: Cdn, twist: dict[str, Any], found: str
) -> None:
    class Twisted(FakeIssuer):
        def _sign(self, order: Order) -> str:
            keys = {order.csr_pem: order}
            assert keys
            real, self.clock = self.clock, lambda: real() + twist.get("later", timedelta(0))
            try:
                names = twist.get("names", order.names)
                return super()._sign(
                    Order(order.id, 1, names, make_csr(make_key("ecdsa"), names), order.opened_at)
                )
            finally:
                self.clock = real

    shop.issuer = Twisted(shop.clock)
    result = shop.sslctl("add", NAME)
    assert (result.exit_code, fingerprint(shop)) == (3, None)
    assert f"{Code.ISSUER_FAILED}" in result.stdout
    assert found in result.stdout


@pytest.mark.parametrize("ahead", [timedelta(days=-400), timedelta(days=-2), timedelta(days=100)], ids=str)
def test_wrong_local_clock_costs_one_order_only(shop: Cdn, ahead: timedelta) -> None:
    """No certificate from the CA is valid by the wrong clock, so the order stays open until the clock is right."""
    right = Clock(shop.clock.at)
    shop.issuer.clock = right
    shop.clock.at += ahead
    result = shop.sslctl("add", NAME)
    assert (result.exit_code, fingerprint(shop)) == (3, None)
    assert view(shop)["reason"]["code"] == "CLOCK_WRONG"
    for minutes in (1, 10, 100, 1440):
        shop.clock.move(minutes=minutes)
        shop.sslctl("daemon-tick")
    assert len(shop.issuer.orders) == 1
    shop.clock.at = right.at
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert (len(shop.issuer.orders), view(shop)["status"]) == (1, "Success")


class MisdatingIssuer(FakeIssuer):
    """A CA whose next certificates, `number` of them, begin `later` than now."""

    number = 0
    later = timedelta(0)

    def _sign(self, order: Order) -> str:
        if self.number == 0:
            return super()._sign(order)
        self.number -= 1
        real, self.clock = self.clock, lambda: real() + self.later
        try:
            return super()._sign(order)
        finally:
            self.clock = real


def tick(shop: Cdn, days: int) -> list[datetime]:
    """Run a tick every four hours; return the times of the orders that they placed."""
    orders = []
    for _ in range(days * 6):
        shop.clock.move(hours=4)
        placed = len(shop.issuer.orders)
        shop.sslctl("daemon-tick", "-q")
        orders += [shop.clock()] * (len(shop.issuer.orders) - placed)
    return orders


@pytest.fixture
def misdating(shop: Cdn) -> MisdatingIssuer:
    """A CA that dates certificates wrongly from the first renewal of NAME on, which is due in four hours."""
    shop.issuer = issuer = MisdatingIssuer(shop.clock)
    shop.sslctl("add", NAME)
    shop.clock.move(days=83, hours=-4)
    return issuer


@pytest.mark.parametrize("later", [timedelta(days=400), timedelta(days=-400)], ids=str)
def test_one_certificate_that_the_ca_dated_wrongly_costs_one_more_order(
    shop: Cdn, misdating: MisdatingIssuer, later: timedelta
) -> None:
    misdating.number, misdating.later = 1, later
    first, due_at = fingerprint(shop), shop.clock() + timedelta(hours=4)
    assert tick(shop, 1) == [due_at]
    assert (view(shop)["reason"]["code"], fingerprint(shop)) == ("CLOCK_WRONG", first)
    (again,) = tick(shop, 2)
    assert timedelta(days=2) <= again - due_at < timedelta(days=3)
    assert (view(shop)["status"], fingerprint(shop) == first) == ("Success", False)


@pytest.mark.parametrize("later", [timedelta(hours=20), timedelta(days=3), timedelta(days=5)], ids=str)
def test_certificate_that_becomes_valid_in_time_is_installed_then_without_a_new_order(
    shop: Cdn, misdating: MisdatingIssuer, later: timedelta
) -> None:
    misdating.number, misdating.later = 99, later
    first, due_at = fingerprint(shop), shop.clock() + timedelta(hours=4)
    while fingerprint(shop) == first:
        assert shop.clock() <= due_at + later
        tick(shop, 1)
    version = view(shop)["certificates"][0]
    assert version["not_before"] == instant(due_at + later)
    assert version["issued_at"] >= instant(due_at + later - timedelta(minutes=10))
    assert len(shop.issuer.orders) == 2


def test_ca_that_dates_every_certificate_wrongly_gets_an_order_every_other_day_and_the_last_before_the_expiry(
    shop: Cdn, misdating: MisdatingIssuer
) -> None:
    misdating.number, misdating.later = 99, timedelta(days=400)
    first = fingerprint(shop)
    expires_at = shop.clock() + timedelta(days=7, hours=4)
    orders = tick(shop, 7)
    assert fingerprint(shop) == first
    orders += tick(shop, 7)
    assert len(orders) <= 9
    assert all(after - before >= timedelta(hours=12) for before, after in pairwise(orders))
    misdating.number = 0
    assert len(tick(shop, 3)) == 1
    assert view(shop)["status"] == "Success"
    assert any(expires_at - timedelta(days=2) < at < expires_at for at in orders)


def test_recheck_orders_anew_when_the_certificate_of_an_open_order_has_expired(shop: Cdn) -> None:
    shop.issuer.refusals.append(IssueError(Code.CA_UNAVAILABLE, "lost"))
    shop.sslctl("add", NAME)
    order = shop.app().store.find_open_order(shop.app().store.domain(NAME))
    assert order is not None
    shop.issuer.issue(order, lambda _url: None)
    shop.clock.move(days=91)
    assert shop.sslctl("recheck", NAME).exit_code == 0
    assert len(shop.issuer.orders) == 2


def test_add_accepts_a_certificate_from_a_ca_whose_clock_is_three_minutes_ahead(shop: Cdn) -> None:
    shop.issuer.clock = lambda: shop.clock() + timedelta(minutes=3)
    assert shop.sslctl("add", NAME).exit_code == 0
    assert len(shop.issuer.orders) == 1


def test_next_pass_learns_what_c4_serves_after_a_pass_was_killed(shop: Cdn) -> None:
    shop.sslctl("add", NAME)

    class Dying(OverriddenC4):
        def certificate(self, _name: str) -> Any:
            raise Killed

    app = shop.app()
    bundle = shop.text_pair(NAME)
    app.store.add_text_certificate(NAME, (), bundle, read_leaf(bundle.certificate))
    app.control_plane = Dying(app.control_plane)
    with pytest.raises(Killed):
        app.pipeline(lambda _domain, _step: None).run(NAME)
    shop.c4.set_faults(Fault(kind=Operation.UPLOAD, status=503))
    shop.sslctl("add", NAME)
    assert view(shop)["serving"]["fingerprint_sha256"] == fingerprint(shop)
    assert view(shop)["serving"]["source"] == "text"


def test_deleted_text_certificate_is_not_reinstalled_when_a_later_upload_fails(shop: Cdn) -> None:
    pasted(shop)
    shop.sslctl("delete", NAME, "--yes")
    shop.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422, times=1))
    assert shop.sslctl("add", NAME).exit_code == 7
    assert fingerprint(shop) is None
