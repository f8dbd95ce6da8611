"""One wrong answer about a whole fleet for one tick: what is served and almost every status stay as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sslctl.control_plane import Installed, Record
from sslctl.errors import Exit
from sslctl.issuer import IssueError
from sslctl.rules.model import Source, State
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.dns_zone import Trouble
from tests.support.fakes import Clock
from tests.support.fleet_ticks import lose, serve, tick, unknown, withheld
from tests.support.lying_c4 import LyingC4

# More than the limit of five; the torture class `wrong_words` takes 40.
FLEET = [f"d{number:02}.example.com" for number in range(12)]
PORTS = frozenset({80, 443})
SHOP = "shop.example.com"


def answer(certificate: Installed | None, ports: frozenset[int] = PORTS) -> Callable[[str], Record]:
    return lambda name: Record(name, f"{name}.cdn.test", ports, certificate)


def other(source: Source, not_after: datetime) -> Callable[[str], Record]:
    return answer(Installed(source, "ab" * 32, not_after, State.ACTIVE))


def statuses(cdn: Cdn) -> dict[str, str]:
    return {each["domain"]: each["status"] for each in cdn.sslctl("list", "--json").json["domains"]}


def view(cdn: Cdn, name: str = SHOP) -> Any:
    return cdn.sslctl("view", name, "--json").json["domain"]


def edge(cdn: Cdn) -> dict[str, tuple[str, datetime] | None]:
    placed = {name: cdn.c4.serving(name) for name in FLEET}
    return {name: None if one is None else (one.fingerprint, one.not_after) for name, one in placed.items()}


def require_no_worse(cdn: Cdn, before: dict[str, tuple[str, datetime] | None]) -> None:
    for name, now in edge(cdn).items():
        was = before[name]
        assert was is None or (now is not None and now[1] >= was[1]), name


def require_healed(cdn: Cdn, before: dict[str, tuple[str, datetime] | None]) -> None:
    """Run honest ticks for two days; every domain must be in Success, without a person's help."""
    for hours in (1, 1, 22, 24):
        tick(cdn, hours=hours)
        require_no_worse(cdn, before)
    assert set(statuses(cdn).values()) == {"Success"}
    assert not [each for each in cdn.sslctl("list", "--json").json["domains"] if each["warnings"]]
    assert tick(cdn, days=1)["exit_code"] == Exit.OK


@pytest.fixture
def due(cdn: Cdn) -> Cdn:
    """Return a CDN with 12 domains in Success that are due for renewal."""
    serve(cdn, *FLEET)
    cdn.clock.move(days=84)
    return cdn


def spoil(cdn: Cdn, how: str) -> None:
    for name in FLEET:
        if how == "CAA_FORBIDS":
            cdn.zone.add(name, "CAA", '0 issue "other.test"')
            continue
        cdn.clear_dns(name)
        if how == "CNAME_MISSING":
            cdn.zone.add(name, "TXT", '"neither an address nor a CNAME"')
        elif how == "CNAME_ELSEWHERE":
            cdn.point(name, "parking.example.org")
        elif how == "TARGET_MISSING":
            cdn.clear_dns(f"{name}.cdn.test").add(name, "CNAME", f"{name}.cdn.test")


def heal(cdn: Cdn) -> None:
    for name in FLEET:
        cdn.clear_dns(name)
        cdn.point(name, f"{name}.cdn.test")


@pytest.mark.parametrize(
    "how", ["NXDOMAIN", "CNAME_MISSING", "CNAME_ELSEWHERE", "TARGET_MISSING", "CAA_FORBIDS"]
)
def test_bad_answer_of_dns_about_all_is_withheld(due: Cdn, how: str) -> None:
    before = edge(due)
    spoil(due, how)
    result = tick(due)
    assert (result["exit_code"], result["pinged"], withheld(result)) == (
        Exit.TRY_LATER,
        None,
        [(how, len(FLEET))],
    )
    assert set(statuses(due).values()) == {"Success"}
    assert f"{how} about {len(FLEET)} served domains of {len(FLEET)}" in due.sslctl("daemon-tick").stdout
    heal(due)
    assert tick(due, hours=1)["exit_code"] == Exit.OK
    require_healed(due, before)


