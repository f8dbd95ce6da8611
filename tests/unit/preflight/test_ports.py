"""Which addresses are ever connected to, and what an answer from a port is taken for."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from sslctl.preflight.ports import find_refusal, is_public

LOOPBACK = ip_address("127.0.0.1")


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "9.9.9.9", "203.0.114.1", "2606:4700::1111", "2a00:1450::1", "2001:4860::8"]
)
def test_an_address_of_the_internet_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",  # noqa: S104 - judged, not bound
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:1.1.1.1",
        "64:ff9b::7f00:1",
        "64:ff9b::101:101",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_any_other_address_is_not(text: str) -> None:
    assert not is_public(ip_address(text))


def test_a_port_that_accepts_is_fine(listener: socket.socket) -> None:
    assert find_refusal([LOOPBACK], listener.getsockname()[1], private=True) == ""
    listener.accept()[0].close()


def test_a_port_that_every_address_refuses_is_told_with_the_addresses(closed_port: int) -> None:
    with ExitStack() as stack:
        if socket.has_ipv6:
            holder = stack.enter_context(socket.socket(socket.AF_INET6))
            holder.bind(("::1", closed_port))
        found = find_refusal([LOOPBACK, ip_address("::1")], closed_port, private=True)
    assert found == f"connection refused at 127.0.0.1:{closed_port}, [::1]:{closed_port}"


def test_one_address_that_accepts_is_enough(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert find_refusal([ip_address("127.0.0.2"), LOOPBACK], port, private=True) == ""
    listener.accept()[0].close()


def test_a_network_that_cannot_be_reached_is_no_refusal(closed_port: int) -> None:
    assert find_refusal([ip_address("255.255.255.255")], closed_port, private=True) == ""
    assert find_refusal([LOOPBACK, ip_address("255.255.255.255")], closed_port, private=True) == ""


def test_a_port_that_stays_silent_is_no_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        # With its queue of connections full, Linux leaves the next one without an answer.
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(server.getsockname())
        assert find_refusal([LOOPBACK], server.getsockname()[1], private=True) == ""


def test_a_private_address_is_not_connected_to(listener: socket.socket, closed_port: int) -> None:
    assert find_refusal([LOOPBACK], listener.getsockname()[1], private=False) == ""
    assert find_refusal([LOOPBACK], closed_port, private=False) == ""
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_no_address_gives_no_finding() -> None:
    assert find_refusal([], 443, private=True) == ""
