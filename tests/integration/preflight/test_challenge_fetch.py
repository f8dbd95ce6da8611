"""A token is fetched as the CA fetches a challenge, from real servers on loopback, whatever they answer."""

from __future__ import annotations

import gzip
import ssl
from dataclasses import replace

import pytest

from sslctl.preflight.challenge_fetch import PATH, Outcome
from tests.support.dns_zone import Trouble
from tests.support.misbehaving import (
    GIGABYTE,
    Behaviour,
    dripping,
    flooding,
    http_head,
    reset,
    sending,
    silence,
)
from tests.support.token_servers import CONTENT, NAME, PUBLIC, TOKEN, URL, TokenServers, redirect, respond

WAF_PAGE = (
    b"<!doctype html><html><style>p { color: red }</style><script>alert('blocked')</script>"
    b"<h1>Access\x1b[31m denied</h1><p>Request \xe2\x80\xae id: 42</p></html>"
)


def test_token_is_found(world: TokenServers) -> None:
    world.serve(respond(200, CONTENT.encode()))
    fetched = world.fetch()
    assert (fetched.outcome, fetched.found) == (Outcome.FOUND, "the token")
    (hop,) = fetched.hops
    assert (hop.url, hop.address, hop.status, hop.location) == (URL, "127.0.0.1", 200, "")
    (request,) = world.plain.requests
    lines = request.decode().split("\r\n")
    assert lines[:2] == [f"GET {PATH}{TOKEN} HTTP/1.1", f"Host: {NAME}"]
    assert not {"cookie", "authorization", "referer"} & {line.partition(":")[0].lower() for line in lines}


def test_environment_names_no_proxy_and_no_password(
    world: TokenServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve(respond(200, CONTENT.encode()))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert world.fetch().outcome is Outcome.FOUND


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \t\n\n", b"\xc2\xa0\n"], ids=repr)
def test_white_space_at_the_end_is_ignored(world: TokenServers, end: bytes) -> None:
    world.serve(respond(200, CONTENT.encode() + end))
    assert world.fetch().outcome is Outcome.FOUND


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (403, WAF_PAGE, "403: Access denied Request id: 42"),
        (200, f"{TOKEN}.{'y' * 43}".encode(), f"200: {TOKEN}.{'y' * 43}"),
        (200, b" " + CONTENT.encode(), f"200: {CONTENT}"),
        (200, CONTENT.encode() + b" " * 100, f"200: {CONTENT}"),
        (200, b"", "200: an empty response"),
        (204, b"", "204: an empty response"),
        (404, CONTENT.encode(), f"404: {CONTENT}"),
        (500, b"x" * 3000, f"500: {'x' * 199}…"),
        (303, b"", "303: an empty response"),
        (302, b"", "302 without a location"),
    ],
    ids=["firewall", "unsynced edge", "space before", "too long", "empty", "204", "404", "500", "303", "302"],
)
def test_another_answer_is_shown(world: TokenServers, status: int, body: bytes, shown: str) -> None:
    world.serve(respond(status, body))
    fetched = world.fetch()
    assert (fetched.outcome, fetched.found) == (Outcome.OTHER, f"{URL} answered {shown}")
    assert fetched.hops[-1].status == status


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (reset, Outcome.UNKNOWN),
        (sending(b""), Outcome.UNKNOWN),
        (silence, Outcome.UNKNOWN),
        (dripping(http_head(200), b"x"), Outcome.UNKNOWN),
        (dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), Outcome.UNKNOWN),
        (sending(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), Outcome.UNKNOWN),
        (flooding(http_head(200, GIGABYTE)), Outcome.OTHER),
        (flooding(b"HTTP/1.1 200 OK\r\nX: "), Outcome.UNKNOWN),
        (sending(b"HTTP/1.1 103 Early Hints\r\n\r\n" + http_head(200) + CONTENT.encode()), Outcome.UNKNOWN),
        (sending(b"\x00\xff\x16\x03\x01" * 40), Outcome.OTHER),
        (sending(CONTENT.encode()), Outcome.OTHER),
        (sending(b"SSH-2.0-OpenSSH_9.2\r\n"), Outcome.OTHER),
        (respond(200, gzip.compress(CONTENT.encode()), "Content-Encoding: gzip\r\n"), Outcome.FOUND),
        (respond(200, gzip.compress(b" " * (1 << 24)), "Content-Encoding: gzip\r\n"), Outcome.OTHER),
        (respond(200, CONTENT.encode(), "Content-Encoding: gzip\r\n"), Outcome.FOUND),
    ],
    ids=[
        *(
            "reset",
            "empty",
            "silence",
            "slow body",
            "slow headers",
            "200 headers",
            "huge body",
            "huge header",
            "early hints",
        ),
        *("binary", "HTTP/0.9", "SSH", "gzip", "gzip bomb", "no gzip"),
    ],
)
def test_strange_response_ends_the_fetch(world: TokenServers, behaviour: Behaviour, outcome: Outcome) -> None:
    world.serve(behaviour)
    fetched = world.fetch(seconds=1)
    assert fetched.outcome is outcome
    assert len(fetched.found) < 700
    assert world.plain.sent < 1 << 27


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_followed_without_verifying_the_certificate(world: TokenServers, status: int) -> None:
    world.zone.add("login.example.org", "A", "127.0.0.1")
    world.serve(
        redirect("https://user:secret@login.example.org/a%20b?c=d e#f", status),
        secure=[respond(200, CONTENT.encode())],
    )
    fetched = world.fetch()
    assert fetched.outcome is Outcome.FOUND
    assert [hop.status for hop in fetched.hops] == [status, 200]
    head = world.secure.requests[0].decode()
    assert head.startswith("GET /a%20b?c=d%20e HTTP/1.1\r\nHost: login.example.org\r\n")
    assert "secret" not in head
    assert "Authorization" not in head


