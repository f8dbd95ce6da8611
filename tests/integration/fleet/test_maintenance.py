"""A maintenance pause: ticks look and notify, and order nothing, upload nothing and remove nothing on C4."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import pytest

from sslctl.app import App
from sslctl.issuer import Issued, IssueError
from sslctl.rules.model import Order
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.fakes import FakeIssuer, FakeNotifier
from tests.support.store_cases import look_into

NAME, OTHER = "shop.example.com", "www.example.org"
CHANGES = ("PUT", "DELETE")


class SteppingIssuer(FakeIssuer):
    """A CA that calls `step` once, as soon as the first order was placed."""

    def __init__(self, cdn: Cdn, step: Callable[[], object]) -> None:
        super().__init__(cdn.clock)
        self._step: Callable[[], object] | None = step
        self._lock = Lock()

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        """See `Issuer.issue`."""

        def step(url: str) -> None:
            on_url(url)
            with self._lock:
                pending, self._step = self._step, None
                if pending is not None:
                    pending()

        return super().issue(order, step, replaces=replaces)


class NotifyingCdn(Cdn):
    """A CDN whose ticks send their notices to `notifier`."""

    def __init__(self, cdn: Cdn) -> None:
        self.__dict__ = cdn.__dict__
        self.notifier = FakeNotifier("slack")

    def app(self) -> App:
        """Return the application with the fake notifier."""
        app = super().app()
        app.notifier = self.notifier
        return app


def pause(cdn: Cdn, until: str = "2h", *options: str) -> Any:
    result = cdn.sslctl("pause", "--until", until, "--reason", "C4 is upgraded", "--json", *options)
    assert result.exit_code == 0, result
    return result.json


def tick(cdn: Cdn, *, exit_code: int = 0, **moved: float) -> Any:
    cdn.clock.move(**moved)
    result = cdn.sslctl("daemon-tick", "--json")
    assert result.exit_code == exit_code, [
        (d["domain"], d["status"], d["reason"], d["error"])
        for d in result.json.get("domains", [])
        if d["status"] != "Success" or d["error"]
    ]
    return result.json


def view(cdn: Cdn, name: str = NAME) -> Any:
    return cdn.sslctl("view", name, "--json").json["domain"]


def changes(cdn: Cdn) -> int:
    """Return the number of uploads and removals that C4 was asked for."""
    return sum(request.method in CHANGES for request in cdn.c4.requests)


def served(cdn: Cdn, *names: str) -> None:
    """Add domains that end in Success."""
    for name in names:
        cdn.add_domain(name)
    assert cdn.sslctl("add", *names).exit_code == 0


def test_tick_orders_nothing_during_a_pause_and_all_that_waited_after_it(cdn: Cdn) -> None:
    served(cdn, NAME)
    cdn.add_domain(OTHER)
    cdn.clock.move(days=83, minutes=1)  # the renewal of NAME is due
    assert pause(cdn)["expiring"] == []
    cdn.sslctl("add", OTHER, "--no-wait")
    before = changes(cdn)
    for _ in range(2):
        result = tick(cdn, exit_code=5, minutes=50)
        assert result["maintenance"]["reason"] == "C4 is upgraded"
        assert {domain["reason"]["code"] for domain in result["domains"]} == {"MAINTENANCE"}
    assert (len(cdn.issuer.orders), changes(cdn)) == (1, before)
    assert view(cdn)["serving"] is not None
    assert tick(cdn, minutes=20)["maintenance"] is None
    assert sorted(cdn.issuer.orders) == [(NAME,), (NAME,), (OTHER,)]
    assert (view(cdn)["status"], view(cdn, OTHER)["status"]) == ("Success", "Success")


def test_tick_goes_on_after_resume(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    pause(cdn, "7d")
    assert cdn.sslctl("add", NAME).exit_code == 3
    assert cdn.sslctl("resume").exit_code == 0
    tick(cdn, minutes=1)
    assert (view(cdn)["status"], len(cdn.issuer.orders)) == ("Success", 1)


def test_tick_looks_during_a_pause_as_before(cdn: Cdn) -> None:
    served(cdn, NAME)
    tick(cdn)
    pause(cdn, "7d")
    tick(cdn, days=1)
    assert view(cdn)["observed"]["at"] == cdn.clock().isoformat().replace("+00:00", "Z")
    assert view(cdn)["status"] == "Success"
    cdn.clear_dns(NAME).add(NAME, "CNAME", "elsewhere.test")
    cdn.zone.add("elsewhere.test", "A", "192.0.2.9")
    cdn.clock.move(days=5)
    tick(cdn, days=1)
    tick(cdn, hours=1)
    assert [warning["code"] for warning in view(cdn)["warnings"]] == ["CNAME_ELSEWHERE"]


def test_domain_that_points_elsewhere_is_in_failure_during_a_pause_too(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="elsewhere.test")
    pause(cdn)
    result = cdn.sslctl("add", NAME)
    assert result.exit_code == 4
    assert "CNAME_ELSEWHERE" in result.stdout


@pytest.mark.parametrize("command", [("add",), ("recheck",)])
def test_command_during_a_pause_says_until_when_and_why_nothing_is_ordered(
    cdn: Cdn, command: tuple[str, ...]
) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "--no-wait")
    pause(cdn)
    result = cdn.sslctl(*command, NAME)
    assert result.exit_code == 3
    said = " ".join(result.stdout.split())
    assert (
        "MAINTENANCE: Orders and uploads are paused until 2026-11-23 14:00 SGT (2026-11-23 06:00 UTC),"
        in said
    )
    assert "because: C4 is upgraded" in said
    assert "next (nobody): The first tick after the pause goes on." in said
    assert (
        "paused until 2026-11-23 14:00 SGT (2026-11-23 06:00 UTC), because: C4 is upgraded" in result.stderr
    )
    assert (cdn.issuer.orders, changes(cdn)) == ([], 0)


def test_add_without_waiting_records_and_says_that_orders_are_paused(cdn: Cdn) -> None:
    usual = cdn.sslctl("add", OTHER, "--no-wait")
    pause(cdn)
    result = cdn.sslctl("add", NAME, "--no-wait")
    assert (result.exit_code, view(cdn)["reason"]["code"]) == (usual.exit_code, "QUEUED")
    assert "Orders and uploads are paused until" in result.stderr


def test_recheck_of_a_healthy_domain_succeeds_during_a_pause(cdn: Cdn) -> None:
    served(cdn, NAME)
    pause(cdn)
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert cdn.sslctl("recheck", NAME, "--force-renew").exit_code == 75
    tick(cdn, minutes=1)
    assert (view(cdn)["status"], len(cdn.issuer.orders)) == ("Success", 1)


def test_batch_under_way_stops_placing_orders_when_a_pause_is_set_and_finishes_what_was_placed(
    cdn: Cdn,
) -> None:
    names = [f"d{number}.example.com" for number in range(40)]
    # On a busy machine DNS takes longer for so many at once, and a domain without an answer would be retried later.
    text = cdn.config_path.read_text()
    cdn.config_path.write_text(text.replace("timeout_seconds = 2", "timeout_seconds = 60"))
    for name in names:
        cdn.add_domain(name)
    cdn.issuer = SteppingIssuer(cdn, lambda: pause(cdn))
    assert cdn.sslctl("add", *names).exit_code == 5
    placed = len(cdn.issuer.orders)
    # No more than acme.workers were at the CA already.
    assert 1 <= placed <= 4
    found = [view(cdn, name) for name in names]
    assert {domain["reason"]["code"] for domain in found} == {"MAINTENANCE"}
    assert sum(len(domain["certificates"]) for domain in found) == placed
    assert changes(cdn) == 0
    with look_into(cdn.folder / "state" / "sslctl.db") as database:
        [(opened,)] = database.execute("SELECT count(*) FROM acme_order").fetchall()
        [(marked,)] = database.execute("SELECT count(uploading_at) FROM certificate").fetchall()
    # The others had to wait for the CA, and prepared nothing.
    assert (opened <= 4, marked) == (True, 0)
    cdn.sslctl("resume")
    tick(cdn, minutes=1)
    assert {view(cdn, name)["status"] for name in names} == {"Success"}
    assert cdn.issuer.orders_by_name() == dict.fromkeys(names, 1)


def test_certificate_that_was_issued_as_the_pause_began_is_uploaded_after_it_without_a_second_order(
    cdn: Cdn,
) -> None:
    cdn.add_domain(NAME)
    cdn.issuer = SteppingIssuer(cdn, lambda: pause(cdn))
    assert cdn.sslctl("add", NAME).exit_code == 3
    for _ in range(2):
        tick(cdn, exit_code=5, minutes=30)
    assert (len(view(cdn)["certificates"]), changes(cdn)) == (1, 0)
    tick(cdn, hours=1)
    assert (view(cdn)["status"], len(cdn.issuer.orders)) == ("Success", 1)


def test_open_order_is_collected_and_not_validated_again_during_a_pause(cdn: Cdn) -> None:
    """The CA would fetch the challenge from the CDN, which is under maintenance, and count a failed validation."""
    cdn.add_domain(NAME)
    cdn.issuer.refusals.append(IssueError(Code.CA_VALIDATING, "still pending"))
    assert cdn.sslctl("add", NAME).exit_code == 3
    cdn.issuer.pending.add("https://ca.test/order/1")
    pause(cdn)
    tick(cdn, exit_code=5, hours=1)
    found = view(cdn)
    assert (found["reason"]["code"], found["unconfirmed"]["code"]) == ("CA_VALIDATING", "MAINTENANCE")
    assert cdn.issuer.issued == {}
    cdn.sslctl("resume")
    tick(cdn, minutes=1)
    assert (view(cdn)["status"], len(cdn.issuer.orders)) == ("Success", 1)


def test_upload_before_the_pause_is_read_back_during_it(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.READBACK, status=503))
    assert cdn.sslctl("add", NAME).exit_code != 0
    cdn.c4.heal()
    pause(cdn)
    before = changes(cdn)
    tick(cdn, hours=1)
    assert (view(cdn)["status"], changes(cdn)) == ("Success", before)


def test_emergency_stays_one_during_a_pause(cdn: Cdn) -> None:
    served(cdn, NAME)
    cdn.clock.move(days=83, minutes=1)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    tick(cdn, exit_code=7)
    cdn.c4.heal()
    pause(cdn)
    tick(cdn, exit_code=7, hours=1)
    found = view(cdn)
    assert (found["reason"]["code"], found["unconfirmed"]["code"]) == ("C4_REJECTED", "MAINTENANCE")
    assert cdn.sslctl("recheck", NAME).exit_code == 75
    tick(cdn, hours=1)
    assert (view(cdn)["status"], len(cdn.issuer.orders)) == ("Success", 2)


def test_loss_on_c4_during_a_pause_is_an_emergency_that_people_hear_of(cdn: Cdn) -> None:
    notifying = NotifyingCdn(cdn)
    served(cdn, NAME)
    pause(cdn, "3d")
    assert cdn.app().control_plane.remove(NAME)
    before = changes(cdn)
    result = tick(notifying, exit_code=7, days=1)
    assert result["lost_on_c4"] == 1
    assert (view(cdn)["reason"]["code"], changes(cdn)) == ("UPLOAD_PAUSED", before)
    [(message, _)] = notifying.notifier.sent
    assert message.title == "sslctl: 1 domain in Emergency"
    assert "C4 is upgraded" in message.body
    cdn.sslctl("resume")
    tick(notifying, hours=1)
    assert (view(cdn)["status"], len(cdn.issuer.orders)) == ("Success", 1)


def test_notices_name_the_pause_as_the_cause_of_what_expires(cdn: Cdn) -> None:
    notifying = NotifyingCdn(cdn)
    served(cdn, NAME)
    cdn.clock.move(days=70)
    pause(cdn, "30d", "--force")
    tick(notifying)
    assert notifying.notifier.sent == []
    for days in (13, 4, 2):
        tick(notifying, exit_code=5, days=days, minutes=1)
    bodies = [message.body for message, _ in notifying.notifier.sent]
    assert len(bodies) == 3
    assert all("Expires soon, MAINTENANCE: 1 domain; operator must act" in body for body in bodies)
    assert all("C4 is upgraded" in body for body in bodies)


def test_pasted_pair_waits_for_the_end_of_the_pause(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    pause(cdn)
    pair = cdn.text_pair(NAME)
    assert cdn.sslctl("add", NAME, *cdn.paste(pair)).exit_code == 3
    assert (view(cdn)["reason"]["code"], changes(cdn)) == ("MAINTENANCE", 0)
    tick(cdn, hours=2)
    assert view(cdn)["status"] == "Success"


def test_text_certificate_on_c4_is_not_removed_during_a_pause(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME))).exit_code == 0
    text = cdn.installed(NAME)
    cdn.issuer = SteppingIssuer(cdn, lambda: pause(cdn))
    before = changes(cdn)
    assert cdn.sslctl("add", NAME).exit_code == 3
    assert (cdn.installed(NAME), changes(cdn)) == (text, before)
    tick(cdn, hours=2)
    assert (view(cdn)["status"], view(cdn)["source"], len(cdn.issuer.orders)) == ("Success", "c4", 1)


@pytest.mark.parametrize("options", [("--yes",), ("--yes", "--revoke"), ("--yes", "--force"), ()])
def test_delete_removes_and_revokes_nothing_during_a_pause(cdn: Cdn, options: tuple[str, ...]) -> None:
    served(cdn, NAME)
    pause(cdn)
    before = changes(cdn)
    result = cdn.sslctl("delete", NAME, *options)
    assert result.exit_code == 75
    assert "because: C4 is upgraded; nothing was deleted" in result.stderr
    assert "--keep-on-c4" in result.stderr
    assert (changes(cdn), cdn.issuer.revoked, view(cdn)["deleted_at"]) == (before, [], None)


def test_delete_that_leaves_the_certificate_on_c4_is_possible_during_a_pause(cdn: Cdn) -> None:
    served(cdn, NAME)
    pause(cdn)
    before = changes(cdn)
    assert cdn.sslctl("delete", NAME, "--yes", "--keep-on-c4").exit_code == 0
    assert (changes(cdn), view(cdn)["deleted_at"] is not None) == (before, True)


def test_no_renewal_is_made_early_during_a_pause(cdn: Cdn) -> None:
    names = [f"d{number}.example.com" for number in range(4)]
    with cdn.config_path.open("a") as config:
        config.write("[renewal]\nmax_per_day = 1\n")
    served(cdn, *names)
    cdn.clock.move(days=80)
    assert cdn.sslctl("daemon-tick", "--dry-run", "--json").json["planned"] != []
    pause(cdn)
    found = cdn.sslctl("daemon-tick", "--dry-run", "--json").json
    assert (found["planned"], found["maintenance"]["reason"]) == ([], "C4 is upgraded")
    tick(cdn)
    assert len(cdn.issuer.orders) == 4


def test_pause_ends_by_itself_if_the_clock_jumps_and_returns_with_it(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    pause(cdn)
    cdn.clock.move(days=-2)
    assert tick(cdn)["maintenance"] is None
    cdn.clock.move(days=2)
    assert tick(cdn)["maintenance"] is not None
