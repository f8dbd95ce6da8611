"""C4 in memory. It passes the contract tests that the real client passes against the reference C4."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from sslctl.certificates.x509 import read_leaf
from sslctl.control_plane import (
    NOTHING,
    Changed,
    Installed,
    Record,
    Rejected,
    State,
    TextCertificatePresent,
    UnknownDomain,
)
from sslctl.rules.model import Bundle, Source

_PORTS = frozenset({80, 443})


class FakeC4:
    """A control plane in memory, which activates an upload at once.

    Each of `read_faults` gets the record that C4 would answer with, and returns another one or raises; each of `write_faults`
    gets the name of an upload or a removal, and may raise. `on_change` is called with a name and what is installed for it by
    then, None if nothing is.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.read_faults: list[Callable[[Record], Record]] = []
        self.write_faults: list[Callable[[str], None]] = []
        self.on_change: Callable[[str, Installed | None], None] = lambda _name, _installed: None
        self._records: dict[str, Record] = {}
        self._lock = threading.RLock()

    # What the owner of C4 does

    def create(self, name: str, target: str) -> None:
        """Create the domain `name`, which must point at `target`."""
        self._records[name] = Record(name, target, _PORTS, None)

    def delete(self, name: str) -> None:
        """Delete the domain `name` with its certificate."""
        self._change(name, None)
        del self._records[name]

    def set_ports(self, name: str, *ports: int) -> None:
        """Set the ports of the domain `name`."""
        self._records[name] = replace(self._records[name], ports=frozenset(ports))

    def place(self, name: str, installed: Installed | None) -> None:
        """Install a certificate for `name` in place of whatever is there, as its customer can; or lose it."""
        self._change(name, installed)

    # The control plane

    def domain(self, name: str) -> Record:
        """See `ControlPlane.domain`."""
        record = self._find(name)
        for fault in self.read_faults:
            record = fault(record)
        return record

    def inventory(self) -> Iterator[Record]:
        """See `ControlPlane.inventory`."""
        for name in list(self._records):
            try:
                yield self.domain(name)
            except UnknownDomain:
                continue

    def certificate(self, name: str) -> Installed | None:
        """See `ControlPlane.certificate`."""
        return self.domain(name).certificate

    def upload(self, name: str, bundle: Bundle, source: Source, expected: str | None = None) -> State:
        """See `ControlPlane.upload`."""
        for fault in self.write_faults:
            fault(name)
        leaf = read_leaf(bundle.certificate)
        with self._lock:
            before = self._find(name).certificate
            if leaf.not_after <= self.clock():
                raise Rejected("the certificate has expired", "expired")
            if name not in leaf.names:
                raise Rejected("the domain is not among the names of the certificate", "name_mismatch")
            if before is None or before.fingerprint != leaf.fingerprint:
                _require(before, expected)
            if before is not None and (before.source, source) == (Source.TEXT, Source.C4):
                raise TextCertificatePresent("a text certificate is installed")
            self._change(name, Installed(source, leaf.fingerprint, leaf.not_after, State.ACTIVE))
        return State.ACTIVE

    def remove(self, name: str, expected: str | None = None) -> bool:
        """See `ControlPlane.remove`."""
        for fault in self.write_faults:
            fault(name)
        with self._lock:
            before = self._find(name).certificate
            if before is None:
                return False
            _require(before, expected)
            self._change(name, None)
        return True

    def health(self) -> datetime | None:
        """See `ControlPlane.health`."""
        return self.clock()

    def close(self) -> None:
        """See `ControlPlane.close`."""

    def _find(self, name: str) -> Record:
        record = self._records.get(name)
        if record is None:
            raise UnknownDomain(f"C4 has no domain {name}")
        return record

    def _change(self, name: str, installed: Installed | None) -> None:
        self._records[name] = replace(self._records[name], certificate=installed)
        self.on_change(name, installed)


def _require(before: Installed | None, expected: str | None) -> None:
    """Raise `Changed` unless what is installed is what is `expected`."""
    installed = NOTHING if before is None else before.fingerprint
    if expected not in (None, installed):
        raise Changed("another certificate is installed than the expected one")
