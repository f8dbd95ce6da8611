"""Several CAs: another one issues where the first one does not for a reason of its own, and never two for one order.

The fake CAs count the requests; everything between the command line and the CAs is real.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from sslctl.issuer import IssueError
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.reasons import Code
from tests.support.cdn import FIRST_CA, OTHER_CA, Cdn
from tests.support.fakes import FakeIssuer

NAME = "a.test"
_ACCOUNT = Scope(LimitKind.ACCOUNT)


@pytest.fixture
def other(cdn: Cdn) -> FakeIssuer:
    """The fallback CA of a CDN with one domain."""
    cdn.add_domain(NAME)
    return cdn.add_other_ca()


def down(*, is_placed: bool = False) -> IssueError:
    return IssueError(Code.CA_UNAVAILABLE, "no connection", pause=_ACCOUNT, order_dead=not is_placed)


def certificates(cdn: Cdn) -> list[dict[str, Any]]:
    """Return the versions of the domain, newest first."""
    found: list[dict[str, Any]] = cdn.sslctl("view", NAME, "--json").json["domain"]["certificates"]
    return found


def cas(cdn: Cdn) -> list[str]:
    """Return the CAs of the versions of the domain, newest first."""
    return [each["ca"] for each in certificates(cdn)]


def finding(cdn: Cdn) -> dict[str, Any]:
    found: dict[str, Any] = cdn.sslctl("view", NAME, "--json").json["domain"]["reason"]
    return found


def renew(cdn: Cdn) -> int:
    return cdn.sslctl("recheck", NAME, "--force-renew", "--yes").exit_code


@pytest.mark.parametrize(
    "error",
    [
        down(),
        IssueError(Code.CA_REFUSED, "userActionRequired: agree", pause=_ACCOUNT, order_dead=True),
        IssueError(Code.CA_REFUSED, "badCSR: no such keys here", order_dead=True),
        IssueError(Code.NAME_REFUSED, "rejectedIdentifier: our policy", order_dead=True),
        IssueError(
            Code.CA_RATE_LIMITED, "too many new orders", pause=Scope(LimitKind.ORDERS), order_dead=True
        ),
    ],
    ids=lambda error: error.found.partition(":")[0],
)
def test_other_ca_issues_in_the_same_pass_when_the_first_one_has_trouble_of_its_own(
    cdn: Cdn, other: FakeIssuer, error: IssueError
) -> None:
    cdn.issuer.refusals.append(error)
    result = cdn.sslctl("add", NAME)
    assert (result.exit_code, cas(cdn), other.orders) == (0, [OTHER_CA], [(NAME,)])
    events = cdn.sslctl("view", NAME, "--json").json["domain"]["events"]
    assert [each["detail"] for each in events if each["kind"] == "other CA"] == [
        f"other.test in place of ca.test: {error.found}"
    ]
    assert re.search(r"^ +CA: +other\.test$", cdn.sslctl("view", NAME).stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "error",
    [
        IssueError(Code.CHALLENGE_FAILED, "a.test: 404", order_dead=True),
        IssueError(Code.CAA_FORBIDS, "caa: no", order_dead=True),
        IssueError(Code.CA_PAUSED, "too many failures", wanted="https://ca.test/unpause", order_dead=True),
        IssueError(
            Code.CA_RATE_LIMITED,
            "too many certificates for a.test",
            pause=Scope(LimitKind.CERTIFICATES, NAME),
            order_dead=True,
        ),
        IssueError(Code.CA_VALIDATING, "no decision in time"),
        IssueError(Code.ISSUER_FAILED, "No space left on device"),
    ],
    ids=lambda error: error.code,
)
def test_other_ca_is_not_asked_for_what_is_no_trouble_of_the_first_one(
    cdn: Cdn, other: FakeIssuer, error: IssueError
) -> None:
    cdn.issuer.refusals.append(error)
    cdn.sslctl("add", NAME)
    assert (finding(cdn)["code"], cas(cdn), other.orders) == (error.code, [], [])


@pytest.mark.usefixtures("other")
def test_other_ca_is_used_at_once_while_the_first_one_is_paused_and_the_first_one_at_the_next_renewal(
    cdn: Cdn,
) -> None:
    pause = cdn.clock() + timedelta(hours=2)
    cdn.issuer.refusals.append(
        IssueError(Code.CA_RATE_LIMITED, "wait", pause=_ACCOUNT, retry_at=pause, order_dead=True)
    )
    cdn.sslctl("add", NAME)
    asked = len(cdn.issuer.orders)
    assert renew(cdn) == 0
    assert (len(cdn.issuer.orders), cas(cdn)) == (asked, [OTHER_CA, OTHER_CA])
    cdn.clock.at = pause
    assert renew(cdn) == 0
    assert cas(cdn) == [FIRST_CA, OTHER_CA, OTHER_CA]
    # The certificate of another CA is not named to the first one.
    assert cdn.issuer.replaced[-1] == ""


def test_caa_that_does_not_allow_the_other_ca_leaves_the_order_to_the_first_one(
    cdn: Cdn, other: FakeIssuer
) -> None:
    cdn.zone.add(NAME, "CAA", '0 issue "ca.test"')
    cdn.issuer.refusals.append(down())
    assert cdn.sslctl("add", NAME).exit_code == 3
    assert other.orders == []
    assert "not from other.test either: a.test CAA 0 issue" in finding(cdn)["sentence"]


def test_caa_that_allows_only_the_other_ca_is_trouble_of_the_domain(cdn: Cdn, other: FakeIssuer) -> None:
    cdn.zone.add(NAME, "CAA", '0 issue "other.test"')
    cdn.sslctl("add", NAME)
    assert (finding(cdn)["code"], other.orders, cdn.issuer.orders) == (Code.CAA_FORBIDS, [], [])


def test_finding_names_the_trouble_of_each_ca_if_all_have_some(cdn: Cdn, other: FakeIssuer) -> None:
    cdn.issuer.refusals.append(down())
    other.refusals.append(IssueError(Code.CA_UNAVAILABLE, "timed out", order_dead=True))
    assert cdn.sslctl("add", NAME).exit_code == 3
    assert "no connection; not from other.test either: timed out" in finding(cdn)["sentence"]


@pytest.mark.parametrize("pause", [_ACCOUNT, Scope(LimitKind.ORDERS)], ids=str)
def test_next_try_is_as_soon_as_one_of_the_cas_may_issue(cdn: Cdn, other: FakeIssuer, pause: Scope) -> None:
    until = cdn.clock() + timedelta(hours=3)
    cdn.issuer.refusals.append(
        IssueError(Code.CA_RATE_LIMITED, "wait", pause=pause, retry_at=until, order_dead=True)
    )
    other.refusals.append(down())
    assert cdn.sslctl("add", NAME).exit_code == 3
    cdn.clock.move(minutes=10)
    cdn.sslctl("daemon-tick")
    assert (cas(cdn), len(cdn.issuer.orders)) == ([OTHER_CA], 1)


def test_first_ca_that_loses_orders_is_not_asked_again_soon(cdn: Cdn, other: FakeIssuer) -> None:
    until = cdn.clock() + timedelta(hours=20)
    cdn.issuer.refusals.append(IssueError(Code.CA_REFUSED, "no URL", retry_at=until, order_dead=True))
    other.refusals.append(down())
    cdn.sslctl("add", NAME)
    cdn.clock.move(hours=1)
    cdn.sslctl("daemon-tick")
    assert len(cdn.issuer.orders) == 1


def test_order_that_was_not_finalized_is_left_when_its_ca_goes_down(cdn: Cdn, other: FakeIssuer) -> None:
    cdn.issuer.refusals.append(down(is_placed=True))
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert (cas(cdn), len(cdn.issuer.orders), len(other.orders)) == ([OTHER_CA], 1, 1)


class Vanishing(FakeIssuer):
    """A CA that issues one certificate, and goes down before it returns it. `is_back` brings it back."""

    is_back = False

    def issue(self, *args: Any, **kwargs: Any) -> Any:
        """See `Issuer.issue`."""
        super().issue(*args, **kwargs)
        raise down(is_placed=True)

    def collect(self, order: Any) -> Any:
        """See `Issuer.collect`."""
        if not self.is_back:
            raise down(is_placed=True)
        return super().collect(order)


def test_order_whose_certificate_may_be_issued_waits_for_its_ca_and_is_collected(
    cdn: Cdn, other: FakeIssuer
) -> None:
    cdn.issuer = first = Vanishing(cdn.clock)
    assert cdn.sslctl("add", NAME).exit_code == 3
    cdn.clock.move(minutes=50)
    assert cdn.sslctl("recheck", NAME).exit_code == 3
    first.is_back = True
    cdn.clock.move(minutes=5)
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert (cas(cdn), len(cdn.issuer.orders), other.orders) == ([FIRST_CA], 1, [])


def test_order_whose_certificate_may_be_issued_is_left_after_an_hour_if_nothing_is_served(
    cdn: Cdn, other: FakeIssuer
) -> None:
    cdn.issuer = Vanishing(cdn.clock)
    cdn.sslctl("add", NAME)
    cdn.clock.move(hours=1)
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert (cas(cdn), len(other.orders)) == ([OTHER_CA], 1)


def test_order_whose_certificate_may_be_issued_is_kept_while_what_is_served_is_good(
    cdn: Cdn, other: FakeIssuer
) -> None:
    cdn.sslctl("add", NAME)
    served = cdn.installed(NAME)
    cdn.issuer = Vanishing(cdn.clock)
    renew(cdn)
    cdn.clock.move(hours=30)
    cdn.sslctl("recheck", NAME)
    assert (cas(cdn), cdn.installed(NAME), other.orders) == ([FIRST_CA], served, [])


def test_open_order_of_the_other_ca_is_collected_from_it(cdn: Cdn, other: FakeIssuer) -> None:
    cdn.issuer.refusals.append(down())
    other.refusals.append(IssueError(Code.CA_VALIDATING, "no decision in time"))
    cdn.sslctl("add", NAME)
    url = "https://ca.test/order/1"
    assert len(other.orders) == 1
    other.pending.add(url)
    cdn.clock.move(hours=1)
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert (cas(cdn), len(other.orders)) == ([OTHER_CA], 1)


def test_order_of_a_ca_that_is_not_configured_any_more_is_dropped(cdn: Cdn, other: FakeIssuer) -> None:
    configured = cdn.config_path.read_text()
    cdn.issuer.refusals.append(down())
    other.refusals.append(IssueError(Code.CA_VALIDATING, "no decision in time"))
    cdn.sslctl("add", NAME)
    cdn.config_path.write_text(configured.partition("[[acme.fallback]]")[0])
    cdn.other_issuer = None
    cdn.clock.move(hours=1)
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert cas(cdn) == [FIRST_CA]


def test_certificate_is_revoked_by_the_ca_that_issued_it(cdn: Cdn, other: FakeIssuer) -> None:
    cdn.issuer.refusals.append(down())
    cdn.sslctl("add", NAME)
    assert cdn.sslctl("revoke", NAME, "--reason", "superseded", "--yes").exit_code == 0
    assert (len(other.revoked), cdn.issuer.revoked) == (1, [])


def test_revocation_says_that_the_ca_of_the_certificate_is_not_configured_any_more(
    cdn: Cdn, other: FakeIssuer
) -> None:
    configured = cdn.config_path.read_text()
    cdn.issuer.refusals.append(down())
    cdn.sslctl("add", NAME)
    cdn.config_path.write_text(configured.partition("[[acme.fallback]]")[0])
    cdn.other_issuer = None
    result = cdn.sslctl("revoke", NAME, "--reason", "superseded", "--yes")
    assert f"the CA {OTHER_CA} is not configured any more" in result.stdout + result.stderr
    assert result.exit_code != 0
    assert other.revoked == []


def test_each_ca_is_asked_for_the_renewal_windows_of_its_own_certificates(
    cdn: Cdn, other: FakeIssuer
) -> None:
    cdn.issuer.suggested = other.suggested = lambda _id: None
    cdn.issuer.refusals.append(down())
    cdn.sslctl("add", NAME)
    cdn.add_domain("b.test")
    cdn.clock.move(minutes=10)
    cdn.sslctl("add", "b.test")
    cdn.sslctl("daemon-tick")
    assert (len(cdn.issuer.asked), len(other.asked)) == (1, 1)
    assert set(cdn.issuer.asked).isdisjoint(other.asked)


class Recording(FakeIssuer):
    """A CA that remembers the profile and the chain of each order."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.choices: list[tuple[str | None, str | None]] = []

    def issue(self, order: Any, *args: Any, **kwargs: Any) -> Any:
        """See `Issuer.issue`."""
        self.choices.append((order.profile, order.preferred_chain))
        return super().issue(order, *args, **kwargs)


