"""`add --before-cutover`: a certificate is issued and uploaded while DNS still points at the customer's old host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sslctl.errors import Exit
from sslctl.sandbox.edge_fault import EdgeFault
from tests.support.cdn import SUFFIX, Cdn
from tests.support.edges import address, edges_of
from tests.support.misbehaving import Behaviour, http_head, sending
from tests.support.token_edge import TokenEdge

NAME, OLD = "shop.example.com", "old.example.org"


@pytest.fixture
def old_host(cdn: Cdn) -> Iterator[TokenEdge]:
    """Run the old host, to which the domain points; it answers the challenges of the CA."""
    with RedirectingHost(cdn.issuer) as edge:
        text = cdn.config_path.read_text()
        probe = f"probe_ports = false\nprobe_private = true\nhttp_port = {edge.port}"
        cdn.config_path.write_text(text.replace("probe_ports = false", probe))
        cdn.add_domain(NAME, points_at=OLD)
        for host in (OLD, f"{NAME}.{SUFFIX}"):
            cdn.clear_dns(host).add(host, "A", "127.0.0.1")
        yield edge


class RedirectingHost(TokenEdge):
    """The CDN, and the customer's old host, which redirects the challenges of the domain to the target on the CDN."""

    def choose(self, request: bytes) -> Behaviour:
        lines = request.decode().split("\r\n")
        if lines[1] != f"Host: {NAME}" or NAME in self.broken_hosts:
            return super().choose(request)
        location = f"http://{NAME}.{SUFFIX}:{self.port}{lines[0].split(' ')[1]}"
        return sending(http_head(302, f"Location: {location}\r\nContent-Length: 0\r\n"))


def switch(cdn: Cdn) -> None:
    """Point the domain at the CDN."""
    cdn.clear_dns(NAME)
    cdn.point(NAME, f"{NAME}.{SUFFIX}")


def view(cdn: Cdn) -> Any:
    return cdn.sslctl("view", NAME, "--json").json["domain"]


def codes(cdn: Cdn) -> list[str]:
    return [each["code"] for each in view(cdn)["warnings"]]


@pytest.mark.usefixtures("old_host")
def test_certificate_is_installed_while_dns_points_at_the_old_host(cdn: Cdn) -> None:
    assert cdn.sslctl("add", NAME).exit_code == Exit.FAILURE
    assert cdn.sslctl("add", NAME, "--before-cutover").exit_code == Exit.OK
    assert cdn.installed(NAME)
    domain = view(cdn)
    assert (domain["status"], codes(cdn)) == ("Success", ["BEFORE_CUTOVER"])
    (warning,) = domain["warnings"]
    assert (warning["owner"], warning["records"][0]["wanted"]) == ("nobody", [f"{NAME}.{SUFFIX}"])
    assert domain["before_cutover_since"] == "2026-11-23T04:00:00Z"
    assert "Before cutover" in cdn.sslctl("view", NAME).stdout
    assert cdn.issuer.probes == 1


def test_order_waits_for_the_redirect_of_the_old_host(cdn: Cdn, old_host: TokenEdge) -> None:
    old_host.broken_hosts.add(NAME)
    assert cdn.sslctl("add", NAME, "--before-cutover").exit_code == Exit.FAILURE
    reason = view(cdn)["reason"]
    assert reason["code"] == "CHALLENGE_UNREACHABLE"
    target = f"http://{NAME}.{SUFFIX}"
    assert (
        f"location ^~ /.well-known/acme-challenge/ {{ return 302 {target}$request_uri; }}"
        in reason["sentence"]
    )
    assert f"RedirectMatch 302 ^(/.well-known/acme-challenge/.*)$ {target}$1" in reason["sentence"]
    assert cdn.issuer.orders == []
    old_host.broken_hosts.clear()
    cdn.clock.move(minutes=1)
    assert cdn.sslctl("daemon-tick").exit_code == Exit.OK
    assert (view(cdn)["status"], len(cdn.issuer.orders)) == ("Success", 1)


def test_old_host_that_does_not_answer_holds_the_order_back(cdn: Cdn, old_host: TokenEdge) -> None:
    old_host.__exit__(None, None, None)
    assert cdn.sslctl("add", NAME, "--before-cutover").exit_code == Exit.FAILURE
    assert cdn.issuer.orders == []
    old_host.__enter__()


@pytest.mark.usefixtures("old_host")
def test_caa_is_checked_before_the_cutover(cdn: Cdn) -> None:
    cdn.zone.add(NAME, "CAA", '0 issue "other.test"')
    assert cdn.sslctl("add", NAME, "--before-cutover").exit_code == Exit.FAILURE
    assert view(cdn)["reason"]["code"] == "CAA_FORBIDS"


@pytest.mark.usefixtures("old_host")
def test_renewal_goes_through_the_old_host_until_the_cutover(cdn: Cdn) -> None:
    assert cdn.sslctl("add", NAME, "--before-cutover").exit_code == Exit.OK
    cdn.clock.move(days=84)
    assert cdn.sslctl("daemon-tick").exit_code == Exit.OK
    domain = view(cdn)
    assert (domain["serving"]["version"], cdn.issuer.probes) == (2, 2)
    # By then a person should look.
    (warning,) = domain["warnings"]
    assert (warning["code"], warning["owner"]) == ("CUTOVER_LATE", "customer")


