"""The TLS context of all jobs, with the roots that the CA's own certificate is verified by.

To read the roots of a public CA's bundle takes 12 ms of CPU for each connection, nearly half of what an order needs. So the fork server
reads them once (`prepare`), and the session of each fork uses them (`mount`).
"""

from __future__ import annotations

import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context


@dataclass(frozen=True, slots=True)
class _Bundle:
    """A file of roots as it was at some time."""

    path: str
    inode: int
    changed_at: int


_prepared: tuple[_Bundle, ssl.SSLContext] | None = None


def prepare() -> None:
    """Read the roots. What cannot be read, and a folder of roots, is left to `requests`."""
    global _prepared  # noqa: PLW0603 - forks inherit it
    _prepared = None
    bundle = _find_bundle()
    if bundle is None:
        return
    context = create_urllib3_context()
    try:
        context.load_verify_locations(bundle.path)
    except OSError:
        return
    _prepared = bundle, context


def mount(session: requests.Session) -> None:
    """Let `session` use the roots that were read, unless their file has changed since."""
    if _prepared is not None and is_current():
        session.mount("https://", _Adapter(_prepared[1]))


def is_current() -> bool:
    """Return whether the roots that were read are those that `requests` would read now."""
    return _prepared is not None and _prepared[0] == _find_bundle()


def _find_bundle() -> _Bundle | None:
    """Return the file of roots that `requests` reads; None if there is none."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    try:
        found = Path(named).stat()
    except OSError:
        return None
    return _Bundle(named, found.st_ino, found.st_ctime_ns) if stat.S_ISREG(found.st_mode) else None


class _Adapter(HTTPAdapter):
    """An adapter that verifies servers, also those behind a proxy, by the roots of one TLS context."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._pools: dict[str, Any] = {}
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools with the context."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool of the server. Without proxies it is remembered: to look it up costs as much as to read a response."""
        if proxies:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        server = "/".join(request.url.split("/", 3)[:3])
        if server not in self._pools:
            self._pools[server] = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return self._pools[server]

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the pools behind `proxy` with the context."""
        return super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Verify the server as `requests` does, without reading the roots again."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        conn.ca_certs = conn.ca_cert_dir = None
