"""Wrong answers about domains whose certificate sslctl did not install, a wrong clock, and a C4 that cannot be looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sslctl.control_plane import Record
from sslctl.errors import Exit
from sslctl.rules.model import Source
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.fleet_ticks import serve, tick, unknown, withheld
from tests.support.lying_c4 import LyingC4

FLEET = [f"d{number:02}.example.com" for number in range(12)]
PORTS = frozenset({80, 443})
SHOP = FLEET[0]


def rows(cdn: Cdn) -> list[Any]:
    found: list[Any] = cdn.sslctl("list", "--json").json["domains"]
    return found


def edge(cdn: Cdn) -> dict[str, str | None]:
    return {name: cdn.installed(name) for name in FLEET}


def put_text(cdn: Cdn, *names: str, days: float) -> None:
    """Let customers install their own pairs in place of what C4 has."""
    control_plane = cdn.app().control_plane
    for name in names:
        control_plane.remove(name)
        control_plane.upload(name, cdn.text_pair(name, days=days), Source.TEXT)


@pytest.fixture
def waiting(cdn: Cdn) -> Cdn:
    """Return a CDN with 12 domains that have a customer's pair of 40 days, which nobody agreed to replace."""
    for name in FLEET:
        cdn.add_domain(name)
    put_text(cdn, *FLEET, days=40)
    cdn.sslctl("add", "--no-wait", *FLEET)
    tick(cdn)
    assert {row["reason"]["code"] for row in rows(cdn)} == {"FOREIGN_TEXT"}
    return cdn


@pytest.fixture
def drifted(cdn: Cdn) -> Cdn:
    """Return a CDN with 12 domains in Success that customers gave pairs of 40 days in place of ours."""
    serve(cdn, *FLEET)
    put_text(cdn, *FLEET, days=40)
    assert tick(cdn, days=1)["exit_code"] == Exit.TRY_LATER
    assert cdn.sslctl("recheck", "--accept", "OTHER_CERTIFICATE").exit_code == 0
    return cdn


def told_wrongly(cdn: Cdn, **wrong: Any) -> Callable[[str], Record]:
    """Return a lie: what C4 has, with `wrong` values."""
    control_plane = cdn.app().control_plane

    def lie(name: str) -> Record:
        record = control_plane.domain(name)
        assert record.certificate is not None
        return replace(record, certificate=replace(record.certificate, **wrong))

    return lie


PAST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("fleet", ["waiting", "drifted"])
@pytest.mark.parametrize(
    "wrong",
    [{"not_after": PAST}, {"not_after": PAST, "fingerprint": "ab" * 32}, {"source": Source.C4}],
    ids=["past expiry", "another one, expired", "source c4"],
)
@pytest.mark.parametrize("command", ["tick", "recheck"])
def test_pairs_of_customers_survive_a_wrong_answer_about_all(
    request: pytest.FixtureRequest, fleet: str, wrong: dict[str, Any], command: str
) -> None:
    cdn: Cdn = request.getfixturevalue(fleet)
    before, shown = edge(cdn), [(row["status"], row["warnings"]) for row in rows(cdn)]
    lie = told_wrongly(cdn, **wrong)
    if command == "tick":
        tick(cdn, lie, days=1)
    else:
        app = cdn.app()
        lying: Any = LyingC4(app.control_plane, lie)
        app.control_plane = lying
        cdn.sslctl("recheck", *FLEET, app=app)
    assert edge(cdn) == before
    for hours in (1, 24, 24):
        tick(cdn, hours=hours)
    assert edge(cdn) == before
    assert [row["status"] for row in rows(cdn)] == [status for status, _ in shown]
    assert [[each["code"] for each in row["warnings"]] for row in rows(cdn)] == [
        [each["code"] for each in warnings] for _, warnings in shown
    ]
    assert len(cdn.issuer.orders) <= len(FLEET)


