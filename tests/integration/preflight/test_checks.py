"""Preflight against a real DNS server on loopback, real listeners, and Pebble's own DNS."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest
import requests

from sslctl.config.settings import CdnSection, DnsSection
from sslctl.preflight import PreflightError
from sslctl.preflight.checks import Preflight
from sslctl.rules.reasons import Code
from tests.support.dns_zone import DnsZone, Trouble
from tests.support.preflight_cases import CDN, NAME, TARGET, check, preflight, refuse

# DNS: where a name points.


def test_check_accepts_a_cname_to_the_cdn(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", TARGET).add(TARGET, "A", "198.51.100.1").add(TARGET, "AAAA", "2001:db8:ffff::1")
    check(preflight(zone))


@pytest.mark.parametrize("target", ["cdn.example.net", "CDN.Example.NET", "a.b.edge.example.org"])
def test_check_accepts_a_cname_to_a_suffix_or_any_name_below_it(zone: DnsZone, target: str) -> None:
    check(preflight(zone.add(NAME, "CNAME", target).add(target, "A", "198.51.100.1")))


def test_check_accepts_a_cname_chain_that_passes_through_the_cdn(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "www.example.com").add("www.example.com", "CNAME", TARGET)
    zone.add(TARGET, "CNAME", "pop.carrier.example").add("pop.carrier.example", "A", "198.51.100.1")
    check(preflight(zone))


@pytest.mark.parametrize("elsewhere", ["evilcdn.example.net", "cdn.example.net.evil.example", "example.net"])
def test_check_compares_suffixes_label_by_label(zone: DnsZone, elsewhere: str) -> None:
    zone.add(NAME, "CNAME", elsewhere).add(elsewhere, "A", "198.51.100.1")
    error = refuse(preflight(zone))
    assert (error.code, error.found, error.wanted) == (Code.CNAME_ELSEWHERE, f"{NAME} → {elsewhere}", TARGET)


def test_check_reports_cname_missing_for_a_name_below_the_suffix_without_a_cname(zone: DnsZone) -> None:
    zone.add(TARGET, "A", "198.51.100.1")
    assert refuse(preflight(zone), TARGET).code is Code.CNAME_MISSING


def test_check_accepts_a_cname_to_an_apex_with_addresses_of_the_cdn(zone: DnsZone) -> None:
    zone.add("www.example.com", "CNAME", "example.com").add("example.com", "A", "203.0.113.1")
    preflight(zone).check(("www.example.com",), TARGET, http_expected=True)
    zone.add("example.com", "AAAA", "2001:db8:bad::1")
    assert refuse(preflight(zone), "www.example.com").code is Code.AAAA_ELSEWHERE


def test_check_reports_cname_elsewhere_without_asking_for_the_other_address_family(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "other.example").add("other.example", "A", "192.0.2.1")
    zone.spoil(NAME, Trouble.SERVFAIL, "AAAA")
    assert refuse(preflight(zone)).code is Code.CNAME_ELSEWHERE
    assert zone.queries == [(NAME, "A")]


def test_check_reports_cname_elsewhere_when_the_cname_target_does_not_exist(zone: DnsZone) -> None:
    error = refuse(preflight(zone.add(NAME, "CNAME", "gone.example")))
    assert error.code is Code.CNAME_ELSEWHERE
    assert error.found == f"{NAME} → gone.example, which does not exist"


def test_check_reports_cname_elsewhere_for_a_cname_loop(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "b.example.com").add("b.example.com", "CNAME", NAME)
    error = refuse(preflight(zone))
    assert error.code is Code.CNAME_ELSEWHERE
    assert error.found == f"{NAME} → b.example.com → {NAME}, a chain without an end"


def test_check_reports_cname_elsewhere_and_shortens_a_cname_chain_that_is_too_long(zone: DnsZone) -> None:
    links = [NAME, *(f"link{number}.a-rather-long-label-in-the-middle.example.com" for number in range(30))]
    for link, following in pairwise(links):
        zone.add(link, "CNAME", following)
    zone.add(links[-1], "A", "198.51.100.1")
    error = refuse(preflight(zone))
    assert error.code is Code.CNAME_ELSEWHERE
    assert error.found.startswith(f"{NAME} → link0.")
    assert "(13 more)" in error.found
    assert error.found.endswith(", a chain without an end")


def test_check_asks_for_a_name_under_the_suffixes_when_c4_gives_no_usable_target(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "other.example").add("other.example", "A", "198.51.100.1")
    for target in ("", ".", NAME, "a..b", "x" * 64):
        error = refuse(preflight(zone), target=target)
        assert error.wanted == "a name under cdn.example.net or edge.example.org"


def test_check_reports_target_missing_when_the_target_of_c4_has_no_address(zone: DnsZone) -> None:
    error = refuse(preflight(zone.add(NAME, "CNAME", TARGET)), target=f"{TARGET.upper()}.")
    assert (error.code, error.wanted) == (Code.TARGET_MISSING, "an address")
    assert error.found == f"{NAME} → {TARGET}, which does not exist"
    assert refuse(preflight(zone), target="").code is Code.TARGET_MISSING
    error = refuse(preflight(zone.add(TARGET, "TXT", "x")))
    assert (error.code, error.found) == (Code.TARGET_MISSING, f"{NAME} → {TARGET}, which has no address")


def test_check_reports_cname_elsewhere_for_a_mistyped_target_under_the_suffix(zone: DnsZone) -> None:
    error = refuse(preflight(zone.add(NAME, "CNAME", "shpo.cdn.example.net")))
    assert (error.code, error.wanted) == (Code.CNAME_ELSEWHERE, TARGET)


def test_check_reports_nxdomain_when_the_name_does_not_exist(zone: DnsZone) -> None:
    error = refuse(preflight(zone))
    assert (error.code, error.found, error.wanted) == (Code.NXDOMAIN, f"NXDOMAIN for {NAME}", TARGET)


def test_check_reports_cname_missing_when_the_name_has_no_address_and_no_cname(zone: DnsZone) -> None:
    error = refuse(preflight(zone.add(NAME, "TXT", "hello")))
    assert (error.code, error.found) == (Code.CNAME_MISSING, f"no address and no CNAME at {NAME}")


def test_check_reports_cname_missing_for_an_empty_non_terminal(zone: DnsZone) -> None:
    assert refuse(preflight(zone.add(f"www.{NAME}", "A", "198.51.100.1"))).code is Code.CNAME_MISSING


def test_check_accepts_an_apex_with_addresses_of_the_cdn(zone: DnsZone) -> None:
    zone.add("example.com", "A", "203.0.113.1", "203.0.113.2").add("example.com", "AAAA", "2001:db8:c::1")
    check(preflight(zone), "example.com")


def test_check_accepts_an_apex_with_only_ipv6_addresses_of_the_cdn(zone: DnsZone) -> None:
    check(preflight(zone.add("example.com", "AAAA", "2001:db8:c::1")), "example.com")


def test_check_reports_cname_missing_when_one_address_is_not_of_the_cdn(zone: DnsZone) -> None:
    zone.add("example.com", "A", "203.0.113.1", "198.51.100.1")
    error = refuse(preflight(zone), "example.com")
    assert error.code is Code.CNAME_MISSING
    assert "198.51.100.1" in error.found
    assert error.found.startswith("example.com → ")


def test_check_reports_aaaa_elsewhere_when_only_the_ipv6_address_points_elsewhere(zone: DnsZone) -> None:
    zone.add("example.com", "A", "203.0.113.1").add("example.com", "AAAA", "2001:db8:bad::1")
    error = refuse(preflight(zone), "example.com")
    assert (error.code, error.found) == (Code.AAAA_ELSEWHERE, "example.com → 2001:db8:bad::1")


def test_check_reports_cname_missing_when_the_only_address_is_ipv6_and_points_elsewhere(
    zone: DnsZone,
) -> None:
    zone.add("example.com", "AAAA", "2001:db8:bad::1")
    assert refuse(preflight(zone), "example.com").code is Code.CNAME_MISSING


def test_check_reports_aaaa_elsewhere_for_an_ipv4_mapped_ipv6_address(zone: DnsZone) -> None:
    zone.add("example.com", "A", "203.0.113.1").add("example.com", "AAAA", "::ffff:203.0.113.1")
    assert refuse(preflight(zone), "example.com").code is Code.AAAA_ELSEWHERE


def test_check_examines_every_name_of_a_certificate(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", TARGET).add(TARGET, "A", "198.51.100.1")
    error = refuse(preflight(zone), NAME, "www.example.com")
    assert (error.code, error.found) == (Code.NXDOMAIN, "NXDOMAIN for www.example.com")


def test_check_message_is_printable_when_a_cname_contains_hostile_bytes(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", r"\027[31m\226\128\174.example").add(
        r"\027[31m\226\128\174.example", "A", "1.1.1.1"
    )
    error = refuse(preflight(zone))
    assert error.code is Code.CNAME_ELSEWHERE
    assert error.found.isprintable()


# A lookup that failed is never a "no".


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.REFUSED, Trouble.GARBAGE, Trouble.REFERRAL])
@pytest.mark.parametrize("kind", ["A", "CAA", None])
def test_check_reports_dns_unanswered_when_a_lookup_fails(
    zone: DnsZone, trouble: Trouble, kind: str | None
) -> None:
    zone.add(NAME, "A", "203.0.113.1").spoil(NAME, trouble, kind)
    error = refuse(preflight(zone, seconds=2))
    assert (error.code, error.wanted) == (Code.DNS_UNANSWERED, "an answer")
    assert error.found.startswith(f"{kind or 'A'} of {NAME}: ")
    assert error.found.isprintable()


def test_check_reports_dns_unanswered_when_the_resolver_is_silent(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").spoil(NAME, Trouble.SILENCE)
    error = refuse(preflight(zone, seconds=0.4))
    assert error.code is Code.DNS_UNANSWERED
    assert "timed out" in error.found


def test_check_reports_dns_unanswered_when_the_response_comes_after_the_timeout(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").delay(NAME, 60)
    assert refuse(preflight(zone, seconds=0.4)).code is Code.DNS_UNANSWERED


def test_check_accepts_a_response_that_is_slow_but_within_the_timeout(zone: DnsZone) -> None:
    check(preflight(zone.add(NAME, "A", "203.0.113.1").delay(NAME, 0.2), seconds=10))


def test_check_reports_dns_unanswered_when_the_resolver_is_down() -> None:
    with DnsZone() as gone:
        pass
    assert refuse(preflight(gone, seconds=1)).code is Code.DNS_UNANSWERED


def test_check_reports_dns_unanswered_when_the_lookup_of_the_cname_target_fails(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "other.example").spoil("other.example", Trouble.SERVFAIL)
    assert refuse(preflight(zone)).code is Code.DNS_UNANSWERED


def test_check_reports_dns_unanswered_when_one_family_is_nxdomain_and_the_other_fails(zone: DnsZone) -> None:
    zone.spoil(NAME, Trouble.SERVFAIL, "AAAA")
    assert refuse(preflight(zone)).code is Code.DNS_UNANSWERED


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.REFUSED, Trouble.GARBAGE, Trouble.SILENCE])
def test_check_succeeds_when_one_of_two_resolvers_answers(zone: DnsZone, trouble: Trouble) -> None:
    zone.add(NAME, "A", "203.0.113.1")
    with DnsZone() as broken:
        for name in (NAME, "example.com", "com"):
            broken.spoil(name, trouble)
        check(preflight(broken, zone, seconds=2))
        assert broken.queries


def test_check_retries_a_truncated_response_over_tcp(zone: DnsZone) -> None:
    zone.add(NAME, "A", *(f"203.0.113.{number}" for number in range(1, 101)))
    check(preflight(zone))
    assert zone.queries[:2] == [(NAME, "A"), (NAME, "A")]


# CAA.


def test_check_climbs_to_the_top_and_accepts_when_there_is_no_caa_record(zone: DnsZone) -> None:
    check(preflight(zone.add(NAME, "A", "203.0.113.1")))
    asked = [name for name, kind in zone.queries if kind == "CAA"]
    assert asked == [NAME, "example.com", "com"]


def test_check_reports_caa_forbids_when_caa_names_another_ca(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").add("example.com", "CAA", '0 issue "pki.example"')
    error = refuse(preflight(zone))
    assert error.code is Code.CAA_FORBIDS
    assert error.found == 'example.com CAA 0 issue "pki.example"'
    assert error.wanted == 'issue "letsencrypt.org"'


def test_check_uses_the_closest_caa_record(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").add(NAME, "CAA", '0 issue "letsencrypt.org"')
    zone.add("example.com", "CAA", '0 issue ";"')
    check(preflight(zone))
    assert ("example.com", "CAA") not in zone.queries


def test_check_stops_climbing_at_a_caa_record_without_issue(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").add(NAME, "CAA", '0 iodef "mailto:security@example.com"')
    zone.add("example.com", "CAA", '0 issue ";"')
    check(preflight(zone))


def test_check_applies_the_caa_record_of_the_cname_target(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", TARGET).add(TARGET, "A", "198.51.100.1").add(
        TARGET, "CAA", '0 issue "pki.example"'
    )
    error = refuse(preflight(zone))
    assert error.code is Code.TARGET_CAA_FORBIDS
    assert error.found == f'{NAME} → {TARGET} CAA 0 issue "pki.example"'


def test_check_does_not_climb_from_the_cname_target(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", TARGET).add(TARGET, "A", "198.51.100.1").add("example.net", "CAA", '0 issue ";"')
    check(preflight(zone))


def test_check_reports_dns_unanswered_when_the_caa_lookup_of_a_parent_fails(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").spoil("example.com", Trouble.SERVFAIL)
    error = refuse(preflight(zone))
    assert (error.code, error.found[:18]) == (Code.DNS_UNANSWERED, "CAA of example.com")


def test_check_does_not_query_caa_without_ca_identities(zone: DnsZone) -> None:
    check(preflight(zone.add(NAME, "A", "203.0.113.1").add(NAME, "CAA", '0 issue ";"'), identities=()))
    assert {kind for _, kind in zone.queries} == {"A", "AAAA"}


# Ports.


def on_loopback(http_port: int, https_port: int) -> CdnSection:
    return replace(CDN, probe_ports=True, probe_private=True, http_port=http_port, https_port=https_port)


@pytest.fixture
def local_zone(zone: DnsZone) -> DnsZone:
    return zone.add(NAME, "CNAME", TARGET).add(TARGET, "A", "127.0.0.1")


def test_check_accepts_open_ports_without_further_dns_queries(
    local_zone: DnsZone, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    check(preflight(local_zone, cdn=on_loopback(port, port), identities=()))
    for _ in ("http", "https"):
        listener.accept()[0].close()
    assert local_zone.queries == [(NAME, "A"), (NAME, "AAAA")]


def test_check_reports_port_80_closed_only_if_http_is_expected(
    local_zone: DnsZone, listener: socket.socket, closed_port: int
) -> None:
    prober = preflight(local_zone, cdn=on_loopback(closed_port, listener.getsockname()[1]))
    error = refuse(prober)
    assert (error.code, error.found) == (
        Code.PORT_80_CLOSED,
        f"connection refused at 127.0.0.1:{closed_port}",
    )
    assert error.wanted == f"a listener on port {closed_port}"
    check(prober, http_expected=False)


def test_check_reports_port_443_closed(
    local_zone: DnsZone, listener: socket.socket, closed_port: int
) -> None:
    error = refuse(preflight(local_zone, cdn=on_loopback(listener.getsockname()[1], closed_port)))
    assert (error.code, error.found) == (
        Code.PORT_443_CLOSED,
        f"connection refused at 127.0.0.1:{closed_port}",
    )


def test_check_does_not_probe_private_addresses(local_zone: DnsZone, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    check(preflight(local_zone, cdn=replace(on_loopback(port, port), probe_private=False)))
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_check_does_not_probe_ports_when_probe_ports_is_off(local_zone: DnsZone, closed_port: int) -> None:
    check(preflight(local_zone, cdn=replace(on_loopback(closed_port, closed_port), probe_ports=False)))


# Preflight as a whole.


def test_check_is_thread_safe(zone: DnsZone) -> None:
    for number in range(60):
        zone.add(f"n{number}.example.com", "A", "203.0.113.1" if number % 2 else "198.51.100.1")
    prober = preflight(zone, seconds=30)

    def judge(number: int) -> bool:
        try:
            check(prober, f"n{number}.example.com")
        except PreflightError as error:
            # Each thread must get the answer to its own question.
            return (
                error.code is Code.CNAME_MISSING
                and f"n{number}.example.com" in error.found
                and number % 2 == 0
            )
        return number % 2 == 1

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(judge, range(60)))


def free_port() -> int:
    with DnsZone() as zone:
        return zone.address[1]


@pytest.fixture
def challtestsrv() -> Iterator[tuple[int, str]]:
    dns_port, management_port = free_port(), free_port()
    off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]
    where = ["-dns01", f"127.0.0.1:{dns_port}", "-management", f"127.0.0.1:{management_port}"]
    with subprocess.Popen(
        ["pebble-challtestsrv", *off, *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for port in (dns_port, management_port):
                wait_until_it_listens(port)
            yield dns_port, f"http://127.0.0.1:{management_port}"
        finally:
            process.terminate()


def wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "pebble-challtestsrv does not come up"
            time.sleep(0.05)
        else:
            return


@pytest.mark.pebble
def test_check_works_against_the_dns_of_pebble(
    challtestsrv: tuple[int, str], listener: socket.socket, closed_port: int
) -> None:
    dns_port, management = challtestsrv

    def tell(path: str, **body: object) -> None:
        requests.post(f"{management}/{path}", json=body, timeout=10).raise_for_status()

    tell("set-cname", host=NAME, target=TARGET)
    tell("set-cname", host="elsewhere.example.com", target="other.example")
    tell("add-a", host="apex.example", addresses=["203.0.113.1"])
    tell("add-aaaa", host="apex.example", addresses=["2001:db8:bad::1"])
    tell("set-servfail", host="broken.example.com")
    tell("add-a", host="forbidden.example.com", addresses=["203.0.113.1"])
    tell("add-caa", host="forbidden.example.com", policies=[{"tag": "issue", "value": "pki.example"}])
    port = listener.getsockname()[1]
    settings = DnsSection(resolvers=(("127.0.0.1", dns_port),), timeout_seconds=10)
    prober = Preflight(on_loopback(port, port), settings, ("letsencrypt.org",))

    check(prober)
    quiet = Preflight(CDN, settings, ("letsencrypt.org",))
    assert refuse(quiet, "elsewhere.example.com").found == "elsewhere.example.com → other.example"
    assert refuse(quiet, "unset.example.com").found == "unset.example.com → 127.0.0.1"
    assert refuse(quiet, "apex.example").code is Code.AAAA_ELSEWHERE
    assert refuse(quiet, "broken.example.com").code is Code.DNS_UNANSWERED
    assert refuse(quiet, "forbidden.example.com").code is Code.CAA_FORBIDS
    closed = Preflight(on_loopback(port, closed_port), settings, ())
    assert refuse(closed).code is Code.PORT_443_CLOSED


def test_check_pointing_asks_neither_caa_nor_ports_and_raises_as_check_does(zone: DnsZone) -> None:
    prober = preflight(zone, cdn=replace(CDN, probe_ports=True))
    zone.add(NAME, "A", "198.51.100.7").add(NAME, "CAA", '0 issue ";"')
    with pytest.raises(PreflightError) as caught:
        prober.check_pointing((NAME,), TARGET)
    assert (caught.value.code, caught.value.wanted) == (Code.CNAME_MISSING, TARGET)
    zone.add("www.example.com", "CNAME", TARGET).add(TARGET, "A", "203.0.113.9")
    zone.add("www.example.com", "CAA", '0 issue ";"')
    zone.queries.clear()
    prober.check_pointing(("www.example.com",), TARGET)
    prober.check_pointing(("www.example.com",), "")
    assert {kind for _, kind in zone.queries} == {"A", "AAAA"}
