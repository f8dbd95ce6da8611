"""The plain answer to a DNS question is read as dnspython reads it, and nothing else is taken for one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.resolver
import dns.rrset
import pytest
from dns.rdatatype import AAAA, CAA, A, RdataType
from hypothesis import example, given
from hypothesis import strategies as st

from sslctl.preflight import datagram, lookup
from sslctl.preflight.dns_answer import DnsAnswer

NAME = dns.name.from_text("shop.example.com")
NAMES = (
    "shop.example.com",
    "a.cdn.test",
    "Shop.Example.COM",
    "b.cdn.test",
    "c.other.example",
    "example.com",
    ".",
)
VALUES = {
    "A": ("192.0.2.1", "192.0.2.2"),
    "AAAA": ("2001:db8::1",),
    "CAA": ('0 issue "ca.test"', '128 Issue ";"'),
    "TXT": ('"x"',),
    "CNAME": tuple(f"{name.rstrip('.')}." for name in NAMES),
    "DNAME": ("other.example.",),
}
AUTHORITY = {"SOA": "ns. hostmaster.a.cdn.test. 1 60 60 60 60", "NS": "ns.example.com."}


@st.composite
def rrsets(draw: st.DrawFn) -> dns.rrset.RRset:
    kind = draw(st.sampled_from([*VALUES, "CNAME", "CNAME"]))
    values = draw(st.lists(st.sampled_from(VALUES[kind]), min_size=1, max_size=2 if kind != "CNAME" else 1))
    owner = draw(st.sampled_from(NAMES))
    return dns.rrset.from_text(dns.name.from_text(owner), 60, "IN", kind, *values)


@st.composite
def messages(draw: st.DrawFn) -> tuple[dns.message.Message, RdataType]:
    kind = draw(st.sampled_from([A, AAAA, CAA]))
    query = dns.message.make_query(NAME, kind)
    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= draw(st.sampled_from([0, 0, 0, dns.flags.AA, dns.flags.TC, dns.flags.AD]))
    rcodes = [dns.rcode.NOERROR] * 4 + [dns.rcode.NXDOMAIN] * 2 + [dns.rcode.SERVFAIL, dns.rcode.YXDOMAIN]
    response.set_rcode(draw(st.sampled_from(rcodes)))
    response.answer = draw(st.lists(rrsets(), max_size=4))
    for authority in draw(st.lists(st.sampled_from(list(AUTHORITY)), max_size=2)):
        owner = draw(st.sampled_from(NAMES))
        response.authority.append(
            dns.rrset.from_text(dns.name.from_text(owner), 60, "IN", authority, AUTHORITY[authority])
        )
    response.additional = draw(st.lists(rrsets(), max_size=1))
    if draw(st.integers(0, 9)) == 0:
        response.use_edns(0)
    return response, kind


def query_for(response: dns.message.Message, kind: RdataType) -> bytes:
    query = dns.message.make_query(NAME, kind, id=response.id)
    return query.to_wire()


def read(wire: bytes, query: bytes, kind: RdataType) -> DnsAnswer | None:
    """Read as `ask` does, which waits for the id of its question."""
    if wire[:2] != query[:2]:
        return None
    try:
        return datagram._read(wire, query, NAME, kind)
    except datagram.MALFORMED:
        return None


def read_by_dnspython(wire: bytes, query: bytes, kind: RdataType) -> DnsAnswer | None:
    """Return the answer that `dns.resolver` reads from the datagram, or None if it would query further."""
    try:
        response = dns.message.from_wire(wire, raise_on_truncation=True)
        if not dns.message.from_wire(query).is_response(response):
            return None
        assert isinstance(response, dns.message.QueryMessage)
        dns.resolver.Answer(NAME, kind, dns.rdataclass.IN, response)
    except (dns.exception.DNSException, ValueError):
        return None
    if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return None
    answer = lookup._read(response, NAME, kind)
    return None if not answer.records and lookup._is_referral(response) else answer


@given(messages())
def test_datagram_is_read_as_dnspython_reads_it_or_not_at_all(
    made: tuple[dns.message.Message, RdataType],
) -> None:
    response, kind = made
    wire, query = response.to_wire(), query_for(response, kind)
    found = read(wire, query, kind)
    assert found in (None, read_by_dnspython(wire, query, kind))


@given(messages(), st.integers(0), st.integers(0, 255))
def test_damaged_datagram_is_read_as_dnspython_reads_it_or_not_at_all(
    made: tuple[dns.message.Message, RdataType], place: int, value: int
) -> None:
    response, kind = made
    # Only the types of the records after the answer section are read, so the damage is put before them.
    response.authority = []
    response.additional = []
    response.use_edns(-1)
    wire, query = bytearray(response.to_wire()), query_for(response, kind)
    wire[place % len(wire)] = value
    found = read(bytes(wire), query, kind)
    assert found in (None, read_by_dnspython(bytes(wire), query, kind))


@given(messages(), st.integers(0), st.binary(max_size=3))
def test_datagram_that_is_truncated_or_too_long_is_not_read(
    made: tuple[dns.message.Message, RdataType], place: int, more: bytes
) -> None:
    response, kind = made
    wire, query = response.to_wire(), query_for(response, kind)
    assert read(wire[: place % len(wire)], query, kind) is None
    assert not more or read(wire + more, query, kind) is None


@given(st.binary(max_size=100))
@example(b"\xc0" * 60)
def test_noise_is_read_as_dnspython_reads_it_or_not_at_all(noise: bytes) -> None:
    query = dns.message.make_query(NAME, A, id=7).to_wire()
    header = b"\x00\x07\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00"
    for wire in (noise, header + noise, header + query[12:] + noise):
        assert read(wire, query, A) in (None, read_by_dnspython(wire, query, A))


def response_to(wire: bytes, *records: tuple[str, str, str], rcode: str = "NOERROR") -> dns.message.Message:
    response = dns.message.make_response(dns.message.from_wire(wire), recursion_available=True)
    response.set_rcode(dns.rcode.from_text(rcode))
    for owner, kind, value in records:
        section = response.authority if kind in AUTHORITY else response.answer
        section.append(dns.rrset.from_text(dns.name.from_text(owner), 60, "IN", kind, value))
    return response


SOA = ("example.com", "SOA", AUTHORITY["SOA"])


@pytest.mark.parametrize(
    ("records", "rcode", "links"),
    [
        ([("shop.example.com", "A", "192.0.2.1")], "NOERROR", 0),
        ([("shop.example.com", "A", "192.0.2.1"), ("shop.example.com", "A", "192.0.2.2")], "NOERROR", 0),
        ([("shop.example.com", "CNAME", "a.cdn.test."), ("a.cdn.test", "A", "192.0.2.1")], "NOERROR", 1),
        ([("shop.example.com", "CNAME", "a.cdn.test."), SOA], "NOERROR", 1),
        ([("shop.example.com", "CNAME", "a.cdn.test."), SOA], "NXDOMAIN", 1),
        ([SOA], "NXDOMAIN", 0),
        ([SOA], "NOERROR", 0),
        ([], "NOERROR", 0),
    ],
    ids=[
        "address",
        "two addresses",
        "cname and address",
        "cname without address",
        "cname to nothing",
        "nxdomain",
        "no data",
        "empty",
    ],
)
def test_usual_responses_are_read(records: list[tuple[str, str, str]], rcode: str, links: int) -> None:
    query = dns.message.make_query(NAME, A).to_wire()
    found = read(response_to(query, *records, rcode=rcode).to_wire(), query, A)
    assert found is not None
    assert found.exists is (rcode == "NOERROR")
    assert len(found.links) == links
    assert len(found.records) == sum(kind == "A" for _, kind, _ in records)


def test_response_whose_question_differs_in_case_is_read() -> None:
    query = dns.message.make_query(NAME, A).to_wire()
    wire = response_to(query, ("shop.example.com", "A", "192.0.2.1")).to_wire()
    assert read(wire.replace(b"\x04shop", b"\x04SHOP"), query, A) is not None


# On a real socket


def _send(sock: socket.socket, client: tuple[str, int], data: bytes) -> None:
    sock.sendto(data, client)


@contextmanager
def server(answer: Callable[[bytes, Callable[[bytes], object]], object]) -> Iterator[tuple[str, int]]:
    """Run a server that calls `answer` with each query and a function that sends a datagram back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                wire, client = listening.recvfrom(4096)
                if not wire:
                    return
                answer(wire, partial(_send, listening, client))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
                ending.sendto(b"", listening.getsockname())
            thread.join(10)


