"""Changing a sandbox that runs in another process, through the interfaces it has for that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests

from sslctl.errors import ConfigError, TryLater
from sslctl.sandbox.c4.faults import Operation

MAP = "sandbox.json"
"""The file beside the sandbox's configuration that says where its interfaces are."""

_SECONDS = 10


class RemoteControl:
    """The sandbox whose configuration is `config_path`. Raises `ConfigError` where that is no sandbox's."""

    def __init__(self, config_path: Path | None) -> None:
        self._folder = config_path.parent if config_path else Path()
        try:
            self._map: dict[str, str] = json.loads((self._folder / MAP).read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(
                "the configuration in use is not a sandbox's",
                hint="`sslctl sandbox up` prints the line that names one",
            ) from error

    def set_domain(self, name: str, target: str, points_at: str) -> None:
        """Make `name` known to C4 with the CNAME target `target`, and let its CNAME point at `points_at`."""
        self._ask_c4("POST", "domains", {"domain": name, "cname_target": target, "ports": [80, 443]})
        self._send("POST", f"{self._map['records_url']}/set-cname", {"host": name, "target": points_at})

    def break_c4(self, kind: Operation, status: int) -> None:
        """Let C4 answer every call of `kind` with `status`."""
        self._ask_c4("PUT", "faults", [{"kind": kind.value, "status": status}])

    def heal_c4(self) -> None:
        """Let C4 answer as it should again."""
        self._ask_c4("DELETE", "faults", None)

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
