"""One pass over one domain: after a kill between any two steps the next pass continues without a second order."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

import pytest

from sslctl.app import App
from sslctl.certificates.x509 import make_csr, make_key, renewal_id
from sslctl.control_plane import State
from sslctl.errors import Busy, ClaimLost
from sslctl.fleet import enrolment, removal
from sslctl.issuance.consent import Consent
from sslctl.issuer import Issued, IssueError
from sslctl.rules.claim_names import domain_claim
from sslctl.rules.model import Domain, Order
from sslctl.rules.reasons import Code, Status
from sslctl.rules.status import derive_status, describe_serving
from sslctl.sandbox.c4.faults import Drop, Fault, Operation
from tests.support.cdn import Cdn
from tests.support.dying_store import DyingStore, Killed
from tests.support.fakes import FakeIssuer

NAME = "shop.example.com"


def enrolled(cdn: Cdn) -> tuple[App, Domain]:
    cdn.add_domain(NAME)
    app = cdn.app()
    return app, enrolment.enrol(app.store, NAME, None, cdn.clock())


def run(app: App, *, renew: bool = False, believe: Collection[Code] = ()) -> Domain:
    pipeline = app.pipeline(lambda _domain, _step: None)
    return pipeline.run(NAME, renew=renew, consent=Consent(believe=frozenset(believe)))


def run_and_kill(cdn: Cdn, app: App, fatal: int, *, before: bool) -> None:
    """Run a pass that is killed at its `fatal`-th write. The third write stores the issued certificate."""
    dying = cdn.app()
    dying.store = DyingStore(app.store, fatal, before=before)
    with pytest.raises(Killed):
        run(dying)


def reason(app: App, domain: Domain) -> Code | None:
    return derive_status(domain, app.clock()).code


def installed(cdn: Cdn) -> str | None:
    placed = cdn.c4.serving(NAME)
    return None if placed is None else placed.fingerprint


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("fatal", range(1, 8))
def test_next_pass_succeeds_without_a_second_certificate_after_a_kill_at_any_write(
    cdn: Cdn, fatal: int, *, before: bool
) -> None:
    app, _ = enrolled(cdn)
    run_and_kill(cdn, app, fatal, before=before)
    domain = run(app)
    assert derive_status(domain, cdn.clock()).status is Status.SUCCESS
    assert domain.serving is not None
    assert installed(cdn) == domain.serving.leaf.fingerprint
    assert app.store.find_open_order(domain) is None
    # The URL is stored before the CA issues, so only a kill between the two leaves an order without a certificate.
    assert len(cdn.issuer.issued) == 1
    assert len(app.store.certificates(domain)) == 1


def test_pass_makes_no_more_than_seven_writes(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    dying = cdn.app()
    dying.store = DyingStore(app.store, 8, before=True)
    run(dying)


def test_pass_in_emergency_retries_only_the_upload(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422))
    assert reason(app, run(app)) is Code.C4_REJECTED
    assert reason(app, run(app)) is Code.C4_REJECTED
    cdn.c4.heal()
    assert reason(app, run(app)) is None
    assert len(cdn.issuer.orders) == 1


def test_pass_does_not_upload_an_undelivered_certificate_after_it_expired(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422))
    run(app)
    cdn.c4.heal()
    cdn.clock.move(days=91)
    domain = run(app)
    assert reason(app, domain) is None
    assert domain.serving is not None
    assert domain.serving.version == 2


def test_pass_succeeds_when_the_response_to_the_upload_is_lost(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, drop=Drop.AFTER))
    assert reason(app, run(app)) is None


def test_pass_reports_c4_unanswered_when_the_read_back_fails(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    cdn.c4.set_faults(Fault(kind=Operation.READBACK, status=503))
    assert reason(app, run(app)) is Code.C4_UNANSWERED
    cdn.c4.heal()
    uploads = len(cdn.uploads(NAME))
    assert reason(app, run(app)) is None
    assert len(cdn.uploads(NAME)) == uploads  # it was there already


def test_pass_reports_c4_mismatch_when_another_certificate_is_read_back(cdn: Cdn) -> None:
    class Forgetful:
        """C4, except that it confirms uploads and drops them."""

        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, method: str) -> Any:
            return getattr(self._real, method)

        def upload(self, *_: object) -> State:
            return State.ACTIVE

    app, _ = enrolled(cdn)
    run(app)
    before = installed(cdn)
    real, app.control_plane = app.control_plane, Forgetful(app.control_plane)
    assert reason(app, run(app, renew=True)) is Code.C4_MISMATCH
    assert installed(cdn) == before
    app.control_plane = real
    assert reason(app, run(app)) is None
    assert installed(cdn) != before
    assert len(cdn.issuer.orders) == 2


def test_pass_reinstalls_a_certificate_that_c4_lost(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    first = run(app)
    cdn.c4.delete_domain(NAME)
    cdn.add_domain(NAME)
    doubted = run(app)
    assert doubted.suspicion is not None
    assert (doubted.suspicion.code, doubted.serving) == (Code.C4_LOST, first.serving)
    domain = run(app, believe=[Code.C4_LOST])
    assert reason(app, domain) is None
    assert domain.serving is not None
    assert first.serving is not None
    assert domain.serving.id == first.serving.id
    assert installed(cdn) == first.serving.leaf.fingerprint
    assert len(cdn.issuer.orders) == 1
    assert "not serving" in [event.kind for event in app.store.events(domain)]


def test_pass_keeps_the_served_certificate_when_the_renewal_fails(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    first = run(app)
    cdn.point(NAME, "elsewhere.example.org")
    cdn.clock.move(days=84)
    domain = run(app, believe=[Code.CNAME_ELSEWHERE])
    assert reason(app, domain) is Code.CNAME_ELSEWHERE
    assert domain.serving == first.serving
    assert describe_serving(domain, cdn.clock()) == "valid, 6 days left"
    assert len(cdn.issuer.orders) == 1


def replaced_id(cdn: Cdn, app: App, name: str = NAME) -> str:
    """Force a renewal and return the ARI id that its order names as replaced."""
    cdn.issuer.replaced.clear()
    app.pipeline(lambda _domain, _step: None).run(name, renew=True)
    [ari_id] = cdn.issuer.replaced
    return ari_id


def test_only_a_renewal_names_the_certificate_that_it_replaces(cdn: Cdn) -> None:
    app, domain = enrolled(cdn)
    assert replaced_id(cdn, app) == ""
    for _ in range(2):
        serving = app.store.domain(domain.name).serving
        assert serving is not None
        expected = renewal_id(app.store.bundle(serving).certificate)
        assert expected is not None
        assert replaced_id(cdn, app) == expected


def test_order_after_a_text_certificate_names_no_replaced_certificate(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME)))
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert cdn.issuer.replaced == [""]


def test_renewal_names_no_replaced_certificate_when_ari_is_off(cdn: Cdn) -> None:
    cdn.config_path.write_text(cdn.config_path.read_text() + '[renewal]\nari = "off"\n')
    app, _ = enrolled(cdn)
    assert [replaced_id(cdn, app) for _ in range(2)] == ["", ""]


def test_pass_collects_an_undecided_order_and_places_no_second_one(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    cdn.issuer.refusals.append(IssueError(Code.CA_VALIDATING, "processing"))
    domain = run(app)
    assert reason(app, domain) is Code.CA_VALIDATING
    order = app.store.find_open_order(domain)
    assert order is not None
    assert order.url is not None
    # Meanwhile the CA issues.
    cdn.issuer.issued[order.url] = FakeIssuer.issue(cdn.issuer, order, lambda _url: None)
    placed = len(cdn.issuer.orders)
    assert reason(app, run(app)) is None
    assert len(cdn.issuer.orders) == placed


def test_pass_refuses_a_certificate_for_another_key_and_does_not_upload_it(cdn: Cdn) -> None:
    class Wrong(FakeIssuer):
        def _sign(self, order: Order) -> str:
            other = Order(0, 0, order.names, make_csr(make_key("ecdsa"), order.names), order.opened_at)
            return super()._sign(other)

    app, _ = enrolled(cdn)
    app.issuer = issuer = Wrong(cdn.clock)
    domain = run(app)
    assert reason(app, domain) is Code.ISSUER_FAILED
    assert domain.finding is not None
    assert "key" in domain.finding.found
    assert cdn.uploads(NAME) == []
    # The next passes ask for the same certificate again; after two days a new order is placed.
    for hours, orders in ((1, 1), (46, 1), (2, 2)):
        cdn.clock.move(hours=hours)
        assert reason(app, run(app)) is Code.ISSUER_FAILED
        assert len(issuer.orders) == orders


def test_pass_accepts_a_certificate_that_was_wrong_once(cdn: Cdn) -> None:
    class WrongOnce(FakeIssuer):
        def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
            issued = super().issue(order, on_url, replaces=replaces)
            return Issued(issued.certificate, issued.certificate)

    app, _ = enrolled(cdn)
    app.issuer = issuer = WrongOnce(cdn.clock)
    assert reason(app, run(app)) is Code.ISSUER_FAILED
    assert reason(app, run(app)) is None
    assert len(issuer.orders) == 1


def test_pass_raises_busy_while_another_process_has_the_claim(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    other = cdn.app()
    other.store._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # as if on another host
    other.store.claim([domain_claim(NAME)], timedelta(minutes=5))
    with pytest.raises(Busy):
        run(app)
    cdn.clock.move(minutes=6)
    assert reason(app, run(app)) is None


def test_pass_releases_its_claim_when_its_finding_cannot_be_written(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    cdn.point(NAME, "elsewhere.example.org")
    # The first write, which stores the finding, fails.
    run_and_kill(cdn, app, 1, before=True)
    other = cdn.app()
    other.store._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # as if on another host
    assert other.store.claim([domain_claim(NAME)], timedelta(minutes=5))
    other.close()


def test_pass_reports_its_steps(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    steps: list[str] = []
    app.pipeline(lambda _domain, step: steps.append(step)).run(NAME)
    assert steps == [
        "querying C4",
        "checking DNS",
        "ordering a certificate",
        "uploading to C4",
        "reading back from C4",
    ]


def test_pass_keeps_an_order_open_until_the_ca_can_be_queried(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    run_and_kill(cdn, app, 3, before=True)
    for code in (Code.CA_UNAVAILABLE, Code.CA_RATE_LIMITED, Code.ISSUER_FAILED, Code.CA_REFUSED):
        cdn.issuer.refusals.append(IssueError(code, "not now"))
        assert reason(app, run(app)) is code
    domain = run(app)
    assert reason(app, domain) is None
    assert len(cdn.issuer.orders) == 1


def test_pass_collects_an_open_order_when_a_renewal_is_forced(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    run_and_kill(cdn, app, 3, before=True)
    assert reason(app, run(app, renew=True)) is None
    assert len(cdn.issuer.orders) == 1


def test_pass_that_loses_its_claim_while_it_stores_the_order_places_none(cdn: Cdn) -> None:
    app, domain = enrolled(cdn)
    losing = cdn.app()
    # As if the process had been frozen, and another one had taken the domain over.
    losing.store = DyingStore(
        app.store,
        1,
        before=False,
        methods={"open_order"},
        kill=lambda: app.store.break_claim(domain_claim(NAME), force=True),
    )
    with pytest.raises(ClaimLost):
        run(losing)
    assert cdn.issuer.orders == []
    assert reason(app, run(app)) is None
    assert len(cdn.issuer.orders) == 1
    assert app.store.find_open_order(domain) is None


@pytest.mark.parametrize("is_pending", [False, True])
def test_tick_completes_a_forced_renewal_after_a_kill(cdn: Cdn, *, is_pending: bool) -> None:
    app, _ = enrolled(cdn)
    run(app)
    dying = cdn.app()
    dying.store = DyingStore(app.store, 3 if not is_pending else 2, before=not is_pending)
    with pytest.raises(Killed):
        run(dying, renew=True)
    if is_pending:
        cdn.issuer.pending.add("https://ca.test/order/2")
    assert cdn.sslctl("daemon-tick").exit_code == 0
    domain = app.store.domain(NAME)
    assert domain.serving is not None
    assert domain.serving.version == 2
    assert app.store.find_open_order(domain) is None
    assert len(cdn.issuer.orders) == 2


def test_pass_abandons_an_open_order_whose_certificate_has_expired(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    run_and_kill(cdn, app, 3, before=True)
    cdn.clock.move(days=200)
    domain = run(app)
    assert reason(app, domain) is None
    assert len(cdn.issuer.orders) == 2


def test_pass_does_not_upload_an_undelivered_certificate_of_the_other_source(cdn: Cdn) -> None:
    app, domain = enrolled(cdn)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422))
    bundle = cdn.text_pair(NAME)
    enrolment.paste(app.store, NAME, (), bundle, cdn.clock())
    run(app)
    cdn.c4.heal()
    enrolment.enrol(app.store, NAME, None, cdn.clock())
    domain = run(app)
    assert domain.serving is not None
    assert domain.serving.source == "c4"


@pytest.mark.parametrize("change", ["remove", "paste", "enrol", "queue"])
def test_change_raises_busy_while_another_process_has_the_claim(cdn: Cdn, change: str) -> None:
    app, domain = enrolled(cdn)
    cdn.point(NAME, "elsewhere.example.org")
    domain = run(app)
    other = cdn.app()
    other.store._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # as if on another host
    other.store.claim([domain_claim(NAME)], timedelta(minutes=5))
    changes: dict[str, Callable[[], object]] = {
        "remove": lambda: removal.remove(app.store, app.control_plane, app.issuer, NAME, app.clock()),
        "paste": lambda: enrolment.paste(app.store, NAME, None, cdn.text_pair(NAME), cdn.clock()),
        "enrol": lambda: enrolment.enrol(app.store, NAME, ("www.example.com",), cdn.clock()),
        "queue": lambda: enrolment.queue(app.store, domain, cdn.clock()),
    }
    with pytest.raises(Busy):
        changes[change]()
    assert app.store.domain(NAME) == domain
    other.close()


@pytest.mark.parametrize("dead", [True, False])
def test_pass_closes_a_failed_order_only_when_the_ca_has_ended_it(cdn: Cdn, dead: bool) -> None:
    app, _ = enrolled(cdn)
    cdn.issuer.refusals.append(IssueError(Code.CHALLENGE_FAILED, "404", order_dead=dead))
    domain = run(app)
    assert (app.store.find_open_order(domain) is None) is dead


def kill_with_pending_order(cdn: Cdn, app: App) -> None:
    """Kill a pass while the CA waits for the challenges."""
    run_and_kill(cdn, app, 2, before=False)
    cdn.issuer.pending.add("https://ca.test/order/1")


def test_pass_continues_a_pending_order_after_the_domain_points_here(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    kill_with_pending_order(cdn, app)
    cdn.point(NAME, "elsewhere.example.org")
    domain = run(app)
    assert reason(app, domain) is Code.CNAME_ELSEWHERE
    assert app.store.find_open_order(domain) is not None
    cdn.point(NAME, f"{NAME}.cdn.test")
    assert reason(app, run(app)) is None
    assert len(cdn.issuer.orders) == 1


def test_pass_abandons_an_open_order_for_other_names(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    kill_with_pending_order(cdn, app)
    cdn.add_domain("www.example.com")
    enrolment.enrol(app.store, NAME, ("www.example.com",), cdn.clock())
    assert reason(app, run(app)) is None
    assert cdn.issuer.orders == [(NAME,), (NAME, "www.example.com")]


def test_pass_abandons_an_undecided_order_after_two_days(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    kill_with_pending_order(cdn, app)
    cdn.issuer.pending.clear()
    for hours, orders in ((1, 1), (46, 1), (2, 2)):
        cdn.clock.move(hours=hours)
        cdn.issuer.refusals = [IssueError(Code.CA_VALIDATING, "processing")]
        run(app)
        assert len(cdn.issuer.orders) == orders


def test_c4_that_contradicts_its_record_twice_is_an_emergency(cdn: Cdn) -> None:
    app, _ = enrolled(cdn)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=409))
    assert reason(app, run(app)) is Code.C4_CHANGED
    for _ in range(2):
        cdn.clock.move(minutes=1)
        domain = run(app)
        assert reason(app, domain) is Code.C4_REJECTED
        assert derive_status(domain, cdn.clock()).status is Status.EMERGENCY
    cdn.c4.heal()
    assert reason(app, run(app)) is None
    assert len(cdn.issuer.orders) == 1