@pytest.mark.parametrize("fleet", ["waiting", "drifted"])
def test_pairs_of_customers_survive_a_clock_that_is_ahead_for_one_tick(
    request: pytest.FixtureRequest, fleet: str
) -> None:
    cdn: Cdn = request.getfixturevalue(fleet)
    before = edge(cdn)
    result = tick(cdn, days=45)
    assert (result["exit_code"], result["pinged"], withheld(result)) == (
        Exit.TRY_LATER,
        None,
        [("OTHER_EXPIRED", len(FLEET))],
    )
    assert edge(cdn) == before
    cdn.clock.move(days=-45)
    tick(cdn, hours=1)
    tick(cdn, days=1)
    assert edge(cdn) == before


@pytest.mark.parametrize("number", [1, 5])
def test_text_certificates_of_a_few_are_replaced_when_they_have_expired(cdn: Cdn, number: int) -> None:
    serve(cdn, *FLEET)
    few = FLEET[:number]
    put_text(cdn, *few, days=3)
    tick(cdn, days=1)
    before = edge(cdn)
    assert tick(cdn, days=3)["exit_code"] == Exit.OK
    after = edge(cdn)
    assert {name for name in FLEET if after[name] != before[name]} == set(few)
    assert {row["status"] for row in rows(cdn)} == {"Success"}


def test_many_expired_text_certificates_are_replaced_once_a_person_accepts(waiting: Cdn) -> None:
    before = edge(waiting)
    assert withheld(tick(waiting, days=41)) == [("OTHER_EXPIRED", len(FLEET))]
    assert edge(waiting) == before
    assert waiting.sslctl("recheck", "--accept", "OTHER_EXPIRED").exit_code == Exit.OK
    assert not {name for name in FLEET if edge(waiting)[name] == before[name]}


def test_loss_is_found_after_the_clock_was_ahead(cdn: Cdn) -> None:
    serve(cdn, *FLEET)
    tick(cdn, days=70)
    cdn.clock.move(days=-70)
    before = edge(cdn)
    assert cdn.app().control_plane.remove(SHOP)
    for _ in range(25):
        tick(cdn, hours=1)
    assert edge(cdn) == before


def test_many_expired_text_certificates_are_replaced_a_few_at_a_time_after_a_day(waiting: Cdn) -> None:
    before = edge(waiting)
    results = [tick(waiting, days=41), *(tick(waiting, hours=1) for _ in range(23))]
    assert {result["exit_code"] for result in results} == {Exit.TRY_LATER}
    assert edge(waiting) == before
    replaced = []
    for _ in range(3):
        tick(waiting, hours=1)
        replaced.append(sum(edge(waiting)[name] != before[name] for name in FLEET))
    assert replaced == [5, 10, 12]
    assert {row["status"] for row in rows(waiting)} == {"Success"}


@pytest.fixture
def large(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> Cdn:
    """Return a CDN with 230 domains in Success."""
    # A hundred passes at once share this process with C4 and DNS.
    for key in ("C4", "DNS"):
        monkeypatch.setenv(f"SSLCTL_{key}_TIMEOUT_SECONDS", "120")
    names = [f"n{number:03}.example.com" for number in range(230)]
    for name in names:
        cdn.add_domain(name)
    assert cdn.sslctl("add", *names).exit_code == 0
    tick(cdn)
    return cdn


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=Operation.INVENTORY, status=500),
        Fault(kind=Operation.INVENTORY, body='{"domains": [], "next": null}'),
    ],
    ids=["500", "empty"],
)
def test_loss_is_found_although_the_inventory_is_wrong(large: Cdn, fault: Fault) -> None:
    large.c4.set_faults(fault)
    lost = "n225.example.com"
    before = large.installed(lost)
    assert large.app().control_plane.remove(lost)
    for _ in range(60):
        tick(large, hours=1)
    assert large.installed(lost) == before


def test_token_that_c4_refuses_is_reported_at_once_although_nothing_is_due(cdn: Cdn) -> None:
    serve(cdn, *FLEET)
    cdn.c4.set_faults(Fault(status=401))
    result = tick(cdn, days=1)
    assert (result["exit_code"], result["pinged"]) == (Exit.TRY_LATER, None)
    assert result["look_trouble"]


