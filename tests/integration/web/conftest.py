"""Fixtures of the page: a filled state that the tests of a module share, and a browser without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.fakes import Clock
from tests.support.site_cases import fill, site_over
from tests.support.store_cases import open_store


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a filled state and a configuration. Do not change the state."""
    folder = tmp_path_factory.mktemp("filled")
    store = open_store(folder / "state")
    fill(store)
    store.close()
    return folder


@pytest.fixture(scope="module")
def client(filled: Path) -> Iterator[FlaskClient]:
    """A client of the site over the filled state."""
    with site_over(filled, Clock()).test_client(use_cookies=False) as opened:
        yield opened