def test_unknown_domain_answer_about_all_is_withheld(due: Cdn) -> None:
    before = edge(due)
    for hours in (0, 1, 1):
        result = tick(due, unknown, hours=hours)
        assert (result["exit_code"], result["pinged"]) == (Exit.TRY_LATER, None)
        assert withheld(result) == [("C4_UNKNOWN_DOMAIN", len(FLEET))]
    require_healed(due, before)


@pytest.mark.parametrize("ports", [(), (80,), (443,)])
def test_ports_that_are_missing_from_all_are_withheld(due: Cdn, ports: tuple[int, ...]) -> None:
    before = edge(due)
    for name in FLEET:
        due.c4.create_domain(name, cname_target=f"{name}.cdn.test", ports=ports)
    result = tick(due)
    assert (result["exit_code"], withheld(result)) == (Exit.TRY_LATER, [("PORTS_NOT_ENABLED", len(FLEET))])
    for name in FLEET:
        due.c4.create_domain(name, cname_target=f"{name}.cdn.test")
    require_healed(due, before)


FAR = datetime(2030, 1, 1, tzinfo=UTC)
PAST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("is_due", [True, False])
@pytest.mark.parametrize(
    "lie",
    [
        answer(None),
        other(Source.TEXT, FAR),
        other(Source.C4, FAR),
        other(Source.TEXT, PAST),
        other(Source.C4, PAST),
    ],
    ids=["nothing", "text", "c4", "expired text", "expired c4"],
)
def test_wrong_certificate_of_all_is_neither_replaced_nor_ordered_for(
    cdn: Cdn, lie: Callable[[str], Record], *, is_due: bool
) -> None:
    serve(cdn, *FLEET)
    cdn.clock.move(days=84 if is_due else 8)
    before = edge(cdn)
    for hours in (0, 1, 1):
        result = tick(cdn, lie, hours=hours)
        assert result["exit_code"] in (Exit.EMERGENCY, Exit.TRY_LATER)
        assert result["pinged"] is None
        assert len([each for each in statuses(cdn).values() if each != "Success"]) <= 5
        require_no_worse(cdn, before)
    require_healed(cdn, before)
    assert len(cdn.issuer.orders) <= len(FLEET) * (2 if is_due else 1)


@pytest.mark.parametrize("number", [1, 5, 6, len(FLEET)])
def test_loss_is_found_by_the_renewal_and_repaired_in_the_same_tick(due: Cdn, number: int) -> None:
    before = edge(due)
    lose(due, *FLEET[:number])
    assert tick(due)["exit_code"] == Exit.OK
    require_no_worse(due, before)
    assert set(statuses(due).values()) == {"Success"}
    # What sslctl still has is uploaded first; the next tick renews it.
    assert tick(due, hours=1)["exit_code"] == Exit.OK
    assert len(due.issuer.orders) == 2 * len(FLEET)


@pytest.mark.parametrize("number", [1, 5])
def test_other_certificate_of_a_few_is_recorded_by_the_renewal_as_a_warning(due: Cdn, number: int) -> None:
    replaced = FLEET[:number]
    lose(due, *replaced)
    for name in replaced:
        due.app().control_plane.upload(name, due.text_pair(name, days=365), Source.TEXT)
    before = edge(due)
    assert tick(due)["exit_code"] == Exit.OK
    assert {name for name in replaced if edge(due)[name] == before[name]} == set(replaced)
    for name in replaced:
        assert [each["code"] for each in view(due, name)["warnings"]] == ["OTHER_CERTIFICATE"]
        assert view(due, name)["observed"]["ours"] is False
    assert len(due.issuer.orders) == 2 * len(FLEET) - number


