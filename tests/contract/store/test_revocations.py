"""Requested revocations, and compromised keys."""

from __future__ import annotations

from datetime import timedelta

from sslctl.rules.model import Domain, Source
from sslctl.rules.revocation import RevocationReason
from sslctl.store.interface import Store
from tests.support.fakes import Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import NAME, held, issue, kinds, serve


def test_requested_revocation_is_open_until_the_certificate_is_revoked(
    store: Store, domain: Domain, backend: Backend, clock: Clock
) -> None:
    served = serve(store, issue(store, domain))
    certificate = held(served)
    other = store.add_domain("b.test", (), Source.C4)
    store.request_revocation(certificate, RevocationReason.SUPERSEDED, waits=True)
    store.postpone_revocation(certificate, clock() + timedelta(hours=1), "no answer")
    next_run = backend.open(clock)
    (found,) = next_run.open_revocations(served)
    assert (found.name, found.certificate, found.reason, found.waits) == (
        NAME,
        certificate,
        RevocationReason.SUPERSEDED,
        True,
    )
    assert found.retry_at == clock() + timedelta(hours=1)
    assert next_run.open_revocations() == [found]
    assert next_run.open_revocations(other) == []
    # A later request counts, and is tried at once.
    next_run.request_revocation(certificate, RevocationReason.KEY_COMPROMISE, waits=False)
    (changed,) = next_run.open_revocations()
    assert (changed.reason, changed.waits, changed.retry_at) == (RevocationReason.KEY_COMPROMISE, False, None)
    next_run.mark_revoked(certificate, RevocationReason.KEY_COMPROMISE)
    assert next_run.open_revocations() == []
    event = next_run.events(served)[-1]
    assert (event.kind, event.detail, event.version) == ("revoked", "keyCompromise", 1)
    assert kinds(next_run, served)[-4:] == [
        "revocation requested",
        "not revoked",
        "revocation requested",
        "revoked",
    ]
    next_run.close()


def test_revocation_of_an_expired_certificate_is_not_open(store: Store, domain: Domain, clock: Clock) -> None:
    certificate = held(serve(store, issue(store, domain)))
    store.request_revocation(certificate, RevocationReason.CESSATION, waits=False)
    clock.at = certificate.not_after
    assert store.open_revocations() == []
    assert list(store.unexpired_certificates()) == []


def test_unexpired_certificates_have_the_name_of_their_domain_and_their_pem(
    store: Store, domain: Domain
) -> None:
    certificate = held(issue(store, domain))
    assert list(store.unexpired_certificates()) == [
        (NAME, certificate, store.bundle(certificate).certificate)
    ]


def test_compromised_key_is_remembered_by_later_runs(store: Store, backend: Backend) -> None:
    for _ in range(2):
        store.mark_key_compromised("aa" * 32)
    next_run = backend.open()
    assert next_run.is_key_compromised("aa" * 32)
    assert not next_run.is_key_compromised("bb" * 32)
    next_run.close()
