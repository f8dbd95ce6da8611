"""What the CA's problem with a challenge means. The texts are Boulder's (`va/va.go`, `va/http.go`, `bdns/problem.go`) and Pebble's."""

from __future__ import annotations

import pytest

from sslctl.issuer.certbot.challenge_problems import describe_hop, find_code
from sslctl.rules.reasons import Code

NAME = "shop.example.com"
OWN = f"http://{NAME}/.well-known/acme-challenge/token"
CONNECT = "Timeout during connect (likely firewall problem)"


@pytest.mark.parametrize(
    "detail",
    [
        "Connection refused",
        f"192.0.2.1: Fetching {OWN}: Connection refused",
        f"192.0.2.1: Fetching {OWN}: {CONNECT}",
        f"2001:db8::1: Fetching {OWN}: Network unreachable",
        f"192.0.2.1: Fetching {OWN.replace(NAME, NAME.upper())}: Connection refused",
        f'Get "http://{NAME}:5002/.well-known/x": dial tcp 127.0.0.1:5002: connect: connection refused',
        f'Get "http://{NAME}:5002/.well-known/x": dial tcp 192.0.2.1:5002: i/o timeout',
        f'Get "http://{NAME}/x": dial tcp 192.0.2.1:80: connect: no route to host',
        f'Get "http://{NAME}/x": net/http: request canceled while waiting for connection',
    ],
)
def test_port_80_is_closed_if_the_name_itself_accepts_no_connection(detail: str) -> None:
    assert find_code(NAME, "connection", detail) is Code.PORT_80_CLOSED
    assert describe_hop(NAME, detail) == ""


@pytest.mark.parametrize(
    "detail",
    [
        f"192.0.2.1: Fetching {OWN}: Connection reset by peer",
        f"192.0.2.1: Fetching {OWN}: Error getting validation data",
        f"192.0.2.1: Fetching {OWN}: Timeout after connect (your server may be slow or overloaded)",
        f"192.0.2.1: Fetching {OWN}: Timeout during read (your server may be slow or overloaded)",
        f"192.0.2.1: Fetching {OWN}: Server is speaking HTTP/2 over HTTP",
        f'Get "http://{NAME}:5002/.well-known/x": EOF',
        f'Get "http://{NAME}:5002/.well-known/x": read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer',
        f'Get "http://{NAME}/x": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
        "Fetching http://shop.test/a: Redirect loop detected",
        f"Fetching {OWN}: Too many redirects",
        "Invalid port in redirect target. Only ports 80 and 443 are supported, not 8080",
        'Invalid host in redirect target "192.0.2.9". Only domain names are supported, not IP addresses',
        'Get "/a": stopped after 10 redirects',
        f"During secondary validation: 192.0.2.1: Fetching {OWN}: {CONNECT}",
        f"During secondary domain validation: 192.0.2.1: Fetching {OWN}: Connection refused",
        "",
    ],
)
def test_challenge_failed_if_something_answered_or_only_other_places_were_refused(detail: str) -> None:
    assert find_code(NAME, "connection", detail) is Code.CHALLENGE_FAILED


@pytest.mark.parametrize(
    ("typ", "url", "cause", "hop"),
    [
        ("connection", f"https://{NAME}/login", "Connection refused", f"https://{NAME}, the domain itself"),
        ("connection", f"https://{NAME}:443/x", CONNECT, f"https://{NAME}, the domain itself"),
        (
            "connection",
            "http://www.example.com/",
            "Connection refused",
            "http://www.example.com, another host",
        ),
        ("connection", "https://login.example.net/?a=b", CONNECT, "https://login.example.net, another host"),
        (
            "connection",
            "http://gone.example.net/",
            "dial tcp: lookup gone.example.net: no such host",
            "http://gone.example.net, another host",
        ),
        (
            "dns",
            "http://gone.example.net/",
            "DNS problem: NXDOMAIN looking up A for gone.example.net - check that a DNS record exists",
            "http://gone.example.net, another host",
        ),
    ],
)
def test_redirect_that_fails_is_a_failed_challenge_and_names_whose_url_it_is(
    typ: str, url: str, cause: str, hop: str
) -> None:
    for detail in (f"192.0.2.1: Fetching {url}: {cause}", f'Get "{url}": {cause}'):
        assert find_code(NAME, typ, detail) is Code.CHALLENGE_FAILED
        assert describe_hop(NAME, detail) == f"{NAME} redirects to {hop}"


@pytest.mark.parametrize(
    ("detail", "code"),
    [
        (f"DNS problem: NXDOMAIN looking up A for {NAME} - check that a DNS record exists", Code.NXDOMAIN),
        (f"DNS problem: NXDOMAIN looking up AAAA for {NAME.upper()}", Code.NXDOMAIN),
        ("DNS problem: NXDOMAIN looking up CAA for example.com", Code.NXDOMAIN),
        (f"DNS problem: SERVFAIL looking up A for {NAME}", Code.DNS_UNANSWERED),
        (f"DNS problem: query timed out looking up CAA for {NAME}", Code.DNS_UNANSWERED),
        (f"no valid A records found for {NAME}; no valid AAAA records found for {NAME}", Code.DNS_UNANSWERED),
        # The extended errors of bdns/problem.go.
        (f"DNS problem: looking up A for {NAME}: DNSSEC: Bogus", Code.DNSSEC_BOGUS),
        (f"DNS problem: looking up CAA for {NAME}: DNSSEC: DNSKEY Missing: no keys", Code.DNSSEC_BOGUS),
        ("DNS problem: looking up CAA for example.com: DNSSEC: Signature Expired", Code.DNSSEC_BOGUS),
        (f"DNS problem: looking up A for {NAME}: No Reachable Authority", Code.DNS_UNANSWERED),
        ("DNS problem: looking up A for login.example.net: DNSSEC: Bogus", Code.CHALLENGE_FAILED),
        (
            f"During secondary validation: DNS problem: looking up A for {NAME}: DNSSEC: Bogus",
            Code.DNS_UNANSWERED,
        ),
        # The name exists where the CA looked first.
        (f"During secondary validation: DNS problem: NXDOMAIN looking up A for {NAME}", Code.DNS_UNANSWERED),
        ("DNS problem: NXDOMAIN looking up A for login.example.net", Code.CHALLENGE_FAILED),
        ("DNS problem: SERVFAIL looking up A for myshop.example.com", Code.CHALLENGE_FAILED),
    ],
)
def test_dns_problem_is_the_customers_only_for_the_name_itself(detail: str, code: Code) -> None:
    assert find_code(NAME, "dns", detail) is code


def test_url_that_cannot_be_read_is_a_failed_challenge() -> None:
    detail = "Fetching http://[2001:db8::1/x: Connection refused"
    assert find_code(NAME, "connection", detail) is Code.CHALLENGE_FAILED
    assert describe_hop(NAME, detail) == ""