@pytest.mark.parametrize(
    ("lie", "code"), [(answer(None), "C4_LOST"), (other(Source.TEXT, FAR), "OTHER_CERTIFICATE")]
)
def test_recheck_of_many_believes_no_wrong_certificate_of_all(
    due: Cdn, lie: Callable[[str], Record], code: str
) -> None:
    before = edge(due)
    app = due.app()
    lying: Any = LyingC4(app.control_plane, lie)
    app.control_plane = lying
    result = due.sslctl("recheck", *FLEET, app=app)
    assert result.exit_code == Exit.TRY_LATER
    assert f"{code} about {len(FLEET)} served domains of {len(FLEET)}" in result.stderr
    assert set(statuses(due).values()) == {"Success"}
    assert {view(due, name)["observed"]["ours"] for name in FLEET} == {True}
    assert edge(due) == before
    require_healed(due, before)


def test_recheck_of_many_uploads_what_c4_has_lost_of_a_few(due: Cdn) -> None:
    before = edge(due)
    lose(due, *FLEET[:3])
    assert due.sslctl("recheck", *FLEET).exit_code == Exit.OK
    require_no_worse(due, before)
    assert set(statuses(due).values()) == {"Success"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=401),
        Fault(status=403),
        Fault(status=500),
        Fault(status=503, retry_after=60),
        Fault(body="{"),
        Fault(body="[]"),
        Fault(
            body='{"domain": "other.example.com", "cname_target": "x", "ports": [80, 443], "certificate": null}'
        ),
        Fault(kind=Operation.LOOKUP, status=404),
    ],
    ids=lambda fault: str(fault.status or fault.body)[:12],
)
def test_answer_that_is_no_answer_changes_no_status(due: Cdn, fault: Fault) -> None:
    before = edge(due)
    due.c4.set_faults(fault)
    result = tick(due)
    assert result["exit_code"] in (Exit.SOME_NOT_WELL, Exit.TRY_LATER)
    assert (set(statuses(due).values()), len(due.issuer.orders)) == ({"Success"}, len(FLEET))
    due.c4.heal()
    require_healed(due, before)


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.REFUSED, Trouble.GARBAGE])
def test_resolver_that_fails_changes_no_status(due: Cdn, trouble: Trouble) -> None:
    before = edge(due)
    for name in FLEET:
        due.zone.spoil(name, trouble)
    assert tick(due)["exit_code"] in (Exit.SOME_NOT_WELL, Exit.TRY_LATER)
    assert (set(statuses(due).values()), len(due.issuer.orders)) == ({"Success"}, len(FLEET))
    heal(due)
    require_healed(due, before)


@pytest.mark.parametrize("days", [2, -2, 30])
def test_clock_that_is_wrong_for_one_tick_leaves_nothing(tmp_path: Path, clock: Clock, days: int) -> None:
    # C4 and the CA have the right time.
    outside = Clock()
    with Cdn(tmp_path, clock, outside=outside) as cdn:
        serve(cdn, *FLEET)
        before = edge(cdn)
        outside.move(days=84)
        clock.at = outside.at
        tick(cdn, days=days)
        require_no_worse(cdn, before)
        for hours in (1, 1, 22, 24, 24):
            outside.move(hours=hours)
            clock.at = outside.at
            tick(cdn)
            require_no_worse(cdn, before)
        assert set(statuses(cdn).values()) == {"Success"}
        assert len(cdn.issuer.orders) == 2 * len(FLEET)


def test_configuration_of_another_ca_for_one_tick_is_withheld(due: Cdn) -> None:
    before = edge(due)
    for name in FLEET:
        due.zone.add(name, "CAA", '0 issue "ca.test"')
    right = due.config_path.read_text()
    due.config_path.write_text(re.sub(r"caa_identities = .*", 'caa_identities = ["other.test"]', right))
    result = tick(due)
    assert (result["exit_code"], withheld(result)) == (Exit.TRY_LATER, [("CAA_FORBIDS", len(FLEET))])
    due.config_path.write_text(right)
    require_healed(due, before)


