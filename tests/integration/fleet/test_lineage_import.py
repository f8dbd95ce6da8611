"""The import of many lineages: what an interruption leaves, and lineages that share a domain."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sslctl.certificates.x509 import key_fingerprint
from sslctl.errors import BadInput
from sslctl.fleet.lineage_import import Acceptance, Action, Imported, LineageImport, choose_names
from sslctl.issuer.certbot import lineages
from sslctl.issuer.certbot.lineages import Lineage
from sslctl.rules.claim_names import domain_claim
from sslctl.rules.model import Source
from sslctl.store.interface.domains import EVERYTHING
from sslctl.store.sqlite.store import SqliteStore
from tests.support.certbot_folder import SERVER, CertbotFolder
from tests.support.fakes import Clock
from tests.support.store_cases import open_store

NAME, OTHER = "shop.example.com", "www.example.com"
ACCEPTANCE = Acceptance([SERVER], "", lambda _bundle: False)


def run(store: Any, certbot: CertbotFolder, clock: Clock) -> list[Imported]:
    """Import all lineages."""
    names = lineages.find_names(certbot.path)
    return list(LineageImport(store, ACCEPTANCE, clock).run(names, partial(lineages.read, certbot.path)))


@pytest.fixture
def certbot(tmp_path: Path, clock: Clock) -> CertbotFolder:
    """An empty folder of certbot."""
    return CertbotFolder(tmp_path / "letsencrypt", clock)


def test_interrupted_import_leaves_whole_domains_and_is_completed_by_the_next_one(
    store: SqliteStore, certbot: CertbotFolder, clock: Clock
) -> None:
    certbot.issue(NAME, ago=(70, 10))
    lineage = lineages.read(certbot.path, NAME)
    names = [f"n{number}.example.com" for number in range(450)]

    def read(name: str) -> Lineage:
        if name == names[430]:
            raise KeyboardInterrupt
        return lineage

    with pytest.raises(KeyboardInterrupt):
        list(LineageImport(store, ACCEPTANCE, clock).run([NAME, *names], read))
    found = list(store.domains(EVERYTHING, clock()))
    assert [len(store.certificates(domain)) for domain in found] == [2]
    done = list(LineageImport(store, ACCEPTANCE, clock).run([NAME], lambda _name: lineage))
    assert [each.action for each in done] == [Action.NONE]


class InterruptedStore:
    """A store that Ctrl-C meets when the second domain of a block is recorded."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._recorded = 0

    def __getattr__(self, name: str) -> object:
        self._recorded += name == "add_imported_certificates"
        if self._recorded == 2:
            raise KeyboardInterrupt
        return getattr(self._store, name)


def test_interruption_within_a_block_records_nothing_of_it(
    store: SqliteStore, certbot: CertbotFolder, clock: Clock
) -> None:
    for name in (NAME, OTHER):
        certbot.issue(name, ago=(70, 10))
    with pytest.raises(KeyboardInterrupt):
        run(InterruptedStore(store), certbot, clock)
    assert list(store.domains(EVERYTHING, clock())) == []
    assert [each.action for each in run(store, certbot, clock)] == [Action.ADD, Action.ADD]


def test_domain_that_another_process_works_on_is_refused_and_the_rest_go_on(
    store: SqliteStore, certbot: CertbotFolder, clock: Clock, tmp_path: Path
) -> None:
    for name in (NAME, OTHER):
        certbot.issue(name)
        store.add_domain(name, (), Source.C4)
    other = open_store(tmp_path / "state", clock)
    other._owner = "elsewhere.test/1/1"
    other.claim([domain_claim(OTHER)], timedelta(hours=1))
    done = run(store, certbot, clock)
    assert [(each.action, each.domain) for each in done] == [(Action.EXTEND, NAME), (Action.REFUSE, OTHER)]
    assert store.certificates(store.domain(OTHER)) == []
    other.release([domain_claim(OTHER)])
    other.close()
    assert [each.action for each in run(store, certbot, clock)] == [Action.NONE, Action.EXTEND]


@pytest.mark.parametrize("is_known", [False, True])
def test_compromised_key_is_refused(
    store: SqliteStore, certbot: CertbotFolder, clock: Clock, *, is_known: bool
) -> None:
    bundle = certbot.issue(NAME)[0]
    store.mark_key_compromised(key_fingerprint(bundle.certificate))
    if is_known:
        store.add_domain(NAME, (), Source.C4)
    (done,) = run(store, certbot, clock)
    assert done.error is not None
    assert (done.action, "marked as compromised" in done.error.message) == (Action.REFUSE, True)
    found = store.find(NAME)
    assert (found is not None) == is_known
    assert found is None or store.certificates(found) == []


@pytest.mark.parametrize(
    ("lineage", "certified", "chosen"),
    [
        ("b.test", ("a.test", "b.test"), ("b.test", ("a.test",))),
        ("b.test-0001", ("a.test", "b.test"), ("b.test", ("a.test",))),
        ("my-cert", ("A.test", "b.test"), ("a.test", ("b.test",))),
        ("b.test-000", ("a.test", "b.test"), ("a.test", ("b.test",))),
    ],
)
def test_domain_is_that_of_the_lineage_or_the_first_name_of_the_certificate(
    lineage: str, certified: tuple[str, ...], chosen: tuple[str, tuple[str, ...]]
) -> None:
    assert choose_names(lineage, certified) == chosen


def test_certificate_without_a_name_is_refused() -> None:
    with pytest.raises(BadInput, match="has no name"):
        choose_names(NAME, ())