def test_login_page_behind_a_redirect_is_shown_with_its_url(world: TokenServers) -> None:
    world.zone.add("login.example.org", "A", "127.0.0.1")
    world.serve(
        redirect("https://login.example.org/?next=/"), secure=[respond(200, b"<title>Log in</title>")]
    )
    fetched = world.fetch()
    assert fetched.outcome is Outcome.OTHER
    assert fetched.found == f"{URL} redirects: https://login.example.org/?next=/ answered 200: Log in"
    assert fetched.hops[0].location == "https://login.example.org/?next=/"


def test_relative_redirect_stays_on_the_host(world: TokenServers) -> None:
    world.zone.add(NAME, "A", "127.0.0.1")
    world.serve(redirect("/other"), respond(200, CONTENT.encode()))
    assert world.fetch().outcome is Outcome.FOUND
    assert world.plain.requests[1].startswith(b"GET /other HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("http://other.example.org:8080/", "where the CA uses only the ports"),
        ("http://other.example.org:22/", "where the CA uses only the ports"),
        ("http://127.0.0.1/", "which is not a public address"),
        ("http://169.254.169.254/latest/meta-data/", "which is not a public address"),
        ("http://[::1]/", "which is not a public address"),
        ("http://[::ffff:127.0.0.1]/", "which is not a public address"),
        ("http://[fd00:ec2::254]/", "which is not a public address"),
        ("http://[64:ff9b::7f00:1]/", "which is not a public address"),
        ("http://[2002:7f00:1::]/", "which is not a public address"),
        ("http://[::]/", "which is not a public address"),
        ("http://[2606:4700::1111%25eth0]/", "which is not a public address"),
        ("http://0.0.0.0/", "which is not a public address"),
        ("http://100.100.100.200/", "which is not a public address"),
        ("http://168.63.129.16/", "which is not a public address"),
        ("http://2130706433/", "which is not a public name"),
        ("http://0x7f.1/", "which has no address in DNS"),
        ("http://localhost/", "which is not a public name"),
        ("http://localhost./", "which is not a public name"),
        ("http://LOCALHOST/", "which is not a public name"),
        ("http://metadata.google.internal/", "which is not a public name"),
        ("http://nothing.example.org/", "which has no address in DNS"),
        ("ftp://other.example.org/", "which is neither http nor https"),
        ("file:///etc/passwd", "which is neither http nor https"),
        ("gopher://127.0.0.1/", "which is neither http nor https"),
        ("http://exa%00mple.org/", "which has no valid host name"),
        ("http://a b.example.org/", "which has no valid host name"),
        ("http://[::1", "which is not a URL"),
        ("http://other.example.org:99999/", "which is not a URL"),
        (f"/{'a' * 2001}", "whose path is longer than 2000 characters"),
    ],
)
def test_redirect_to_a_forbidden_place_is_not_followed(world: TokenServers, to: str, why: str) -> None:
    world.serve(redirect(to))
    fetched = world.fetch_in_public()
    assert fetched.outcome is Outcome.OTHER
    assert why in fetched.found
    assert fetched.found.startswith(f"{URL} redirects to ")
    assert world.connected == [PUBLIC]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
def test_redirect_to_a_name_at_a_private_address_is_not_followed(world: TokenServers, address: str) -> None:
    world.zone.add("other.example.org", "A", address)
    world.serve(redirect("http://other.example.org/"))
    fetched = world.fetch_in_public()
    # The CA's resolver may have a public address.
    assert fetched.outcome is Outcome.UNKNOWN
    assert world.connected == [PUBLIC]


def test_name_at_a_private_address_is_not_connected_to(world: TokenServers) -> None:
    world.serve(respond(403))
    world.cdn = replace(world.cdn, probe_private=False)
    assert world.fetch().outcome is Outcome.UNKNOWN
    assert world.connected == []


def test_host_of_a_redirect_is_resolved_once(world: TokenServers) -> None:
    world.zone.add("rebind.example.org", "A", "127.0.0.1").turn("rebind.example.org", "A", "127.0.0.99")
    world.serve(redirect("http://rebind.example.org/"), respond(200, CONTENT.encode()))
    fetched = world.fetch()
    assert (fetched.outcome, fetched.hops[1].address) == (Outcome.FOUND, "127.0.0.1")
    assert world.zone.queries.count(("rebind.example.org", "A")) == 1