def test_configuration_of_an_empty_c4_for_one_tick_is_withheld(due: Cdn, other_c4: Cdn) -> None:
    before = edge(due)
    right = due.config_path.read_text()
    theirs = re.search(r"\[c4\].*?\[cdn\]", other_c4.config_path.read_text(), re.DOTALL)
    assert theirs is not None
    due.config_path.write_text(re.sub(r"\[c4\].*?\[cdn\]", theirs[0], right, flags=re.DOTALL))
    result = tick(due)
    assert (result["exit_code"], withheld(result)) == (Exit.TRY_LATER, [("C4_UNKNOWN_DOMAIN", len(FLEET))])
    due.config_path.write_text(right)
    require_healed(due, before)


@pytest.fixture
def other_c4(due: Cdn) -> Iterator[Cdn]:
    """Yield another CDN, whose C4 has no domains."""
    folder = due.folder / "other"
    folder.mkdir()
    with Cdn(folder, due.clock) as running:
        yield running


def test_domains_that_were_never_served_heal_after_c4_did_not_know_them(due: Cdn) -> None:
    new = [f"new{number}.example.com" for number in range(8)]
    for name in new:
        due.add_domain(name, points_at="elsewhere.example.org")
    due.sslctl("add", *new)
    before = edge(due)
    result = tick(due, unknown, days=1)
    assert (result["exit_code"], withheld(result)) == (Exit.TRY_LATER, [("C4_UNKNOWN_DOMAIN", len(FLEET))])
    assert {statuses(due)[name] for name in new} == {"Discard"}
    for name in new:
        due.clear_dns(name)
        due.point(name, f"{name}.cdn.test")
    require_healed(due, before)


def test_expired_half_of_the_fleet_is_not_discarded_by_one_wrong_tick(cdn: Cdn) -> None:
    serve(cdn, *FLEET[:6])
    cdn.clock.move(days=89)
    serve(cdn, *FLEET[6:])
    for name in FLEET:
        cdn.zone.spoil(name, Trouble.SERVFAIL)
    tick(cdn, days=2)
    before = edge(cdn)
    for hours in (24, 1):
        assert tick(cdn, unknown, hours=hours)["exit_code"] == Exit.TRY_LATER
        assert "Discard" not in statuses(cdn).values()
    heal(cdn)
    require_healed(cdn, before)


def test_few_domains_are_discarded_only_by_a_second_tick_50_minutes_later_and_heal(cdn: Cdn) -> None:
    few = FLEET[:3]
    serve(cdn, *few)
    cdn.clock.move(days=84)
    for minutes, status in ((0, "Success"), (49, "Success"), (1, "Discard")):
        tick(cdn, unknown, minutes=minutes)
        assert set(statuses(cdn).values()) == {status}
    for _ in range(24):
        tick(cdn, hours=1)
    assert set(statuses(cdn).values()) == {"Success"}


def test_true_loss_of_one_domain_among_many_is_believed_and_not_suspected_again(due: Cdn) -> None:
    due.clear_dns(FLEET[7])
    result = tick(due)
    assert (result["exit_code"], withheld(result)) == (Exit.SOME_NOT_WELL, [])
    assert [name for name, status in statuses(due).items() if status == "Failure"] == [FLEET[7]]
    tick(due, days=1)
    domain = view(due, FLEET[7])
    assert (domain["status"], domain["reason"]["code"], domain["warnings"]) == ("Failure", "NXDOMAIN", [])


