"""The remote control of a sandbox that runs in another process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests

from sslctl.errors import ConfigError, TryLater
from sslctl.sandbox.c4.faults import Operation
from sslctl.sandbox.domain_records import DnsTrouble, DomainRecord, DomainRecords
from sslctl.sandbox.edge_fault import EdgeFault

MAP = "sandbox.json"
"""The file beside the sandbox's configuration that has the URLs of its interfaces."""

_SECONDS = 10


class RemoteControl:
    """A remote control for the sandbox with the configuration `config_path`.

    Raise `ConfigError` if that is not the configuration of a sandbox.
    """

    def __init__(self, config_path: Path | None) -> None:
        self._folder = config_path.parent if config_path else Path()
        self._records = DomainRecords(self._folder)
        try:
            self._map: dict[str, str] = json.loads((self._folder / MAP).read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(
                "the configuration in use is not a sandbox's",
                hint="`sslctl sandbox up` prints the line that names one",
            ) from error

    def set_domain(self, name: str, target: str, record: DomainRecord) -> None:
        """Create `name` in C4 with the CNAME target `target`, and set what DNS and the edge have for it."""
        self._ask_c4("POST", "domains", {"domain": name, "cname_target": target, "ports": [80, 443]})
        self._send(
            "POST", f"{self._map['records_url']}/set-cname", {"host": name, "target": record.points_at}
        )
        self._records.set_domain(name, record)

    def inject_fault(self, kind: Operation, status: int, domain: str | None) -> None:
        """Clear all faults, and make C4 answer every request of `kind` about `domain`, by default any, with `status`."""
        self.clear_faults()
        self._ask_c4("PUT", "faults", [{"kind": kind.value, "status": status, "domain": domain}])

    def inject_dns_trouble(self, trouble: DnsTrouble) -> None:
        """Clear all faults, and make DNS fail."""
        self.clear_faults()
        self._records.set_trouble(trouble)

    def inject_edge_fault(self, fault: EdgeFault) -> None:
        """Clear all faults, and make an edge serve other certificates than C4 has."""
        self.clear_faults()
        self._records.set_edge_fault(fault)

    def clear_faults(self) -> None:
        """Clear all faults of C4, of DNS and of the edges."""
        self._ask_c4("DELETE", "faults", None)
        self._records.set_trouble(None)
        self._records.set_edge_fault(None)

    def _ask_c4(self, method: str, path: str, facts: object) -> None:
        token = (self._folder / "c4-token").read_text().strip()
        self._send(
            method,
            f"{self._map['c4_url']}/sandbox/{path}",
            facts,
            headers={"Authorization": f"Bearer {token}"},
            verify=str(self._folder / "c4-ca.pem"),
        )

    @staticmethod
    def _send(method: str, url: str, facts: object, **policy: Any) -> None:
        with requests.Session() as session:
            session.trust_env = False
            try:
                session.request(method, url, json=facts, timeout=_SECONDS, **policy).raise_for_status()
            except requests.RequestException as error:
                raise TryLater(
                    "the sandbox does not answer", hint="is `sslctl sandbox up` still running?"
                ) from error
