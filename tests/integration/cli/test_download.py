"""`sslctl download`: private files, written all or none, never over others, and every download is recorded."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12
from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_certificates

from sslctl.cli.output.files import write_new
from sslctl.errors import BadInput
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.store_cases import look_into

NAME = "shop.example.com"
FILES = ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"]


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    """A CDN with one served domain."""
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    return cdn


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder to download into."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def downloads(cdn: Cdn) -> list[tuple[str, int]]:
    events = cdn.sslctl("view", NAME, "--json").json["domain"]["events"]
    return [(event["detail"], event["version"]) for event in events if event["kind"] == "key downloaded"]


def test_download_writes_four_matching_private_files(shop: Cdn, out: Path) -> None:
    folder = out / "new" / "folder"
    result = shop.sslctl("download", NAME, "-o", str(folder))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [str(folder / name) for name in FILES]
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    leaf = load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    key = load_pem_private_key((folder / "privkey.pem").read_bytes(), None)
    assert leaf.public_key() == key.public_key()
    chain = load_pem_x509_certificates((folder / "chain.pem").read_bytes())
    assert load_pem_x509_certificates((folder / "fullchain.pem").read_bytes()) == [leaf, *chain]
    assert downloads(shop) == [("pem", 1)]


def test_download_writes_to_the_current_folder_by_default(
    shop: Cdn, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out)
    result = shop.sslctl("download", NAME, "--json")
    assert result.json == {"schema_version": 1, "domain": NAME, "version": 1, "files": FILES, "lines": []}
    assert sorted(path.name for path in out.iterdir()) == FILES


def test_download_version_writes_the_requested_version(shop: Cdn, out: Path) -> None:
    old = shop.installed(NAME)
    shop.sslctl("recheck", NAME, "--force-renew")
    for version, fingerprint in (("1", old), ("2", shop.installed(NAME))):
        folder = out / version
        shop.sslctl("download", NAME, "--version", version, "-o", str(folder))
        shown = shop.sslctl("view", NAME, "--json").json["domain"]["certificates"]
        row = next(row for row in shown if str(row["version"]) == version)
        assert row["fingerprint_sha256"] == fingerprint
        leaf = load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        assert f"{leaf.serial_number:x}" == row["serial"]
    missing = shop.sslctl("download", NAME, "--version", "3", "-o", str(out))
    assert (missing.exit_code, list(out.glob("*.pem"))) == (9, [])
    assert "has no version 3\nsslctl: hint: existing versions: 1, 2\n" in missing.stderr


def test_download_overwrites_an_existing_file_only_with_force(shop: Cdn, out: Path) -> None:
    theirs = out / "privkey.pem"
    theirs.write_text("mine")
    result = shop.sslctl("download", NAME, "-o", str(out))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (f"sslctl: error: {theirs} exists already\nsslctl: hint: --force overwrites it\n")
    assert [path.name for path in out.iterdir()] == ["privkey.pem"]
    assert theirs.read_text() == "mine"
    assert downloads(shop) == []
    assert shop.sslctl("download", NAME, "-o", str(out), "--force").exit_code == 0
    assert theirs.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert sorted(path.name for path in out.iterdir()) == FILES


def test_write_new_never_replaces_a_file_that_exists(out: Path) -> None:
    """The file may appear after the check and before the write, so the write itself must not replace it."""
    (out / "b").write_text("theirs")
    with pytest.raises(BadInput, match="exists already"):
        write_new(out, {"a": b"ours", "b": b"ours"}, force=False)
    assert (out / "b").read_text() == "theirs"
    assert sorted(path.name for path in out.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("target", ["precious", "nowhere"])
def test_download_never_follows_a_symlink(shop: Cdn, out: Path, tmp_path: Path, target: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    link = out / "privkey.pem"
    link.symlink_to(tmp_path / target)
    assert shop.sslctl("download", NAME, "-o", str(out)).exit_code == 2
    assert link.is_symlink()
    assert shop.sslctl("download", NAME, "-o", str(out), "--force").exit_code == 0
    assert not link.is_symlink()
    assert precious.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_download_names_the_folder_that_it_cannot_write_to(shop: Cdn, out: Path) -> None:
    (out / "file").write_text("")
    result = shop.sslctl("download", NAME, "-o", str(out / "file" / "below"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"sslctl: error: cannot write to {out}/file/below: Not a directory\n"
    assert "is a file" in shop.sslctl("download", NAME, "-o", str(out / "file")).stderr


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_download_pkcs12_uses_the_password_from_a_file(
    shop: Cdn, out: Path, encoding: str, line_end: str
) -> None:
    secret = out / "password"
    secret.write_bytes(f"s3cret pässword{line_end}".encode(encoding))
    options = ["--format", "pkcs12", "--password-file", str(secret)]
    result = shop.sslctl("download", NAME, "-o", str(out), *options)
    assert (result.exit_code, result.stdout) == (0, f"{out}/{NAME}.p12\n")
    path = out / f"{NAME}.p12"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key, leaf, chain = pkcs12.load_key_and_certificates(path.read_bytes(), "s3cret pässword".encode())
    assert key is not None
    assert leaf is not None
    assert key.public_key() == leaf.public_key()
    assert len(chain) == 1
    assert downloads(shop) == [("pkcs12", 1)]


def test_download_records_the_given_reason_in_the_history(shop: Cdn, out: Path) -> None:
    reason = "ticket 4711:\x1b[31m moved\n to another edge " + "x" * 1000
    assert shop.sslctl("download", NAME, "-o", str(out), "--reason", reason).exit_code == 0
    [(detail, version)] = downloads(shop)
    assert (detail[:42], version) == ("pem: ticket 4711: moved to another edge xx", 1)
    assert len(detail) <= 310


def test_download_writes_no_file_when_the_event_cannot_be_recorded(shop: Cdn, out: Path) -> None:
    with look_into(shop.folder / "state" / "sslctl.db") as connection:
        connection.execute(
            "CREATE TRIGGER no_events BEFORE INSERT ON event BEGIN SELECT RAISE (ABORT, 'no more events'); END"
        )
    result = shop.sslctl("download", NAME, "-o", str(out))
    assert (result.exit_code, result.stdout, list(out.iterdir())) == (8, "", [])


def test_download_pkcs12_is_rejected_without_a_password(shop: Cdn, out: Path) -> None:
    empty = out / "password"
    empty.write_text("\n")
    options = ["--format", "pkcs12", "-o", str(out)]
    refused = shop.sslctl("download", NAME, *options, "--password-file", str(empty))
    assert (refused.exit_code, downloads(shop)) == (2, [])
    unasked = shop.sslctl("download", NAME, *options)
    assert unasked.exit_code == 2
    assert "give it with --password-file" in unasked.stderr
    assert shop.sslctl("download", NAME, "--password-file", str(empty)).exit_code == 2
    assert list(out.iterdir()) == [empty]


def test_download_works_for_a_deleted_domain(shop: Cdn, out: Path) -> None:
    shop.sslctl("delete", NAME, "--yes")
    assert shop.sslctl("download", NAME, "-o", str(out)).exit_code == 0
    assert downloads(shop) == [("pem", 1)]


def test_download_exits_with_9_before_the_first_certificate(cdn: Cdn, out: Path) -> None:
    cdn.sslctl("add", NAME, "--no-wait")
    for name, message in ((NAME, "has no certificate yet"), ("other.example.com", "is not managed here")):
        result = cdn.sslctl("download", name, "-o", str(out))
        assert result.exit_code == 9
        assert message in result.stderr
    assert list(out.iterdir()) == []


def test_download_works_for_a_certificate_that_c4_refused(cdn: Cdn, out: Path) -> None:
    """In an Emergency a person may have to install it by hand."""
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=422))
    assert cdn.sslctl("add", NAME).exit_code == 7
    assert cdn.sslctl("download", NAME, "-o", str(out)).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == FILES


def test_download_prints_no_private_key(shop: Cdn, out: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "sslctl", "download", NAME, "-o", str(out), "--json"],
        env={**os.environ, "SSLCTL_CONFIG": str(shop.config_path), "SSLCTL_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(process.stdout)["files"] == [str(out / name) for name in FILES]
    assert "PRIVATE KEY" not in process.stdout + process.stderr