@pytest.mark.parametrize(
    ("most", "percent", "is_believed"),
    [(0, 0, False), (0, 100, True), (12, 0, True), (11, 0, False)],
)
def test_limit_of_suspicions_is_configurable(
    due: Cdn, most: int, percent: float, *, is_believed: bool
) -> None:
    with due.config_path.open("a") as file:
        file.write(f"\n[safety]\nmax_suspicions = {most}\nmax_suspicions_percent = {percent}\n")
    spoil(due, "NXDOMAIN")
    result = tick(due)
    assert (result["exit_code"] == Exit.TRY_LATER, bool(withheld(result))) == (
        not is_believed,
        not is_believed,
    )
    assert set(statuses(due).values()) == {"Failure" if is_believed else "Success"}


def test_emergency_is_kept_while_c4_does_not_answer(cdn: Cdn) -> None:
    cdn.add_domain(SHOP)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422))
    assert cdn.sslctl("add", SHOP).exit_code == Exit.EMERGENCY
    first = view(cdn)["reason"]
    cdn.c4.set_faults(Fault(status=503))
    cdn.clock.move(hours=1)
    since = cdn.clock()
    assert cdn.sslctl("recheck", SHOP).exit_code == Exit.TRY_LATER
    cdn.clock.move(hours=1)
    assert cdn.sslctl("recheck", SHOP).exit_code == Exit.TRY_LATER
    domain = view(cdn)
    assert (domain["status"], domain["reason"]["code"]) == ("Emergency", first["code"])
    assert domain["unconfirmed"]["code"] == "C4_UNANSWERED"
    assert domain["unconfirmed"]["since"] == since.isoformat().replace("+00:00", "Z")
    cdn.c4.heal()
    tick(cdn, days=1)
    assert (view(cdn)["status"], len(cdn.issuer.orders)) == ("Success", 1)


def test_failed_challenge_is_kept_while_the_ca_is_down(cdn: Cdn) -> None:
    cdn.add_domain(SHOP)
    cdn.issuer.refusals = [IssueError(Code.CHALLENGE_FAILED, "404", order_dead=True)]
    assert cdn.sslctl("add", SHOP).exit_code == Exit.FAILURE
    cdn.issuer.refusals = [IssueError(Code.CA_UNAVAILABLE, "503")]
    cdn.clock.move(hours=1)
    assert cdn.sslctl("recheck", SHOP).exit_code == Exit.TRY_LATER
    domain = view(cdn)
    assert (domain["status"], domain["reason"]["code"]) == ("Failure", "CHALLENGE_FAILED")
    assert domain["unconfirmed"]["code"] == "CA_UNAVAILABLE"
    cdn.clear_dns(SHOP)
    tick(cdn, days=1)
    # DNS answered "no" now: that is what is known, and nothing is unconfirmed.
    domain = view(cdn)
    assert (domain["reason"]["code"], domain["unconfirmed"]) == ("NXDOMAIN", None)


def test_adopted_text_certificate_heals_after_c4_did_not_know_its_domain(cdn: Cdn) -> None:
    cdn.add_domain(SHOP)
    assert cdn.sslctl("add", SHOP).exit_code == 0
    control_plane = cdn.app().control_plane
    control_plane.remove(SHOP)
    control_plane.upload(SHOP, cdn.text_pair(SHOP, days=365), Source.TEXT)
    tick(cdn, days=1)
    assert cdn.sslctl("adopt", SHOP).exit_code == 0
    theirs = cdn.installed(SHOP)
    tick(cdn, unknown, days=1)
    tick(cdn, unknown, hours=1)
    assert view(cdn)["status"] == "Discard"
    for _ in range(26):
        tick(cdn, hours=1)
    assert (view(cdn)["status"], cdn.installed(SHOP)) == ("Success", theirs)


def test_recheck_of_a_fleet_withholds_what_a_tick_withholds(due: Cdn) -> None:
    before = edge(due)
    spoil(due, "NXDOMAIN")
    assert due.sslctl("recheck", *FLEET).exit_code == Exit.TRY_LATER
    assert set(statuses(due).values()) == {"Success"}
    heal(due)
    require_healed(due, before)