def test_redirect_to_a_name_that_dns_does_not_answer_for_proves_nothing(world: TokenServers) -> None:
    world.zone.spoil("other.example.org", Trouble.SERVFAIL)
    world.serve(redirect("http://other.example.org/"))
    assert world.fetch().outcome is Outcome.UNKNOWN


def test_redirect_loop_ends_the_fetch(world: TokenServers) -> None:
    world.zone.add(NAME, "A", "127.0.0.1")
    world.serve(redirect(URL))
    fetched = world.fetch()
    assert (fetched.outcome, len(fetched.hops)) == (Outcome.OTHER, 1)
    assert "redirects in a loop" in fetched.found


@pytest.mark.parametrize(("number", "outcome"), [(10, Outcome.FOUND), (11, Outcome.OTHER)])
def test_at_most_10_redirects_are_followed(world: TokenServers, number: int, outcome: Outcome) -> None:
    world.zone.add(NAME, "A", "127.0.0.1")
    world.serve(*(redirect(f"/{each}") for each in range(number)), respond(200, CONTENT.encode()))
    fetched = world.fetch()
    assert (fetched.outcome, world.plain.connections) == (outcome, 11)


def test_line_breaks_in_a_location_add_no_header(world: TokenServers) -> None:
    world.zone.add(NAME, "A", "127.0.0.1")
    world.serve(redirect("/a\r\n X-Injected: 1"), respond(200, CONTENT.encode()))
    world.fetch()
    assert b"\r\nX-Injected" not in world.plain.requests[-1]


def test_refused_connection_is_reported_as_such_at_the_first_hop_only(
    world: TokenServers, closed_port: int
) -> None:
    world.zone.add("other.example.org", "A", "127.0.0.1")
    world.serve(redirect("https://other.example.org/"))
    world.cdn = replace(world.cdn, https_port=closed_port)
    assert world.fetch().outcome is Outcome.OTHER
    world.cdn = replace(world.cdn, http_port=closed_port)
    fetched = world.fetch()
    assert fetched.outcome is Outcome.REFUSED
    assert f"connection refused at 127.0.0.1:{closed_port}" in fetched.found


def test_redirect_is_not_repeated_over_ipv4(world: TokenServers) -> None:
    # Boulder, `processHTTPValidation`: only the first request is repeated, and a redirect that came before is a loop then.
    world.zone.add("other.example.org", "AAAA", "2606:4700::1111").add("other.example.org", "A", "127.0.0.1")
    world.refusing.add("2606:4700::1111")
    world.serve(redirect("http://other.example.org/"), respond(200, CONTENT.encode()))
    fetched = world.fetch()
    assert fetched.outcome is Outcome.OTHER
    assert "connection refused at [2606:4700::1111]" in fetched.found
    assert world.connected == ["127.0.0.1", "2606:4700::1111"]


def test_tls_alert_is_another_answer(world: TokenServers) -> None:
    world.zone.add(NAME, "A", "127.0.0.1")
    world.serve(redirect(f"https://{NAME}/"))
    assert world.secure.tls is not None
    # As an edge that has no certificate for the name.
    world.secure.tls.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    fetched = world.fetch()
    assert fetched.outcome is Outcome.OTHER
    assert fetched.found.endswith("TLS: tlsv1 unrecognized name")


def test_ipv6_is_tried_before_ipv4(world: TokenServers) -> None:
    world.serve(respond(403))
    # Nothing listens at ::1, so it is refused, and the CA would go on with IPv4 too.
    fetched = world.fetch("127.0.0.1", "::1")
    assert (fetched.outcome, fetched.hops[0].address) == (Outcome.OTHER, "127.0.0.1")


def test_each_address_is_tried_until_one_accepts_a_connection(world: TokenServers) -> None:
    world.serve(respond(200, CONTENT.encode()))
    assert world.fetch("127.0.0.98", "127.0.0.99", "::1", "127.0.0.1").outcome is Outcome.FOUND
    assert world.connected == ["::1", "127.0.0.98", "127.0.0.99", "127.0.0.1"]


def test_answer_over_ipv4_proves_nothing_if_ipv6_cannot_be_reached_from_here(world: TokenServers) -> None:
    world.serve(respond(403), respond(200, CONTENT.encode()))
    world.unreachable.add("2606:4700::1111")
    assert world.fetch("127.0.0.1", "2606:4700::1111").outcome is Outcome.UNKNOWN
    assert world.fetch("127.0.0.1", "2606:4700::1111").outcome is Outcome.FOUND


def test_address_that_cannot_be_reached_from_here_proves_nothing(world: TokenServers) -> None:
    world.serve(respond(403))
    world.unreachable.add("127.0.0.1")
    fetched = world.fetch()
    assert (fetched.outcome, fetched.hops[0].status) == (Outcome.UNKNOWN, None)