def test_c4_that_does_not_answer_for_days_is_reported_although_nothing_is_due(cdn: Cdn) -> None:
    serve(cdn, *FLEET)
    cdn.c4.set_faults(Fault(status=500))
    codes = [tick(cdn, days=1)["exit_code"] for _ in range(4)]
    assert codes == [Exit.OK, Exit.OK, Exit.TRY_LATER, Exit.TRY_LATER]
    assert "Domains were not looked at for days." in cdn.sslctl("daemon-tick").stdout
    cdn.c4.heal()
    assert tick(cdn, hours=1)["exit_code"] == Exit.OK


def test_c4_that_knows_no_domain_for_a_day_is_noticed_although_each_tick_looks_at_a_few(cdn: Cdn) -> None:
    names = [f"n{number:02}.example.com" for number in range(40)]
    for start in range(0, 40, 2):
        for name in names[start : start + 2]:
            cdn.add_domain(name)
        assert cdn.sslctl("add", *names[start : start + 2]).exit_code == 0
        tick(cdn, hours=1)
    results = [tick(cdn, unknown, hours=1) for _ in range(26)]
    assert sum(row["status"] == "Discard" for row in rows(cdn)) <= 5
    assert withheld(results[-1])
    assert Exit.TRY_LATER in [result["exit_code"] for result in results]


def test_ports_that_a_customer_lost_are_a_warning_before_the_renewal(cdn: Cdn) -> None:
    serve(cdn, *FLEET)
    cdn.c4.create_domain(SHOP, cname_target=f"{SHOP}.cdn.test", ports=(443,))
    for _ in range(8):
        tick(cdn, days=1)
    (shop,) = [row for row in rows(cdn) if row["domain"] == SHOP]
    assert (shop["status"], [each["code"] for each in shop["warnings"]]) == ("Success", ["PORTS_NOT_ENABLED"])


def test_wrong_dns_of_all_that_begins_before_the_renewal_never_becomes_failure(cdn: Cdn) -> None:
    serve(cdn, *FLEET)
    tick(cdn, days=50)
    for name in FLEET:
        cdn.clear_dns(name)
        cdn.point(name, "elsewhere.example.org")
    results = [tick(cdn, days=1) for _ in range(38)]
    assert {row["status"] for row in rows(cdn)} == {"Success"}
    assert ("CNAME_ELSEWHERE", len(FLEET)) in withheld(results[-1])
    assert Exit.TRY_LATER in [result["exit_code"] for result in results[:10]]


def test_restored_domains_are_not_discarded_by_one_wrong_answer(cdn: Cdn) -> None:
    serve(cdn, *FLEET)
    backup = str(cdn.folder / "backup")
    assert cdn.sslctl("backup", backup).exit_code == 0
    (cdn.folder / "state" / "sslctl.db").unlink()
    cdn.c4.set_faults(Fault(status=500))
    assert cdn.sslctl("restore", backup).exit_code == 0
    cdn.c4.heal()
    assert withheld(tick(cdn, unknown)) == [("C4_UNKNOWN_DOMAIN", len(FLEET))]
    assert "Discard" not in {row["status"] for row in rows(cdn)}
    tick(cdn, hours=1)
    tick(cdn, hours=1)
    assert {row["status"] for row in rows(cdn)} == {"Success"}
    assert len(cdn.issuer.orders) == len(FLEET)


def test_restored_domain_is_shown_as_served_once_c4_was_looked_at(cdn: Cdn) -> None:
    serve(cdn, *FLEET)
    backup = str(cdn.folder / "backup")
    assert cdn.sslctl("backup", backup).exit_code == 0
    (cdn.folder / "state" / "sslctl.db").unlink()
    assert cdn.sslctl("restore", backup).exit_code == 0
    assert {row["status"] for row in rows(cdn)} == {"Success"}


