"""Which addresses may be connected to, and how the result of a connection attempt is judged."""

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
def test_is_public_is_true_for_an_internet_address(text: str) -> None:
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
def test_is_public_is_false_for_any_special_address(text: str) -> None:
    assert not is_public(ip_address(text))


def test_find_refusal_is_empty_when_the_port_accepts(listener: socket.socket) -> None:
    assert find_refusal([LOOPBACK], listener.getsockname()[1], private=True) == ""
    listener.accept()[0].close()


def test_find_refusal_names_the_addresses_when_all_refuse(closed_port: int) -> None:
    with ExitStack() as stack:
        if socket.has_ipv6:
            holder = stack.enter_context(socket.socket(socket.AF_INET6))
            holder.bind(("::1", closed_port))
        found = find_refusal([LOOPBACK, ip_address("::1")], closed_port, private=True)
    assert found == f"connection refused at 127.0.0.1:{closed_port}, [::1]:{closed_port}"


def test_find_refusal_is_empty_when_one_address_accepts(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert find_refusal([ip_address("127.0.0.2"), LOOPBACK], port, private=True) == ""
    listener.accept()[0].close()


def test_find_refusal_is_empty_when_a_network_is_unreachable(closed_port: int) -> None:
    assert find_refusal([ip_address("255.255.255.255")], closed_port, private=True) == ""
    assert find_refusal([LOOPBACK, ip_address("255.255.255.255")], closed_port, private=True) == ""


def test_find_refusal_is_empty_when_the_port_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        # If its queue of connections is full, Linux does not answer the next one.
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(server.getsockname())
        assert find_refusal([LOOPBACK], server.getsockname()[1], private=True) == ""


def test_find_refusal_never_connects_to_a_private_address(listener: socket.socket, closed_port: int) -> None:
    assert find_refusal([LOOPBACK], listener.getsockname()[1], private=False) == ""
    assert find_refusal([LOOPBACK], closed_port, private=False) == ""
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_find_refusal_is_empty_without_addresses() -> None:
    assert find_refusal([], 443, private=True) == ""