@pytest.mark.usefixtures("old_host")
def test_cutover_ends_when_the_domain_points_at_the_cdn(cdn: Cdn) -> None:
    assert cdn.sslctl("add", NAME, "--before-cutover").exit_code == Exit.OK
    switch(cdn)
    assert cdn.sslctl("recheck", NAME).exit_code == Exit.OK
    domain = view(cdn)
    assert (domain["status"], domain["warnings"], domain["before_cutover_since"]) == ("Success", [], None)
    assert "cutover ended" in [event["kind"] for event in domain["events"]]
    # From now on the normal rules hold: that it points elsewhere is a warning.
    cdn.clear_dns(NAME)
    cdn.point(NAME, OLD)
    cdn.sslctl("recheck", NAME)
    assert codes(cdn) == ["CNAME_ELSEWHERE"]


@pytest.mark.usefixtures("old_host")
def test_daily_look_ends_the_cutover(cdn: Cdn) -> None:
    assert cdn.sslctl("add", NAME, "--before-cutover").exit_code == Exit.OK
    cdn.clock.move(days=1)
    cdn.sslctl("daemon-tick")
    assert codes(cdn) == ["BEFORE_CUTOVER"]
    switch(cdn)
    cdn.clock.move(days=1)
    cdn.sslctl("daemon-tick")
    assert (codes(cdn), view(cdn)["before_cutover_since"]) == ([], None)


@pytest.mark.usefixtures("old_host")
def test_person_ends_the_cutover(cdn: Cdn) -> None:
    assert cdn.sslctl("add", NAME, "--before-cutover").exit_code == Exit.OK
    cdn.sslctl("add", NAME, "--no-before-cutover")
    assert view(cdn)["before_cutover_since"] is None
    cdn.sslctl("recheck", NAME)
    assert codes(cdn) == ["CNAME_ELSEWHERE"]


@pytest.mark.usefixtures("old_host")
def test_deleted_domain_is_not_before_its_cutover_when_it_comes_back(cdn: Cdn) -> None:
    assert cdn.sslctl("add", NAME, "--before-cutover").exit_code == Exit.OK
    assert cdn.sslctl("delete", NAME, "--yes").exit_code == Exit.OK
    cdn.sslctl("add", NAME, "--no-wait")
    assert view(cdn)["before_cutover_since"] is None


@pytest.mark.usefixtures("old_host")
@pytest.mark.parametrize("other", [("--dry-run",), ("--cert", "/dev/null", "--key", "/dev/null")])
def test_add_refuses_options_that_do_not_fit_the_cutover(cdn: Cdn, other: tuple[str, ...]) -> None:
    assert cdn.sslctl("add", NAME, "--before-cutover", *other).exit_code == Exit.USAGE


@pytest.mark.usefixtures("old_host")
def test_check_says_when_it_is_safe_to_switch_dns(cdn: Cdn) -> None:
    with edges_of(cdn, 2) as (_, lagging):
        lagging.fault = EdgeFault.LAG
        assert cdn.sslctl("add", NAME, "--before-cutover").exit_code == Exit.PENDING
        result = cdn.sslctl("check", NAME)
        assert result.exit_code == Exit.OK
        ending = " ".join(result.stdout.split()).partition("It is ")[2]
        assert ending.startswith(
            f"not safe to switch DNS yet: edge {address(lagging)} serves no certificate for it"
        )
        lagging.fault = None
        result = cdn.sslctl("check", NAME)
        ending = " ".join(result.stdout.split()).partition("It is ")[2]
        assert ending.startswith("safe to switch DNS now: certificate")
        assert "is active on C4 and served by all 2 edges that answer, and valid until" in ending
        assert f"Set the CNAME of {NAME} to {NAME}.{SUFFIX}." in ending
        assert "a token of sslctl was fetched" in result.stdout
    steps = {each["step"]: each for each in cdn.sslctl("check", NAME, "--json").json["diagnoses"][0]["steps"]}
    assert (steps["cname"]["grade"], steps["cname"]["code"]) == ("warn", "BEFORE_CUTOVER")
    assert (steps["port_443"]["grade"], steps["cutover"]["grade"]) == ("skipped", "warn")
    assert "no edge answers" in steps["cutover"]["found"]


@pytest.mark.usefixtures("old_host")
def test_check_says_that_it_is_not_safe_to_switch_dns_before_anything_is_installed(cdn: Cdn) -> None:
    cdn.sslctl("add", NAME, "--before-cutover", "--no-wait")
    assert "It is not safe to switch DNS yet: C4 has no certificate" in " ".join(
        cdn.sslctl("check", NAME).stdout.split()
    )


def test_check_tests_the_redirect_of_the_old_host(cdn: Cdn, old_host: TokenEdge) -> None:
    old_host.broken_hosts.add(NAME)
    cdn.sslctl("add", NAME, "--before-cutover", "--no-wait")
    result = cdn.sslctl("check", NAME)
    assert result.exit_code == Exit.FAILURE
    assert "CHALLENGE_UNREACHABLE" in result.stdout
    assert "RedirectMatch" in result.stdout


def test_check_looks_at_what_the_target_on_the_cdn_serves(cdn: Cdn, old_host: TokenEdge) -> None:
    assert cdn.sslctl("add", NAME, "--before-cutover").exit_code == Exit.OK
    with edges_of(cdn, 1) as (target,):
        text = cdn.config_path.read_text().partition("[verify]")[0]
        probe = f"probe_ports = true\nhttps_port = {target.https_port}"
        cdn.config_path.write_text(text.replace("probe_ports = false", probe))
        assert "It is safe to switch DNS now" in " ".join(cdn.sslctl("check", NAME).stdout.split())
        target.fault = EdgeFault.LIE
        ending = " ".join(cdn.sslctl("check", NAME).stdout.split()).partition("It is ")[2]
    assert ending.startswith(f"not safe to switch DNS yet: {NAME} on the CDN: 127.0.0.1:{target.https_port}")
    assert "it is not the one that C4 has" in ending
    assert old_host.requests
