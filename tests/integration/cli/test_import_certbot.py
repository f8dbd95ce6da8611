"""`sslctl import certbot`: lineages of certbot's folder become managed domains, with keys, history and dates."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sslctl.certificates.x509 import read_leaf
from sslctl.rules.model import Source
from sslctl.rules.versions import version_state
from sslctl.text import instant
from tests.support.cdn import Cdn, Result
from tests.support.certbot_folder import CertbotFolder
from tests.support.fakes import START

NAME = "shop.example.com"
OTHER = "www.example.com"


@pytest.fixture
def certbot(cdn: Cdn, tmp_path: Path) -> CertbotFolder:
    """An empty folder of certbot."""
    return CertbotFolder(tmp_path / "letsencrypt", cdn.clock)


def imports(cdn: Cdn, certbot: CertbotFolder, *arguments: str) -> Result:
    return cdn.sslctl("import", "certbot", str(certbot.path), *arguments)


def rows(result: Result) -> list[tuple[str, str, int]]:
    return [(each["lineage"], each["action"], each["certificates"]) for each in result.json["lineages"]]


def view(cdn: Cdn, name: str = NAME) -> dict[str, Any]:
    found: dict[str, Any] = cdn.sslctl("view", name, "--json").json["domain"]
    return found


def refusal(cdn: Cdn, certbot: CertbotFolder) -> str:
    """Return why the only lineage is refused; nothing is recorded of it."""
    before = cdn.sslctl("audit", "list", "--json").json["events"]
    result = imports(cdn, certbot, "--json")
    assert (result.exit_code, rows(result)[0][1:]) == (5, ("refuse", 0))
    assert cdn.sslctl("audit", "list", "--json").json["events"] == before
    message: str = result.json["lineages"][0]["message"]
    return message


def test_import_records_every_version_with_its_key_and_date(cdn: Cdn, certbot: CertbotFolder) -> None:
    made = certbot.issue(NAME, ago=(130, 70, 10))
    result = imports(cdn, certbot)
    assert (result.exit_code, result.stdout) == (
        0, f"{NAME}: 3 certificates recorded, expires 2027-02-11 12:00 SGT\n",
    )  # fmt: skip
    assert result.stderr.startswith("sslctl: 1 lineage: 1 new\nsslctl: the next tick")
    versions = sorted(view(cdn)["certificates"], key=lambda each: each["version"])
    leaves = [read_leaf(each.certificate) for each in made]
    assert [(each["version"], each["fingerprint_sha256"], each["issued_at"]) for each in versions] == [
        (number, leaf.fingerprint, instant(leaf.not_before)) for number, leaf in enumerate(leaves, 1)
    ]
    store = cdn.app().store
    domain = store.domain(NAME)
    stored = store.certificates(domain)
    assert [version_state(each, domain, START) for each in stored] == ["uploading", "replaced", "expired"]
    kept = [store.bundle(each) for each in stored]
    assert [(each.fullchain, each.private_key) for each in reversed(kept)] == [
        (each.fullchain, each.private_key) for each in made
    ]


def test_certificate_that_c4_has_is_recognised_and_not_uploaded(cdn: Cdn, certbot: CertbotFolder) -> None:
    pair = certbot.issue(NAME, ago=(10,))[0]
    cdn.add_domain(NAME)
    cdn.app().control_plane.upload(NAME, pair, Source.TEXT)
    assert imports(cdn, certbot).exit_code == 0
    uploads = cdn.uploads(NAME)
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    assert (view(cdn)["status"], cdn.uploads(NAME), cdn.issuer.orders) == ("Success", uploads, [])


def test_certificate_that_c4_lacks_is_uploaded_by_the_next_tick(cdn: Cdn, certbot: CertbotFolder) -> None:
    pair = certbot.issue(NAME, ago=(10,))[0]
    cdn.add_domain(NAME)
    assert imports(cdn, certbot).exit_code == 0
    assert cdn.uploads(NAME) == []
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert (cdn.installed(NAME), cdn.issuer.orders) == (read_leaf(pair.certificate).fingerprint, [])


def test_text_certificate_of_somebody_else_stays_on_c4(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(NAME, ago=(10,))
    cdn.add_domain(NAME)
    theirs = cdn.text_pair(NAME)
    cdn.app().control_plane.upload(NAME, theirs, Source.TEXT)
    imports(cdn, certbot)
    cdn.sslctl("daemon-tick")
    assert cdn.installed(NAME) == read_leaf(theirs.certificate).fingerprint
    assert view(cdn)["reason"]["code"] == "FOREIGN_TEXT"


def test_imported_text_certificate_is_replaced_when_it_is_due(cdn: Cdn, certbot: CertbotFolder) -> None:
    pair = certbot.issue(NAME, ago=(84,))[0]
    cdn.add_domain(NAME)
    cdn.app().control_plane.upload(NAME, pair, Source.TEXT)
    imports(cdn, certbot)
    assert cdn.sslctl("daemon-tick").exit_code == 0
    found = view(cdn)
    assert (found["status"], cdn.issuer.orders) == ("Success", [(NAME,)])
    assert cdn.installed(NAME) == found["certificates"][0]["fingerprint_sha256"]
    assert found["certificates"][0]["version"] == 2


def test_order_for_an_imported_domain_counts_as_a_renewal(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(NAME, ago=(60,))
    imports(cdn, certbot)
    assert cdn.app().store.is_renewal((NAME,))
    cdn.clock.at = START + timedelta(days=60)
    assert not cdn.app().store.is_renewal((NAME,))


def test_second_run_changes_nothing(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(NAME, ago=(70, 10))
    imports(cdn, certbot)
    before = view(cdn)
    result = imports(cdn, certbot)
    assert (result.exit_code, result.stdout) == (0, f"{NAME}: known already\n")
    assert view(cdn) == before


def test_run_after_a_renewal_by_certbot_takes_over_what_is_newer(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(NAME, ago=(70,))
    imports(cdn, certbot)
    newer = certbot.issue(NAME, ago=(5,))[0]
    result = imports(cdn, certbot, "--json")
    assert rows(result) == [(NAME, "extend", 1)]
    store = cdn.app().store
    wanted = store.domain(NAME).wanted
    assert wanted is not None
    assert (wanted.version, store.bundle(wanted).private_key) == (2, newer.private_key)


def test_domain_that_waits_for_its_first_certificate_gets_all_versions(
    cdn: Cdn, certbot: CertbotFolder
) -> None:
    cdn.sslctl("add", NAME, "--no-wait")
    certbot.issue(NAME, ago=(70, 10))
    assert rows(imports(cdn, certbot, "--json")) == [(NAME, "extend", 2)]


def test_other_names_of_a_certificate_become_those_of_the_domain(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(f"{NAME}-0001", OTHER, NAME)
    certbot.issue("my-cert", "b.example.com", "a.example.com")
    imports(cdn, certbot)
    assert (view(cdn)["sans"], view(cdn, "b.example.com")["sans"]) == ([OTHER], ["a.example.com"])


def test_dry_run_prints_what_would_be_recorded_and_makes_no_state(new_cdn: Cdn, tmp_path: Path) -> None:
    certbot = CertbotFolder(tmp_path / "letsencrypt", new_cdn.clock)
    certbot.issue(NAME, ago=(70,))
    certbot.issue(f"{NAME}-0001", NAME, ago=(10,))
    certbot.issue("old.example.com", ago=(100,))
    result = imports(new_cdn, certbot, "--dry-run")
    assert (result.exit_code, result.stdout.splitlines()) == (
        5,
        [
            f"{NAME}: 1 certificate would be recorded, expires 2026-12-13 12:00 SGT",
            f"{NAME}: 1 newer certificate would be recorded, expires 2027-02-11 12:00 SGT",
        ],
    )
    assert "3 lineages: 1 new, 1 with newer certificates, 1 refused; nothing was recorded" in result.stderr
    assert not (tmp_path / "state").exists()
    planned = rows(imports(new_cdn, certbot, "--dry-run", "--json"))
    assert rows(imports(new_cdn, certbot, "--json")) == planned


def test_named_lineages_alone_are_imported_with_the_customer(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(NAME)
    certbot.issue(OTHER)
    assert rows(imports(cdn, certbot, OTHER, "--customer", "Acme Ltd", "--json")) == [(OTHER, "add", 1)]
    assert view(cdn, OTHER)["customer"] == "Acme Ltd"
    missing = imports(cdn, certbot, "typo.example.com")
    assert (missing.exit_code, cdn.sslctl("list").stdout.count("example.com")) == (2, 1)


def test_unusable_version_of_the_past_is_left_out(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(NAME, ago=(70, 10))
    shutil.copy(certbot.path / f"archive/{NAME}/privkey2.pem", certbot.path / f"archive/{NAME}/privkey1.pem")
    result = imports(cdn, certbot)
    assert result.stdout.startswith(f"{NAME}: 1 certificate recorded")
    assert result.stdout.endswith("; 1 unusable left out\n")


def test_version_that_certbot_does_not_use_is_left_alone(cdn: Cdn, certbot: CertbotFolder) -> None:
    used, _ = certbot.issue(NAME, ago=(20, 10))
    link = certbot.path / f"live/{NAME}/cert.pem"
    link.unlink()
    link.symlink_to(f"../../archive/{NAME}/cert1.pem")
    assert rows(imports(cdn, certbot, "--json")) == [(NAME, "add", 1)]
    assert view(cdn)["certificates"][0]["fingerprint_sha256"] == read_leaf(used.certificate).fingerprint


def test_key_that_certbot_uses_again_is_a_link_to_the_earlier_one(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(NAME, ago=(10,))
    archive = certbot.path / "archive" / NAME
    (archive / "privkey1.pem").rename(archive / "privkey7.pem")
    (archive / "privkey1.pem").symlink_to(f"/etc/letsencrypt/archive/{NAME}/privkey7.pem")
    assert rows(imports(cdn, certbot, "--json")) == [(NAME, "add", 1)]


def test_account_is_taken_over(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(NAME)
    certbot.configure(NAME, account="b0b")
    certbot.register("a11ce")
    own = certbot.register("b0b")
    result = imports(cdn, certbot, "--account")
    assert result.stdout.startswith(
        "account b0b (https://ca.test/acct/b0b): was taken over; left out: a11ce\n"
    )
    folder = cdn.app().config.state.acme_dir / "accounts/ca.test/directory/b0b"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in own.iterdir()
    }
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    again = imports(cdn, certbot, "--account")
    assert (again.exit_code, "has an account at this CA already" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    ("account", "file", "content"),
    [
        ("-a11ce", "meta.json", "{}"),
        ("a11ce", "meta.json", "[]"),
        ("a11ce", "private_key.json", '{"kty": "EC", "d": "secret"}'),
        ("a11ce", "regr.json", '{"uri": "https://ca.test/\\u001b[31m"}'),
    ],
)
def test_account_that_would_fail_every_order_is_not_taken_over(
    cdn: Cdn, certbot: CertbotFolder, account: str, file: str, content: str
) -> None:
    certbot.issue(NAME)
    (certbot.register(account) / file).write_text(content)
    result = imports(cdn, certbot, "--account")
    assert (result.exit_code, "has no account at https://ca.test/directory" in result.stderr) == (2, True)


def test_account_that_cannot_be_chosen_is_refused_before_anything_is_recorded(
    new_cdn: Cdn, tmp_path: Path
) -> None:
    certbot = CertbotFolder(tmp_path / "letsencrypt", new_cdn.clock)
    certbot.issue(NAME)
    none = imports(new_cdn, certbot, "--account")
    assert (none.exit_code, "has no account at https://ca.test/directory" in none.stderr) == (2, True)
    for account in ("a11ce", "b0b"):
        certbot.register(account)
    several = imports(new_cdn, certbot, "--account")
    assert (several.exit_code, "several accounts at this CA" in several.stderr) == (2, True)
    assert not (tmp_path / "state").exists()


def test_account_of_the_older_api_is_found_through_certbots_link(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(NAME)
    older = certbot.register("a11ce", "old.test/directory").parent
    (certbot.path / "accounts/ca.test").mkdir()
    (certbot.path / "accounts/ca.test/directory").symlink_to(older)
    result = imports(cdn, certbot, "--account", "--json")
    assert result.json["account"] == {"id": "a11ce", "url": "https://ca.test/acct/a11ce", "left_out": []}


@pytest.mark.parametrize("target", ["{outside}/accounts/old.test/directory", "../accounts/../.."])
def test_link_of_the_accounts_never_leads_out_of_the_folder(
    cdn: Cdn, certbot: CertbotFolder, tmp_path: Path, target: str
) -> None:
    certbot.issue(NAME)
    outside = CertbotFolder(tmp_path / "outside", cdn.clock)
    outside.register("a11ce", "old.test/directory")
    shutil.copytree(outside.path / "accounts/old.test/directory/a11ce", tmp_path / "a11ce")
    (certbot.path / "accounts/ca.test").mkdir(parents=True)
    (certbot.path / "accounts/ca.test/directory").symlink_to(target.format(outside=outside.path))
    result = imports(cdn, certbot, "--account")
    assert (result.exit_code, "accounts" in result.stderr or "no account" in result.stderr) == (2, True)
    assert not cdn.app().config.state.acme_dir.exists()


def test_account_without_its_key_is_none(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(NAME)
    for account, spoilt in (("a11ce", "{}"), ("b0b", "no json")):
        (certbot.register(account) / "private_key.json").write_text(spoilt)
    assert "has no account at" in imports(cdn, certbot, "--account").stderr


def test_name_of_a_lineage_with_control_characters_is_printed_cleaned(
    cdn: Cdn, certbot: CertbotFolder
) -> None:
    (certbot.path / "live" / "\x1b[31mred\nx").mkdir()
    (certbot.path / "live" / os.fsdecode(b"\xff\xfe")).mkdir()
    result = imports(cdn, certbot)
    assert (result.exit_code, "\x1b" in result.stderr) == (5, False)
    assert "sslctl: error: lineage red x: cert.pem cannot be read" in result.stderr
    names = [each["lineage"] for each in imports(cdn, certbot, "--json").json["lineages"]]
    assert names == ["red x", "\\xff\\xfe"]


def test_folder_that_is_not_certbots_is_an_error_with_a_hint(cdn: Cdn, tmp_path: Path) -> None:
    result = cdn.sslctl("import", "certbot", str(tmp_path))
    assert result.exit_code == 2
    assert "is no configuration folder of certbot" in result.stderr
    assert "usually /etc/letsencrypt" in result.stderr


def test_folder_without_lineages_is_no_error(cdn: Cdn, certbot: CertbotFolder) -> None:
    result = imports(cdn, certbot)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "sslctl: 0 lineages: nothing to import\n"


def test_deleted_domain_and_domain_with_other_names_stay_as_they_are(
    cdn: Cdn, certbot: CertbotFolder
) -> None:
    cdn.sslctl("add", NAME, "--no-wait")
    cdn.sslctl("delete", NAME, "--yes", "--keep-on-c4")
    cdn.sslctl("add", OTHER, "--san", "b.example.com", "--no-wait")
    certbot.issue(NAME)
    certbot.issue(OTHER)
    result = imports(cdn, certbot, "--json")
    assert [each["message"] for each in result.json["lineages"]] == [
        f"{NAME} was deleted here",
        f"{OTHER} is managed here with other names than the certificate has: b.example.com, {OTHER}",
    ]


def test_text_domain_and_newer_certificate_stay_as_they_are(cdn: Cdn, certbot: CertbotFolder) -> None:
    certbot.issue(NAME, ago=(10,))
    certbot.issue(OTHER)
    cdn.add_domain(NAME)
    cdn.add_domain(OTHER)
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert cdn.sslctl("add", OTHER, *cdn.paste(cdn.text_pair(OTHER))).exit_code == 0
    result = imports(cdn, certbot, "--json")
    first, second = (each["message"] for each in result.json["lineages"])
    assert "is managed here with a newer certificate" in first
    assert second == f"{OTHER} has a text certificate here, which stays"


def _expire(certbot: CertbotFolder) -> None:
    certbot.clock.at = START + timedelta(days=100)


def _wildcard(certbot: CertbotFolder) -> None:
    certbot.save(NAME, certbot.issuer.pair(f"*.{NAME}"))


def _other_key(certbot: CertbotFolder) -> None:
    certbot.issue(OTHER)
    shutil.copy(certbot.path / f"archive/{OTHER}/privkey1.pem", certbot.path / f"archive/{NAME}/privkey1.pem")
    shutil.rmtree(certbot.path / "live" / OTHER)
    (certbot.path / "renewal" / f"{OTHER}.conf").unlink()


def _staging(certbot: CertbotFolder) -> None:
    certbot.configure(NAME, server="https://staging.test/directory")


def _garbage(certbot: CertbotFolder) -> None:
    (certbot.path / f"archive/{NAME}/cert1.pem").write_bytes(os.urandom(500))


def _huge(certbot: CertbotFolder) -> None:
    with (certbot.path / f"archive/{NAME}/privkey1.pem").open("wb") as file:
        file.truncate(1 << 32)


def _pipe(certbot: CertbotFolder) -> None:
    path = certbot.path / f"archive/{NAME}/chain1.pem"
    path.unlink()
    os.mkfifo(path)


def _link_out_of_the_folder(certbot: CertbotFolder) -> None:
    path = certbot.path / f"live/{NAME}/cert.pem"
    path.unlink()
    path.symlink_to("/etc/passwd")


def _file_that_is_a_link(certbot: CertbotFolder) -> None:
    path = certbot.path / f"archive/{NAME}/privkey1.pem"
    path.rename(certbot.path.parent / "key.pem")
    path.symlink_to(certbot.path.parent / "key.pem")


def _folder_that_is_a_link(certbot: CertbotFolder) -> None:
    path = certbot.path / "archive" / NAME
    path.rename(certbot.path.parent / NAME)
    path.symlink_to(certbot.path.parent / NAME)


def _no_archive(certbot: CertbotFolder) -> None:
    shutil.rmtree(certbot.path / "archive" / NAME)


def _no_link(certbot: CertbotFolder) -> None:
    path = certbot.path / f"live/{NAME}/cert.pem"
    text = path.read_text()
    path.unlink()
    path.write_text(text)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_expire, "its certificate expired"),
        (_wildcard, "it is a wildcard"),
        (_other_key, "the key is wrong: it does not match the certificate"),
        (_staging, "browsers do not trust its certificate"),
        (_garbage, "contains no PEM certificate"),
        (_huge, "privkey1.pem cannot be read: larger than"),
        (_pipe, "chain1.pem cannot be read: not a regular file"),
        (_link_out_of_the_folder, f"live/{NAME}/cert.pem is no symbolic link into archive/{NAME}"),
        (_file_that_is_a_link, "privkey1.pem cannot be read: it is a symbolic link"),
        (_folder_that_is_a_link, f"archive/{NAME} cannot be read: it is a symbolic link"),
        (_no_archive, f"archive/{NAME} cannot be read: no such file or directory"),
        (_no_link, "is no symbolic link into archive"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_lineage_that_cannot_be_taken_over_is_refused(
    cdn: Cdn, certbot: CertbotFolder, spoil: Any, message: str
) -> None:
    certbot.issue(NAME)
    spoil(certbot)
    assert message in refusal(cdn, certbot)
