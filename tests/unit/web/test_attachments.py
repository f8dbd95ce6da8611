"""Downloaded files in one response."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime

from sslctl.web.attachments import attach

NOW = datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)


def test_one_file_is_sent_as_it_is() -> None:
    assert attach("shop", {"shop.p12": b"12"}, NOW) == ("shop.p12", "application/x-pkcs12", b"12")
    assert attach("shop", {"shop.pem": b"pem"}, NOW) == ("shop.pem", "application/x-pem-file", b"pem")


def test_several_files_are_sent_as_an_archive_of_private_files() -> None:
    files = {"a.example/cert.pem": b"cert", "b.example/privkey.pem": b"key"}
    name, kind, content = attach("certificates", files, NOW)
    assert (name, kind) == ("certificates.zip", "application/zip")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {entry.filename: archive.read(entry) for entry in archive.infolist()} == files
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100600}
        assert {entry.date_time for entry in archive.infolist()} == {(2026, 11, 23, 4, 5, 6)}
