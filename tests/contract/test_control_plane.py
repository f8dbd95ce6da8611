"""The contract of `ControlPlane`, for the fake C4 of the tests, the client against the reference C4, and the folder of PEM files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from sslctl.certificates.x509 import read_leaf
from sslctl.control_plane import (
    NOTHING,
    Changed,
    ControlPlane,
    Installed,
    Rejected,
    State,
    TextCertificatePresent,
    UnknownDomain,
)
from sslctl.control_plane.folder.client import FolderControlPlane
from sslctl.control_plane.folder.reloading import Reload
from sslctl.rules.model import Bundle, Source
from tests.support.cdn import SUFFIX, Cdn
from tests.support.fake_c4 import FakeC4
from tests.support.fakes import Clock, FakeIssuer

NAME, OTHER, MISSING = "shop.example.com", "other.example.com", "missing.example.com"


@dataclass
class Case:
    """A C4 that knows `NAME` and `OTHER`, without certificates."""

    c4: ControlPlane
    clock: Clock

    def pair(self, *names: str) -> Bundle:
        """Return a pair that is valid for 90 days."""
        return FakeIssuer(self.clock).pair(*names)


@pytest.fixture(params=["fake", "client", "folder"])
def case(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Case]:
    if request.param == "fake":
        fake = FakeC4(clock)
        for name in (NAME, OTHER):
            fake.create(name, f"{name}.{SUFFIX}")
        yield Case(fake, clock)
        return
    if request.param == "folder":
        names = tmp_path / "names"
        names.write_text(f"{NAME}\n# a comment\n{OTHER}\n")
        reload = Reload(["true"], 30)
        (tmp_path / "pem").mkdir()
        yield Case(
            FolderControlPlane(
                tmp_path / "pem",
                cname_target="edge.test",
                names_file=names,
                reload=reload,
                look_at=(),
                clock=clock,
            ),
            clock,
        )
        return
    with Cdn(tmp_path, clock) as cdn:
        for name in (NAME, OTHER):
            cdn.add_domain(name)
        yield Case(cdn.app().control_plane, clock)


def _installed(bundle: Bundle, source: Source) -> Installed:
    leaf = read_leaf(bundle.certificate)
    return Installed(source, leaf.fingerprint, leaf.not_after, State.ACTIVE)


def test_upload_installs_the_pair_and_may_be_repeated(case: Case) -> None:
    pair = case.pair(NAME)
    for expected in (NOTHING, None, NOTHING):
        assert case.c4.upload(NAME, pair, Source.C4, expected) is State.ACTIVE
    assert case.c4.certificate(NAME) == case.c4.domain(NAME).certificate == _installed(pair, Source.C4)


def test_inventory_lists_every_domain_as_its_record_shows_it(case: Case) -> None:
    case.c4.upload(OTHER, case.pair(OTHER), Source.TEXT)
    assert {record.name: record for record in case.c4.inventory()} == {
        name: case.c4.domain(name) for name in (NAME, OTHER)
    }


def test_every_request_about_a_missing_domain_raises_unknown_domain(case: Case) -> None:
    with pytest.raises(UnknownDomain):
        case.c4.domain(MISSING)
    with pytest.raises(UnknownDomain):
        case.c4.certificate(MISSING)
    with pytest.raises(UnknownDomain):
        case.c4.upload(MISSING, case.pair(MISSING), Source.C4)
    with pytest.raises(UnknownDomain):
        case.c4.remove(MISSING)


def test_upload_of_source_c4_over_text_is_refused_until_the_text_certificate_is_removed(case: Case) -> None:
    text, ours = case.pair(NAME), case.pair(NAME)
    case.c4.upload(NAME, text, Source.TEXT)
    with pytest.raises(TextCertificatePresent):
        case.c4.upload(NAME, ours, Source.C4)
    assert case.c4.remove(NAME)
    assert not case.c4.remove(NAME)
    assert case.c4.certificate(NAME) is None
    case.c4.upload(NAME, ours, Source.C4)


def test_change_is_refused_if_another_certificate_is_installed_than_expected(case: Case) -> None:
    first, second = case.pair(NAME), case.pair(NAME)
    case.c4.upload(NAME, first, Source.C4)
    unexpected = _installed(second, Source.C4).fingerprint
    for expected in (NOTHING, unexpected):
        with pytest.raises(Changed):
            case.c4.upload(NAME, second, Source.C4, expected)
    with pytest.raises(Changed):
        case.c4.remove(NAME, unexpected)
    assert case.c4.certificate(NAME) == _installed(first, Source.C4)


def test_expired_certificate_and_one_of_another_name_are_rejected(case: Case) -> None:
    pair = case.pair(NAME)
    with pytest.raises(Rejected):
        case.c4.upload(OTHER, pair, Source.C4)
    case.clock.at += timedelta(days=91)
    with pytest.raises(Rejected):
        case.c4.upload(NAME, pair, Source.C4)