def test_consent_before_a_backup_is_none_after_its_restore(cdn: Cdn) -> None:
    serve(cdn, SHOP)
    put_text(cdn, SHOP, days=365)
    theirs = cdn.installed(SHOP)
    tick(cdn, days=1)
    cdn.clear_dns(SHOP)
    cdn.sslctl("recheck", SHOP, "--replace-text", "--force-renew")
    assert cdn.installed(SHOP) == theirs
    backup = str(cdn.folder / "backup")
    assert cdn.sslctl("backup", backup).exit_code == 0
    assert cdn.sslctl("adopt", SHOP).exit_code == 0
    (cdn.folder / "state" / "sslctl.db").unlink()
    assert cdn.sslctl("restore", backup).exit_code == 0
    cdn.point(SHOP, f"{SHOP}.cdn.test")
    for _ in range(3):
        tick(cdn, days=1)
    assert cdn.installed(SHOP) == theirs


def test_adopted_domain_that_has_ours_again_is_renewed_again(cdn: Cdn) -> None:
    serve(cdn, SHOP)
    bundle = next(iter(cdn.app().store.certificates(cdn.app().store.domain(SHOP))))
    ours = cdn.app().store.bundle(bundle)
    put_text(cdn, SHOP, days=365)
    assert cdn.sslctl("adopt", SHOP).exit_code == 0
    control_plane = cdn.app().control_plane
    control_plane.remove(SHOP)
    control_plane.upload(SHOP, ours, Source.C4)
    for _ in range(100):
        tick(cdn, days=1)
    (shop,) = rows(cdn)
    assert (shop["status"], shop["source"]) == ("Success", "c4")
    assert len(cdn.issuer.orders) == 2


def test_loss_of_an_adopted_certificate_is_reported_by_the_tick(cdn: Cdn) -> None:
    serve(cdn, SHOP)
    put_text(cdn, SHOP, days=365)
    assert cdn.sslctl("adopt", SHOP).exit_code == 0
    assert cdn.app().control_plane.remove(SHOP)
    result = tick(cdn, days=1)
    assert result["exit_code"] == Exit.SOME_NOT_WELL
    (shop,) = rows(cdn)
    assert (shop["status"], shop["reason"]["code"]) == ("Failure", "TEXT_MISSING")


def test_foreign_c4_certificate_is_kept_until_it_is_due(cdn: Cdn) -> None:
    serve(cdn, SHOP)
    control_plane = cdn.app().control_plane
    control_plane.remove(SHOP)
    control_plane.upload(SHOP, cdn.text_pair(SHOP, days=60), Source.C4)
    theirs = cdn.installed(SHOP)
    for _ in range(50):
        tick(cdn, days=1)
        assert cdn.installed(SHOP) == theirs
    for _ in range(5):
        tick(cdn, days=1)
    assert cdn.installed(SHOP) != theirs


def test_true_loss_is_repaired_while_other_uploads_are_refused(cdn: Cdn) -> None:
    refused = [f"r{number}.example.com" for number in range(5)]
    serve(cdn, *FLEET)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422))
    for name in refused:
        cdn.add_domain(name)
    assert cdn.sslctl("add", *refused).exit_code == Exit.EMERGENCY
    cdn.c4.heal()
    before = edge(cdn)
    for name in FLEET[:8]:
        assert cdn.app().control_plane.remove(name)
    tick(cdn, days=1)
    assert edge(cdn) == before


def test_single_loss_is_repaired_by_its_name_even_if_no_suspicion_is_believed(cdn: Cdn) -> None:
    with cdn.config_path.open("a") as file:
        file.write("\n[safety]\nmax_suspicions = 0\nmax_suspicions_percent = 0\n")
    serve(cdn, SHOP)
    before = cdn.installed(SHOP)
    assert cdn.app().control_plane.remove(SHOP)
    assert tick(cdn, days=1)["exit_code"] == Exit.TRY_LATER
    assert cdn.sslctl("recheck", SHOP).exit_code == Exit.OK
    assert cdn.installed(SHOP) == before


def test_accepting_asks_c4_again(cdn: Cdn) -> None:
    serve(cdn, *FLEET)
    tick(cdn, unknown, days=1)
    result = cdn.sslctl("recheck", "--accept", "C4_UNKNOWN_DOMAIN")
    assert result.exit_code == Exit.SOME_NOT_WELL
    assert "C4 knows this domain again" in result.stderr
    assert {row["status"] for row in rows(cdn)} == {"Success"}
