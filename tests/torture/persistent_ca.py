"""The fake CA with its state in a file, so that consecutive processes use the same CA."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from threading import RLock

from cryptography.hazmat.primitives.asymmetric import ec

from sslctl.certificates.pem import read_key, write_key
from sslctl.issuer import Issued
from sslctl.rules.model import Order
from tests.support.fakes import FakeIssuer


class PersistentCa(FakeIssuer):
    """`FakeIssuer` with its state in the file `path`."""

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self._path = path
        self._lock = RLock()
        if path.exists():
            self._load()
        else:
            self._save()

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        """See `Issuer.issue`."""
        with self._lock:
            self._load()
            try:
                return super().issue(order, on_url, replaces=replaces)
            finally:
                self._save()

    def collect(self, order: Order) -> Issued | None:
        """See `Issuer.collect`."""
        with self._lock:
            self._load()
            return super().collect(order)

    def serials(self) -> list[str]:
        """See `FakeIssuer.serials`."""
        self._load()
        return super().serials()

    def orders_by_name(self) -> Counter[str]:
        """See `FakeIssuer.orders_by_name`."""
        self._load()
        return super().orders_by_name()

    def _load(self) -> None:
        memory = json.loads(self._path.read_text())
        key = read_key(memory["key"])
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self.chain = self._make_chain()
        self.orders = [tuple(names) for names in memory["orders"]]
        self.issued = {url: Issued(*parts) for url, parts in memory["issued"].items()}

    def _save(self) -> None:
        issued = {url: (each.certificate, each.chain) for url, each in self.issued.items()}
        memory = {"key": write_key(self._key), "orders": self.orders, "issued": issued}
        self._path.write_text(json.dumps(memory))
