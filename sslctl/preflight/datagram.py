"""The fast path of a DNS lookup: one query and one response datagram, which is enough for nearly every lookup.

dnspython handles every response, and retries, but takes a multiple of the time. So any response that is not plain yields
None here, and dnspython makes the whole lookup again: this module never disagrees with dnspython, except that it leaves the
data of CAA records unread. dnspython rejects a tag that is not alphanumeric, and the CA does not.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time

import dns.exception
import dns.name
import dns.rdata
from dns.flags import AA, QR, RD, TC
from dns.rcode import NOERROR, NXDOMAIN
from dns.rdataclass import IN
from dns.rdatatype import CAA, CNAME, NS, SOA, RdataType

from sslctl.preflight.dns_answer import DnsAnswer, follow

_HEADER = struct.Struct("!HHHHHH")  # RFC 1035 section 4.1.1
_QUESTION = struct.Struct("!HH")  # section 4.1.2, after the name
_RECORD = struct.Struct("!HHIH")  # section 4.1.3, after the name
_LENGTH = struct.Struct("!H")  # section 4.2.2, before the message
_OPCODE, _RCODE = 0x7800, 0x000F
_POINTER = 0xC0  # section 4.1.4: the two bits that mark a pointer
MALFORMED = (dns.exception.DNSException, struct.error, IndexError)
"""The exceptions that a malformed response raises."""
_MAX_BYTES = 4096  # without EDNS, which is not used, a response has at most 512 bytes


def ask(
    server: tuple[str, int], name: dns.name.Name, kind: RdataType, seconds: float, *, over_tcp: bool = False
) -> DnsAnswer | None:
    """Return the answer of `server` (address and port) for the records of type `kind` of an absolute `name`.

    `over_tcp` asks over TCP instead, where no response is truncated. Return None if there is no plain answer within `seconds`,
    for whatever reason. Raise nothing.
    """
    query = (
        _HEADER.pack(secrets.randbits(16), RD, 1, 0, 0, 0) + name.to_digestable() + _QUESTION.pack(kind, IN)
    )
    try:
        wire = (_exchange_over_tcp if over_tcp else _send_and_receive)(server, query, seconds)
        return _read(wire, query, name, kind)
    except (OSError, *MALFORMED):
        return None


def _send_and_receive(server: tuple[str, int], query: bytes, seconds: float) -> bytes:
    """Send `query` and return the first datagram with its id. Raise `OSError`, `TimeoutError` included."""
    until = time.monotonic() + seconds
    # A new socket for each query has an unpredictable port and cannot receive a late response to an earlier query.
    # A connected socket receives datagrams from the server only.
    with socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(server)
        sock.send(query)
        while (left := until - time.monotonic()) > 0:
            sock.settimeout(left)
            wire = sock.recv(_MAX_BYTES)
            if wire[:2] == query[:2]:
                return wire
    raise TimeoutError


def _exchange_over_tcp(server: tuple[str, int], query: bytes, seconds: float) -> bytes:
    """Send `query` over TCP and return the response (RFC 1035 section 4.2.2). Raise `OSError` or `struct.error`."""
    until = time.monotonic() + seconds
    with socket.create_connection(server, timeout=max(0.0, seconds)) as sock:
        sock.sendall(_LENGTH.pack(len(query)) + query)
        (length,) = _LENGTH.unpack(_receive(sock, _LENGTH.size, until))
        wire = _receive(sock, length, until)
    if wire[:2] != query[:2]:
        raise TimeoutError
    return wire


def _receive(sock: socket.socket, length: int, until: float) -> bytes:
    """Return the next `length` bytes, or fewer if the server closes the connection."""
    received = b""
    while len(received) < length and (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        part = sock.recv(length - len(received))
        if not part:
            break
        received += part
    return received


def _read(wire: bytes, query: bytes, name: dns.name.Name, kind: RdataType) -> DnsAnswer | None:
    _, flags, questions, *counts = _HEADER.unpack_from(wire)
    rcode = flags & _RCODE
    if flags & (QR | _OPCODE | TC) != QR or rcode not in (NOERROR, NXDOMAIN):
        return None
    # The length of a label is below "A", so `lower` changes letters only.
    if questions != 1 or wire[_HEADER.size : len(query)].lower() != query[_HEADER.size :].lower():
        return None
    reading = _Parser(wire, len(query), name)
    targets: dict[dns.name.Name, dns.name.Name] = {}
    records: dict[dns.name.Name, dict[bytes, dns.rdata.Rdata]] = {}
    for _ in range(counts[0]):
        owner, found, content = reading.read_record()
        if found == CNAME and owner not in targets:
            targets[owner] = reading.read_name(content)
        elif found == kind:
            data = wire[content.start : content.stop]
            if kind == CAA:
                rdata: dns.rdata.Rdata = dns.rdata.GenericRdata(IN, kind, data)
            else:
                rdata = dns.rdata.from_wire(IN, kind, wire, content.start, len(content))
            records.setdefault(owner, {})[data] = rdata
        else:
            return None
    authority = {reading.skip_record() for _ in range(counts[1])}
    for _ in range(counts[2]):
        reading.skip_record()
    chain, endless = follow(name, targets)
    own = tuple(records.get(chain[-1], {}).values())
    is_contradictory = targets.keys() & records.keys() or (own and rcode == NXDOMAIN)
    is_referral = not own and not flags & AA and NS in authority and SOA not in authority
    is_of_another_name = bool(records) and not own
    if endless or is_referral or is_contradictory or is_of_another_name or reading.position != len(wire):
        return None
    return DnsAnswer(chain, own, rcode == NOERROR, endless)


class _Parser:
    """A parser of a DNS message, from `position` on; `asked` is the name in its question.

    The methods raise `DNSException`, `struct.error` or `IndexError` if the message is malformed.
    """

    def __init__(self, wire: bytes, position: int, asked: dns.name.Name) -> None:
        self._wire = wire
        self.position = position
        # By offset: nearly every owner is a pointer to the name in the question, or to an earlier target.
        self._names = {_HEADER.size: asked}

    def read_record(self) -> tuple[dns.name.Name, int, range]:
        """Return the owner, the type and the range of the data of the record here; move to the next record."""
        owner, self.position = self._name_at(self.position)
        return owner, *self._read_head()

    def skip_record(self) -> int:
        """Return the type of the record here; move to the next record."""
        while (length := self._wire[self.position]) and length < _POINTER:
            self.position += 1 + length
        self.position += 2 if length else 1
        return self._read_head()[0]

    def read_name(self, content: range) -> dns.name.Name:
        """Return the name that is the data of a record."""
        name, end = self._name_at(content.start)
        if end != content.stop:
            raise dns.exception.FormError
        self._names[content.start] = name
        return name

    def _read_head(self) -> tuple[int, range]:
        kind, group, _, length = _RECORD.unpack_from(self._wire, self.position)
        if group != IN:
            # OPT and TSIG have another class too, and change the meaning of the message.
            raise dns.exception.FormError
        begin = self.position + _RECORD.size
        self.position = begin + length
        return kind, range(begin, self.position)

    def _name_at(self, position: int) -> tuple[dns.name.Name, int]:
        if self._wire[position] >= _POINTER:
            target = ((self._wire[position] & ~_POINTER) << 8) + self._wire[position + 1]
            if target in self._names:
                return self._names[target], position + 2
        name, size = dns.name.from_wire(self._wire, position)
        return name, position + size
