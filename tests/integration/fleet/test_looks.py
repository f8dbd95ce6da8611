"""The daily look at C4 and the weekly look at DNS, in real ticks: the reference C4 over HTTPS, a real DNS server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sslctl.control_plane import Record, Unanswered, UnknownDomain
from sslctl.rules.model import Source
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.lying_c4 import LyingC4

NAME = "shop.example.com"


def unknown(name: str) -> Record:
    raise UnknownDomain(f"C4 has no domain {name}")


def empty(name: str) -> Record:
    return Record(name, f"{name}.cdn.test", frozenset({80, 443}), None)


def names(number: int) -> list[str]:
    return [f"d{each:03}.example.com" for each in range(number)]


def served(cdn: Cdn, *wanted: str) -> None:
    """Add domains that end in Success, and run the tick that makes the first look."""
    for name in wanted:
        cdn.add_domain(name)
    assert cdn.sslctl("add", *wanted).exit_code == 0
    tick(cdn)


def tick(cdn: Cdn, *, exit_code: int = 0, lie: Callable[[str], Record] | None = None, **moved: float) -> Any:
    """Run a tick; with `lie`, C4 answers so to every look at a domain, and has no inventory."""
    cdn.clock.move(**moved)
    app = cdn.app()
    if lie is not None:
        app.control_plane = LyingC4(app.control_plane, lie)
    result = cdn.sslctl("daemon-tick", "--json", app=app)
    assert result.exit_code == exit_code, result
    return result.json


def view(cdn: Cdn, name: str = NAME) -> Any:
    return cdn.sslctl("view", name, "--json").json["domain"]


def lose(cdn: Cdn, name: str = NAME) -> None:
    """Let C4 lose the certificate of `name`."""
    assert cdn.app().control_plane.remove(name)


def lookups(cdn: Cdn, name: str) -> int:
    return sum(request.path == f"/v1/domains/{name}" for request in cdn.c4.requests)


@pytest.fixture
def patient(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> Cdn:
    """A CDN with long timeouts: C4, DNS and the 128 passes in flight of a large fleet share one process, maybe a slow one."""
    for key in ("C4", "DNS"):
        monkeypatch.setenv(f"SSLCTL_{key}_TIMEOUT_SECONDS", "120")
    return cdn


@pytest.fixture(params=["inventory", "no inventory"])
def either(request: pytest.FixtureRequest, cdn: Cdn) -> Cdn:
    """Return a CDN whose C4 has an inventory, or has none."""
    if request.param == "no inventory":
        cdn.c4.set_faults(Fault(kind=Operation.INVENTORY, status=501))
    return cdn


def test_certificate_that_c4_lost_is_uploaded_again_within_a_day(either: Cdn) -> None:
    served(either, NAME)
    before = either.installed(NAME)
    lose(either)
    result = tick(either, days=1)
    assert (result["lost_on_c4"], either.installed(NAME)) == (1, before)
    assert view(either)["status"] == "Success"
    assert len(either.issuer.orders) == 1
    assert "not serving" in [event["kind"] for event in view(either)["events"]]


def test_every_domain_is_looked_at_once_a_day_and_no_more(cdn: Cdn) -> None:
    served(cdn, NAME)
    looks = lookups(cdn, NAME)
    for _ in range(23):
        tick(cdn, hours=1)
    assert lookups(cdn, NAME) == looks
    tick(cdn, hours=1)
    assert lookups(cdn, NAME) == looks + 1
    assert view(cdn)["observed"]["at"] == cdn.clock().isoformat().replace("+00:00", "Z")


def test_one_inventory_serves_a_large_fleet(patient: Cdn) -> None:
    fleet = names(250)
    served(patient, *fleet)
    before = len(patient.c4.requests)
    tick(patient, days=1)
    asked = [request.path for request in patient.c4.requests[before:]]
    # DNS is not due yet.
    assert {path.partition("?")[0] for path in asked} == {"/v1/domains"}
    assert len(asked) < 10


def test_share_of_a_large_fleet_is_looked_at_in_each_tick_without_an_inventory(patient: Cdn) -> None:
    patient.c4.set_faults(Fault(kind=Operation.INVENTORY, status=501))
    fleet = names(250)
    served(patient, *fleet)
    for _ in range(30):
        tick(patient, hours=1)
    oldest = patient.clock() - timedelta(days=1, hours=1)
    seen = patient.sslctl("list", "--json").json["domains"]
    assert all(domain["observed"]["at"] >= oldest.isoformat()[:19] for domain in seen)


def test_foreign_certificate_is_a_warning_and_is_not_replaced(either: Cdn) -> None:
    served(either, NAME)
    pair = either.text_pair(NAME, days=365)
    lose(either)
    either.app().control_plane.upload(NAME, pair, Source.TEXT)
    theirs = either.installed(NAME)
    assert tick(either, days=1)["new_warnings"] == {"OTHER_CERTIFICATE": 1}
    assert tick(either, days=1)["new_warnings"] == {}
    domain = view(either)
    assert (domain["status"], domain["observed"]["ours"]) == ("Success", False)
    assert [warning["code"] for warning in domain["warnings"]] == ["OTHER_CERTIFICATE"]
    for _ in range(10):
        tick(either, days=10)
    assert either.installed(NAME) == theirs
    assert len(either.issuer.orders) == 1


def test_domain_that_leaves_the_cdn_is_a_warning_within_a_week_and_departed_after_another(cdn: Cdn) -> None:
    served(cdn, NAME)
    cdn.clear_dns(NAME)
    cdn.point(NAME, "elsewhere.example.org")
    for _ in range(8):
        tick(cdn, days=1)
    domain = view(cdn)
    assert (domain["status"], [each["code"] for each in domain["warnings"]]) == (
        "Success",
        ["CNAME_ELSEWHERE"],
    )
    tick(cdn, days=8)
    assert [each["code"] for each in view(cdn)["warnings"]] == ["DEPARTED"]
    cdn.clear_dns(NAME)
    cdn.point(NAME, f"{NAME}.cdn.test")
    for _ in range(8):
        tick(cdn, days=1)
    assert view(cdn)["warnings"] == []


def test_tick_prints_how_many_domains_have_a_new_warning(cdn: Cdn) -> None:
    fleet = names(5)
    served(cdn, *fleet)
    for name in fleet:
        cdn.clear_dns(name)
        cdn.point(name, "elsewhere.example.org")
    cdn.clock.move(days=8)
    result = cdn.sslctl("daemon-tick", "-q")
    assert result.exit_code == 0
    assert "Domains with a new warning: 5 CNAME_ELSEWHERE; `sslctl list` shows them" in result.stdout
    assert cdn.sslctl("daemon-tick", "-q").stdout == ""


def test_dns_is_checked_at_twice_the_renewal_margin(cdn: Cdn) -> None:
    served(cdn, NAME)
    for _ in range(75):
        tick(cdn, days=1)
    checked = lookups(cdn, NAME)
    cdn.clear_dns(NAME)
    cdn.point(NAME, "elsewhere.example.org")
    tick(cdn, days=1, minutes=1)
    assert [each["code"] for each in view(cdn)["warnings"]] == ["CNAME_ELSEWHERE"]
    assert lookups(cdn, NAME) > checked


def test_discarded_domain_that_c4_knows_again_heals_within_a_day(either: Cdn) -> None:
    served(either, NAME)
    either.c4.delete_domain(NAME)
    tick(either, exit_code=0, days=1)
    assert view(either)["status"] == "Success"
    tick(either, exit_code=5, hours=1)
    assert view(either)["status"] == "Discard"
    either.add_domain(NAME)
    tick(either, days=1)
    assert view(either)["status"] == "Success"
    assert either.installed(NAME) is not None


def test_loss_that_c4_claims_of_all_is_not_believed_when_uploads_do_not_help(cdn: Cdn) -> None:
    fleet = names(12)
    served(cdn, *fleet)
    before = {name: cdn.installed(name) for name in fleet}
    result = tick(cdn, exit_code=7, lie=empty, days=1)
    assert (result["lost_on_c4"], [each["code"] for each in result["withheld"]]) == (12, ["C4_LOST"])
    kept = [view(cdn, name)["serving"] is not None for name in fleet]
    assert sum(kept) >= 12 - 5
    tick(cdn, hours=1)
    assert {view(cdn, name)["status"] for name in fleet} == {"Success"}
    assert {name: cdn.installed(name) for name in fleet} == before


def test_true_loss_of_all_is_repaired_in_one_tick(cdn: Cdn) -> None:
    fleet = names(12)
    served(cdn, *fleet)
    before = {name: cdn.installed(name) for name in fleet}
    for name in fleet:
        lose(cdn, name)
    assert tick(cdn, days=1)["lost_on_c4"] == 12
    assert {name: cdn.installed(name) for name in fleet} == before
    assert len(cdn.issuer.orders) == 12


def test_look_that_c4_does_not_answer_changes_nothing(cdn: Cdn) -> None:
    served(cdn, NAME)
    cdn.c4.set_faults(Fault(status=500))
    before = view(cdn)
    tick(cdn, days=1)
    after = view(cdn)
    assert (after["status"], after["serving"], after["events"]) == (
        before["status"], before["serving"], before["events"],
    )  # fmt: skip


def test_unknown_domain_answers_about_all_are_withheld_and_heal(cdn: Cdn) -> None:
    fleet = names(40)
    served(cdn, *fleet)
    for hours in (24, 1, 1):
        result = tick(cdn, exit_code=75, lie=unknown, hours=hours)
        assert [each["code"] for each in result["withheld"]] == ["C4_UNKNOWN_DOMAIN"]
        assert result["pinged"] is None
    assert cdn.sslctl("list", "--json").json["domains"][0]["status"] == "Success"
    tick(cdn, hours=1)
    tick(cdn, hours=1)
    assert {domain["status"] for domain in cdn.sslctl("list", "--json").json["domains"]} == {"Success"}
    assert all(domain["warnings"] == [] for domain in cdn.sslctl("list", "--json").json["domains"])


def test_look_is_finished_if_one_domain_is_unanswered_and_no_dns_check_is_due(cdn: Cdn) -> None:
    served(cdn, *names(3))

    def answer(name: str) -> Record:
        if name == names(3)[1]:
            raise Unanswered("HTTP status 500")
        return cdn.app().control_plane.domain(name)

    result = tick(cdn, lie=answer, days=1)
    assert result["look_trouble"] is None


def test_refusal_for_one_domain_hides_no_other(cdn: Cdn) -> None:
    """A 403 for the domain whose turn comes first: C4 has no inventory here, and lost a certificate of another one."""
    served(cdn, *names(4))
    refused, lost = names(4)[0], names(4)[3]
    cdn.c4.set_faults(
        Fault(kind=Operation.LOOKUP, domain=refused, status=403), Fault(kind=Operation.INVENTORY, status=501)
    )
    lose(cdn, lost)
    for _ in range(3):
        result = tick(cdn, days=1)
        assert result["look_trouble"] is None
    assert cdn.installed(lost) is not None


def test_refusal_for_all_ends_the_look(cdn: Cdn) -> None:
    served(cdn, *names(3))
    cdn.c4.set_faults(Fault(status=401))
    result = tick(cdn, exit_code=75, days=1)
    assert "401" in result["look_trouble"]
