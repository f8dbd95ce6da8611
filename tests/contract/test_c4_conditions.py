"""The client of C4 against the reference C4 over HTTPS: preconditions and the list of domains, with and without them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sslctl.certificates.x509 import read_leaf
from sslctl.control_plane import NOTHING, Changed, ControlPlane, NoInventory, TextCertificatePresent
from sslctl.rules.model import Bundle, Source
from sslctl.sandbox.c4.faults import Drop, Fault, Operation
from tests.support.cdn import Cdn
from tests.support.fakes import Clock

NAME = "shop.example.com"


@pytest.fixture
def cdn(tmp_path: Path, clock: Clock) -> Iterator[Cdn]:
    with Cdn(tmp_path, clock) as made:
        made.add_domain(NAME)
        yield made


@pytest.fixture
def c4(cdn: Cdn) -> ControlPlane:
    return cdn.app().control_plane


def _fingerprint(bundle: Bundle) -> str:
    return read_leaf(bundle.certificate).fingerprint


@pytest.fixture
def old(cdn: Cdn) -> Bundle:
    return cdn.text_pair(NAME)


@pytest.fixture
def new(cdn: Cdn) -> Bundle:
    return cdn.text_pair(NAME)


@pytest.fixture
def theirs(cdn: Cdn) -> Bundle:
    return cdn.text_pair(NAME)


def test_upload_replaces_the_expected_certificate(
    cdn: Cdn, c4: ControlPlane, old: Bundle, new: Bundle
) -> None:
    c4.upload(NAME, old, Source.C4, NOTHING)
    c4.upload(NAME, new, Source.C4, _fingerprint(old))
    assert cdn.installed(NAME) == _fingerprint(new)


@pytest.mark.parametrize("source", [Source.C4, Source.TEXT])
def test_upload_changes_nothing_when_another_certificate_is_installed_than_expected(
    cdn: Cdn, c4: ControlPlane, old: Bundle, new: Bundle, theirs: Bundle, source: Source
) -> None:
    c4.upload(NAME, theirs, source)
    for expected in (NOTHING, _fingerprint(old)):
        with pytest.raises(Changed, match=r"^answered 412: precondition_failed: Another certificate"):
            c4.upload(NAME, new, Source.C4, expected)
    assert cdn.installed(NAME) == _fingerprint(theirs)


def test_upload_changes_nothing_when_the_expected_certificate_is_gone(
    cdn: Cdn, c4: ControlPlane, old: Bundle, new: Bundle
) -> None:
    with pytest.raises(Changed):
        c4.upload(NAME, new, Source.C4, _fingerprint(old))
    assert cdn.installed(NAME) is None


def test_upload_over_the_expected_text_certificate_still_requires_its_removal(
    c4: ControlPlane, old: Bundle, new: Bundle
) -> None:
    c4.upload(NAME, old, Source.TEXT)
    with pytest.raises(TextCertificatePresent):
        c4.upload(NAME, new, Source.C4, _fingerprint(old))


@pytest.mark.parametrize("has_old", [True, False])
def test_repeated_upload_after_a_lost_response_is_no_change(
    cdn: Cdn, c4: ControlPlane, old: Bundle, new: Bundle, *, has_old: bool
) -> None:
    if has_old:
        c4.upload(NAME, old, Source.C4)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, drop=Drop.AFTER, times=1))
    c4.upload(NAME, new, Source.C4, _fingerprint(old) if has_old else NOTHING)
    assert cdn.uploads(NAME)[-2:] == [None, 200]
    assert cdn.installed(NAME) == _fingerprint(new)


def test_remove_removes_only_the_expected_certificate(
    cdn: Cdn, c4: ControlPlane, old: Bundle, theirs: Bundle
) -> None:
    c4.upload(NAME, theirs, Source.TEXT)
    with pytest.raises(Changed):
        c4.remove(NAME, _fingerprint(old))
    assert cdn.installed(NAME) == _fingerprint(theirs)
    assert c4.remove(NAME, _fingerprint(theirs)) is True
    assert c4.remove(NAME, _fingerprint(theirs)) is False


def test_server_without_preconditions_ignores_them(
    cdn: Cdn, c4: ControlPlane, old: Bundle, new: Bundle, theirs: Bundle
) -> None:
    cdn.c4.features.preconditions = False
    c4.upload(NAME, theirs, Source.C4)
    c4.upload(NAME, new, Source.C4, _fingerprint(old))
    assert cdn.installed(NAME) == _fingerprint(new)
    assert c4.remove(NAME, _fingerprint(old)) is True


def test_inventory_yields_the_record_of_every_domain(cdn: Cdn, c4: ControlPlane, old: Bundle) -> None:
    names = [NAME, *(f"{number}.example.com" for number in range(2500))]
    for name in names[1:]:
        cdn.c4.create_domain(name, cname_target=f"{name}.cdn.test", ports=[80])
    c4.upload(NAME, old, Source.TEXT)
    records = list(c4.inventory())
    assert sorted(record.name for record in records) == sorted(names)
    assert [record for record in records if record.name in names[:2]] == [
        c4.domain(name) for name in sorted(names[:2])
    ]
    pages = [request for request in cdn.c4.requests if request.path == "/v1/domains"]
    assert len(pages) == 3


def test_inventory_of_a_c4_without_domains_is_empty(cdn: Cdn, c4: ControlPlane) -> None:
    cdn.c4.delete_domain(NAME)
    assert list(c4.inventory()) == []


def test_inventory_yields_each_domain_once_while_others_come_and_go(cdn: Cdn, c4: ControlPlane) -> None:
    for number in range(1500):
        cdn.c4.create_domain(f"{number:04}.example.com", cname_target="target.cdn.test")
    records = c4.inventory()
    first = next(records).name
    cdn.c4.delete_domain("0999.example.com")
    cdn.c4.create_domain("0000a.example.com", cname_target="target.cdn.test")
    rest = [record.name for record in records]
    assert first == "0000.example.com"
    assert sorted([first, *rest]) == sorted([NAME, *(f"{number:04}.example.com" for number in range(1500))])


def test_inventory_raises_no_inventory_for_a_server_without_one(cdn: Cdn, c4: ControlPlane) -> None:
    cdn.c4.features.inventory = False
    with pytest.raises(NoInventory, match=r"^answered 501: not_implemented"):
        next(c4.inventory())