@pytest.mark.usefixtures("other")
def test_profile_and_chain_that_were_chosen_for_a_domain_are_of_the_first_ca(cdn: Cdn) -> None:
    cdn.issuer, cdn.other_issuer = first, other = Recording(cdn.clock), Recording(cdn.clock)
    chosen = ("--profile", "shortlived", "--preferred-chain", "Old Root")
    assert cdn.sslctl("add", NAME, *chosen).exit_code == 0
    assert (first.choices, other.choices) == ([("shortlived", "Old Root")], [])
    first.refusals.append(down())
    assert renew(cdn) == 0
    assert other.choices == [(None, None)]


def test_limits_of_the_other_ca_are_its_own(cdn: Cdn) -> None:
    cdn.add_other_ca('limits = { orders = "1/3h" }')
    for name in (NAME, "b.test"):
        cdn.add_domain(name)
        cdn.issuer.refusals.append(down())
        cdn.sslctl("add", name)
    assert cas(cdn) == [OTHER_CA]
    held = cdn.sslctl("view", "b.test", "--json").json["domain"]["reason"]
    assert held["code"] == Code.CA_UNAVAILABLE
    assert "1 of 1 new orders in 3 hours" in held["sentence"]


def test_people_hear_for_a_day_that_another_ca_issues(cdn: Cdn, other: FakeIssuer) -> None:

    cdn.issuer.refusals.append(IssueError(Code.CA_REFUSED, "badCSR: no such keys here", order_dead=True))
    cdn.sslctl("add", NAME)
    assert other.orders
    told = "the CA other.test issued 1 certificate in place of ca.test"
    assert f"T{told[1:]}. In the last" in cdn.sslctl("daemon-tick").stdout
    assert cdn.sslctl("daemon-tick", "--json").json["other_ca_troubles"] == [told]
    cdn.clock.move(hours=25)
    assert told[1:] not in cdn.sslctl("daemon-tick").stdout
