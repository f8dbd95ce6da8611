"""Which certificates browsers trust, with roots from a file, from a folder of the system, and without any."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from sslctl.certificates.trust import TrustedRoots
from sslctl.errors import ConfigError
from sslctl.rules.model import Bundle

NOW = datetime.now(UTC)


def issue(ca: trustme.CA, *, chain: bool = True) -> Bundle:
    """Return a certificate of `ca`, with the intermediate CAs."""
    pair = ca.issue_cert("shop.example.com")
    leaf, *rest = [blob.bytes().decode() for blob in pair.cert_chain_pems]
    return Bundle(leaf, "".join(rest) if chain else "", "")


@pytest.fixture
def known() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def roots(known: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "roots.pem"
    known.cert_pem.write_to_path(path)
    return path


def test_certificate_is_trusted_if_its_chain_leads_to_a_root(known: trustme.CA, roots: Path) -> None:
    trusted = TrustedRoots(roots)
    assert trusted.trust(issue(known), NOW)
    assert trusted.trust(issue(known.create_child_ca()), NOW)
    assert not trusted.trust(issue(known.create_child_ca(), chain=False), NOW)
    assert not trusted.trust(issue(trustme.CA()), NOW)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_roots_are_read_from_a_file_with_a_byte_order_mark(
    known: trustme.CA, roots: Path, encoding: str
) -> None:
    text = roots.read_text()
    roots.write_bytes(f"# Türk\r\n{text}".encode(encoding))
    assert TrustedRoots(roots).trust(issue(known), NOW)
    # The comments of old bundles are in Latin-1.
    roots.write_bytes(f"# Türk\n{text}".encode("latin-1"))
    assert TrustedRoots(roots).trust(issue(known), NOW)


def test_certificate_is_not_trusted_after_its_expiry(known: trustme.CA, roots: Path) -> None:
    assert not TrustedRoots(roots).trust(issue(known), NOW + timedelta(days=365 * 2000))


def test_one_unreadable_root_does_not_hide_the_others(known: trustme.CA, roots: Path) -> None:
    bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    roots.write_text(f"# a comment\n{bad}{roots.read_text()}{bad}")
    assert TrustedRoots(roots).trust(issue(known), NOW)


@pytest.mark.parametrize(
    "content", [None, "", "no PEM", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----"]
)
def test_configured_file_without_roots_is_an_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"safety\.trusted_roots"):
        _ = TrustedRoots(path).roots


def test_system_with_only_a_folder_of_roots_is_read(
    known: trustme.CA, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (roots.parent / "0a1b2c3d.0").symlink_to(roots)
    (roots.parent / "folder").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(roots.parent / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(roots.parent))
    trusted = TrustedRoots()
    assert len(trusted.roots) == 1
    assert trusted.trust(issue(known), NOW)


def test_nothing_is_trusted_on_a_system_without_roots(
    known: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "missing"))
    trusted = TrustedRoots()
    assert not trusted.exist
    assert not trusted.trust(issue(known), NOW)