def answer_of(wire: bytes, address: str) -> bytes:
    return response_to(wire, ("shop.example.com", "A", address)).to_wire()


def ask(address: tuple[str, int], seconds: float = 10) -> list[str] | None:
    found = datagram.ask(address, NAME, A, seconds)
    return None if found is None else [record.to_text() for record in found.records]


def test_ask_returns_the_records_of_the_response() -> None:
    with server(lambda wire, send: send(answer_of(wire, "192.0.2.1"))) as address:
        assert ask(address) == ["192.0.2.1"]


def test_ask_ignores_a_response_with_another_id() -> None:
    def answer(wire: bytes, send: Callable[[bytes], object]) -> None:
        forged = answer_of(wire, "192.0.2.66")
        send(bytes([forged[0] ^ 1]) + forged[1:])
        send(b"")
        send(answer_of(wire, "192.0.2.1"))

    with server(answer) as address:
        assert ask(address) == ["192.0.2.1"]


def test_ask_ignores_a_response_from_another_address() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        asked.bind(("127.0.0.1", 0))

        def forge() -> None:
            wire, client = asked.recvfrom(4096)
            other.sendto(answer_of(wire, "192.0.2.66"), client)
            asked.sendto(answer_of(wire, "192.0.2.1"), client)

        thread = threading.Thread(target=forge)
        thread.start()
        assert ask(asked.getsockname()) == ["192.0.2.1"]
        thread.join(10)


@pytest.mark.parametrize(
    "answer", [lambda *_: None, lambda wire, send: send(bytes(2) + wire[2:])], ids=["silence", "another id"]
)
def test_ask_returns_none_after_its_timeout(answer: Callable[..., object]) -> None:
    with server(answer) as address:
        assert ask(address, 0.1) is None


def test_ask_returns_none_when_nothing_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        address = holder.getsockname()
    assert ask(address) is None
    assert ask(("::1", 9)) is None
    assert ask(("192.0.2.1", 0), 0.1) is None


def test_ask_uses_a_random_id_and_port_for_each_query() -> None:
    seen = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.bind(("127.0.0.1", 0))
        for _ in range(8):
            assert ask(asked.getsockname(), 0.01) is None
            wire, client = asked.recvfrom(4096)
            seen.append((wire[:2], client[1]))
    assert len({number for number, _ in seen}) > 4
    assert len({port for _, port in seen}) > 4
