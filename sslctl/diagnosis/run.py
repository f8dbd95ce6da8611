"""Many diagnoses at once, in the order of the names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial

from sslctl.certificates.trust import TrustedRoots
from sslctl.config.settings import Config
from sslctl.control_plane import ControlPlane
from sslctl.diagnosis import Diagnosis, Subject
from sslctl.diagnosis.diagnose import Diagnoser
from sslctl.diagnosis.served import ServedCheck
from sslctl.diagnosis.subjects import find_subjects
from sslctl.edge.asking import AskedEdges
from sslctl.errors import SslctlError
from sslctl.issuer import IssueError, Issuer
from sslctl.issuer.certbot.directory import find_account_url
from sslctl.preflight import PreflightError
from sslctl.preflight.inspection import Inspector
from sslctl.store.interface import Store
from sslctl.system.threads import map_in_threads

C4_SECONDS = 5.0
"""The timeout of each request to C4."""

_MOST_AT_ONCE = 8


def diagnose_each(
    names: Sequence[str],
    config: Config,
    connect: Callable[[], ControlPlane],
    issuer: Issuer,
    find_store: Callable[[], Store | None],
    roots: TrustedRoots,
    *,
    clock: Callable[[], datetime],
) -> Iterator[Diagnosis]:
    """Yield what an order of each of `names` (normalised) would meet, in their order. Nothing is ordered or recorded.

    `connect` returns a client of C4, which is closed at the end. `issuer` serves the tokens that are fetched. `find_store` returns the database, None if there is no state. If
    it cannot be used, the names are checked without it. What does not answer is a result, too, and each name takes less than a
    minute. If the caller ends early, what was begun goes on in threads that do not keep the process from ending.
    """
    acme = config.acme
    account_url = partial(find_account_url, config.state.acme_dir, acme.directory_url)
    # A private CA is none that browsers trust.
    is_public_ca = acme.ca_bundle is None and roots.exist
    subjects = _find_subjects(find_store, names, clock())
    # Serving a token would make folders where a state must be created first.
    has_state = not any(subject.trouble for subject in subjects)
    with closing(connect()) as control_plane:
        diagnoser = Diagnoser(
            control_plane,
            Inspector(
                config.cdn,
                config.dns,
                acme.caa_identities,
                find_account_url=account_url,
                publisher=_TokenPublisher(issuer) if has_state else None,
            ),
            ServedCheck(config.cdn, roots if is_public_ca else None),
            clock=clock,
            http_expected=acme.mode != "standalone",
            ask_edges=AskedEdges(
                config.verify.edges, config.verify.timeout_seconds, monotonic=time.monotonic
            ).ask,
        )
        yield from map_in_threads(
            diagnoser.diagnose, subjects, _MOST_AT_ONCE, "check", wait=False, is_daemon=True
        )


def _find_subjects(
    find_store: Callable[[], Store | None], names: Sequence[str], now: datetime
) -> list[Subject]:
    try:
        store = find_store()
        if store is not None:
            return find_subjects(store, names, now)
        trouble = "there is no state yet"
    except SslctlError as error:
        trouble = error.message
    return [Subject(name, trouble=trouble) for name in names]


class _TokenPublisher:
    """A `Publisher` of tokens with an issuer. What prevents it would prevent an order, too, so it is a problem of the name."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    @contextmanager
    def published(self, token: str) -> Iterator[str]:
        """See `Publisher.published`. Raise `PreflightError` if the token cannot be served."""
        try:
            with self._issuer.published(token) as content:
                yield content
        except IssueError as error:
            raise PreflightError(error.code, error.found, error.wanted) from error
