"""The fixtures of the contract suite. Each test runs with every implementation in `BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sslctl.rules.model import Domain, Source
from sslctl.store.interface import Store
from tests.support.fakes import Clock
from tests.support.store_backends import BACKENDS, Backend
from tests.support.store_cases import NAME, issue, open_order, serve


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(name, marks=[pytest.mark.postgres] if name == "postgres" else []) for name in BACKENDS
    ],
)
def new_backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Backend]:
    """A function that returns an empty state."""
    return lambda: BACKENDS[request.param](tmp_path_factory.mktemp("state"))


@pytest.fixture
def backend(new_backend: Callable[[], Backend]) -> Iterator[Backend]:
    """An empty state."""
    made = new_backend()
    yield made
    made.discard()


@pytest.fixture
def store(backend: Backend, clock: Clock) -> Iterator[Store]:
    """A handle of the state."""
    opened = backend.open(clock, actor="tester (pytest)")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shared_backend(new_backend: Callable[[], Backend]) -> Iterator[Backend]:
    """A state that the tests of a module share."""
    made = new_backend()
    yield made
    made.discard()


@pytest.fixture(scope="module")
def shared(shared_backend: Backend) -> Iterator[Store]:
    """A handle of the state that the tests of a module share."""
    opened = shared_backend.open()
    yield opened
    opened.close()


@pytest.fixture
def domain(store: Store) -> Domain:
    """A domain that was just added."""
    return store.add_domain(NAME, (), Source.C4)


@pytest.fixture
def busy_domain(store: Store, domain: Domain) -> Domain:
    """A domain that is served and whose renewal is ordered: every method has something to do for it."""
    served = serve(store, issue(store, domain))
    open_order(store, served)
    return served
