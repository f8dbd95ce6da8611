"""What DNS and the edge of a sandbox have for its domains, and the faults of its DNS and of its edges: a file that `sslctl sandbox` changes.

The sandbox reads the file again when it has changed, so a command needs no connection to it, and a sandbox that is kept has the
same domains when it starts again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from sslctl.errors import StateError, TryLater
from sslctl.sandbox.edge_fault import EdgeFault
from sslctl.system.files import replacing
from sslctl.system.locks import locked

FILE = "domains.json"


class DnsFault(StrEnum):
    """How DNS fails for a name."""

    DNSSEC = "dnssec"
    """The signatures are broken: SERVFAIL, unless the query disables validation (RFC 4035, section 3.2.2)."""
    SLOW = "dns"
    """The answer comes late."""


@dataclass(frozen=True, slots=True)
class DomainRecord:
    """A domain: the target of its CNAME, its CAA records in zone file form, its IPv6 addresses, and where port 80 redirects to."""

    points_at: str
    caa: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    redirect: str = ""


@dataclass(frozen=True, slots=True)
class DnsTrouble:
    """A fault of DNS for `domain` and the names below it; for all names if it is empty. `seconds` is the delay of `SLOW`."""

    fault: DnsFault
    domain: str = ""
    seconds: float = 0

    def applies_to(self, names: Iterable[str]) -> bool:
        """Return whether one of `names` is the domain or below it."""
        return any(not self.domain or f".{name}".endswith(f".{self.domain}") for name in names)


@dataclass(frozen=True, slots=True)
class Content:
    """The content of the file."""

    domains: dict[str, DomainRecord] = field(default_factory=dict)
    trouble: DnsTrouble | None = None
    edge_fault: EdgeFault | None = None


class DomainRecords:
    """The file in `folder`. Safe for use by many threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock_path = folder / f".{FILE}.lock"
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._content = Content()

    def read(self) -> Content:
        """Return the content. Raise `StateError` if it is not one that this class wrote."""
        with self._lock:
            try:
                stat = self._path.stat()
            except FileNotFoundError:
                return Content()
            # Each change is a new file.
            seen = (stat.st_ino, stat.st_mtime_ns)
            if seen != self._seen:
                self._content = _parse(self._path)
                self._seen = seen
            return self._content

    def set_domain(self, name: str, record: DomainRecord) -> None:
        """Set all that DNS and the edge have for `name`. Raise `TryLater` if another process changes the file."""
        self._change(lambda content: replace(content, domains={**content.domains, name: record}))

    def set_trouble(self, trouble: DnsTrouble | None) -> None:
        """Replace the fault of DNS; None ends it. Raise `TryLater` if another process changes the file."""
        self._change(lambda content: replace(content, trouble=trouble))

    def set_edge_fault(self, fault: EdgeFault | None) -> None:
        """Replace the fault of an edge; None ends it. Raise `TryLater` if another process changes the file."""
        self._change(lambda content: replace(content, edge_fault=fault))

    def _change(self, change: Callable[[Content], Content]) -> None:
        with locked(self._lock_path) as is_ours:
            if not is_ours:
                raise TryLater("another command changes the sandbox now", hint="repeat the command")
            content = json.dumps(asdict(change(self.read())))
            with replacing(self._path) as file:
                file.write(content.encode())


def _parse(path: Path) -> Content:
    try:
        found = json.loads(path.read_text())
        domains = {
            name: DomainRecord(
                points_at=str(each["points_at"]),
                caa=tuple(map(str, each["caa"])),
                aaaa=tuple(map(str, each["aaaa"])),
                redirect=str(each["redirect"]),
            )
            for name, each in found["domains"].items()
        }
        trouble, fault = found["trouble"], found.get("edge_fault")
        edge_fault = None if fault is None else EdgeFault(fault)
        if trouble is None:
            return Content(domains, None, edge_fault)
        dns_trouble = DnsTrouble(
            DnsFault(trouble["fault"]), str(trouble["domain"]), float(trouble["seconds"])
        )
        return Content(domains, dns_trouble, edge_fault)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(f"{path} is not a file of the sandbox") from error
