"""`sslctl history prune` and `list`, and what other commands say about history in archives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.archive_cases import lines
from tests.support.cdn import Cdn

NAME = "shop.example.com"


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    """A domain that was renewed five times in 300 days."""
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    for _ in range(5):
        cdn.clock.move(days=60)
        assert cdn.sslctl("recheck", NAME, "--force-renew").exit_code == 0
    return cdn


def archives_of(cdn: Cdn) -> Path:
    return cdn.folder / "state" / "archive"


def test_prune_needs_a_number_of_days(shop: Cdn) -> None:
    result = shop.sslctl("history", "prune", "--yes")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "history.keep_days is not set, so history is kept for ever" in result.stderr
    assert shop.sslctl("history", "prune", "--keep-days", "179", "--yes").exit_code == 2


def test_prune_asks_first(shop: Cdn) -> None:
    result = shop.sslctl("history", "prune", "--keep-days", "180")
    assert result.exit_code == 2
    assert "there is no terminal to confirm the archiving of" in result.stderr
    assert "confirm it with --yes" in result.stderr
    assert not archives_of(shop).exists()


def test_dry_run_changes_nothing(shop: Cdn) -> None:
    before = shop.sslctl("audit", "verify").stdout
    found = shop.sslctl("history", "prune", "--keep-days", "180", "--dry-run", "--json").json
    assert (found["events"], found["certificates"], found["orders"]) == (13, 1, 3)
    assert (found["archives"], found["dry_run"]) == ([], True)
    result = shop.sslctl("history", "prune", "--keep-days", "180", "--dry-run")
    assert result.stdout.startswith(
        "13 events, 1 certificate and 3 orders older than 2027-03-23 12:00 SGT would be moved into "
    )
    assert shop.sslctl("audit", "verify").stdout == before
    assert not archives_of(shop).exists()


def test_pruned_history_is_found_in_the_archive_and_named_elsewhere(shop: Cdn) -> None:
    head = shop.sslctl("audit", "verify", "--json").json["head"]
    first = shop.sslctl("audit", "list", "--json").json
    assert first["history_archived_until"] is None
    assert shop.sslctl("history", "list").stdout == "No archives: all history is in the database.\n"
    done = shop.sslctl("history", "prune", "--keep-days", "180", "--yes", "--json")
    (archive,) = done.json["archives"]
    assert (done.exit_code, done.json["events"], done.json["certificates"], done.json["orders"]) == (
        0,
        13,
        1,
        3,
    )
    events = [line for line in lines(archives_of(shop) / archive["file"]) if line["type"] == "event"]
    assert [(each["id"], each["kind"]) for each in events] == [
        (each["id"], each["kind"]) for each in first["events"][:13]
    ]
    assert shop.sslctl("history", "list", "--json").json["archives"] == [archive]
    assert archive["sha256"] in shop.sslctl("history", "list").stdout
    left = shop.sslctl("audit", "list", "--json").json
    assert left["history_archived_until"] == "2027-03-23T04:00:00Z"
    assert left["events"][0]["id"] == 14
    assert left["events"][-1]["kind"] == "history archived"
    view = shop.sslctl("view", NAME)
    assert (
        "The history older than 2027-03-23 12:00 SGT is in archives (`sslctl history list`)." in view.stdout
    )
    assert (
        shop.sslctl("view", NAME, "--json").json["domain"]["history_archived_until"] == "2027-03-23T04:00:00Z"
    )
    for command in (("audit", "list"), ("export", "history")):
        assert "history older than 2027-03-23 12:00 SGT is in archives" in shop.sslctl(*command).stderr
    assert shop.sslctl("audit", "list", "--since", "2027-06-01").stderr == ""
    alone = shop.sslctl("audit", "verify", "--head", head)
    assert (alone.exit_code, "Only the history in the database was verified" in alone.stderr) == (0, True)
    both = shop.sslctl("audit", "verify", "--archive", str(archives_of(shop)), "--json").json
    assert (both["whole"], both["archived"]) == (True, 13)
    text = shop.sslctl("audit", "verify", "--archive", str(archives_of(shop) / archive["file"])).stdout
    assert ", and 13 events in archives unchanged (chained since" in text


def test_head_before_the_cut_needs_the_archive(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME, "--no-wait").exit_code == 0
    head = cdn.sslctl("audit", "verify", "--json").json["head"]
    assert cdn.sslctl("recheck", NAME).exit_code == 0
    cdn.clock.move(days=200)
    (archive,) = cdn.sslctl("history", "prune", "--keep-days", "180", "--yes", "--json").json["archives"]
    alone = cdn.sslctl("audit", "verify", "--head", head)
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert (
        f"is before the cut: its event is in the archive {archive['file']}, which was not named"
        in alone.stderr
    )
    path = archives_of(cdn) / archive["file"]
    assert cdn.sslctl("audit", "verify", "--head", head, "--archive", str(path)).exit_code == 0
    path.write_bytes(path.read_bytes() + b"x")
    changed = cdn.sslctl("audit", "verify", "--archive", str(path))
    assert (changed.exit_code, "is not as it was sealed" in changed.stderr) == (8, True)


def test_configured_days_and_folder_are_used_and_a_second_run_does_nothing(shop: Cdn) -> None:
    section = f'[history]\nkeep_days = 200\narchive_dir = "{shop.folder}/vault"\n'
    shop.config_path.write_text(shop.config_path.read_text() + section)
    result = shop.sslctl("history", "prune", "--yes")
    assert result.exit_code == 0
    assert "Moved 9 events, 1 certificate and 2 orders older than" in result.stdout
    assert "Back the archives up" in result.stderr
    assert len(list((shop.folder / "vault").iterdir())) == 1
    again = shop.sslctl("history", "prune", "--yes")
    assert (again.exit_code, again.stdout) == (0, "Nothing is older than 2027-03-03 12:00 SGT.\n")
    elsewhere = shop.sslctl(
        "history", "prune", "--keep-days", "180", "--to", str(shop.folder / "other"), "--yes"
    )
    assert (elsewhere.exit_code, len(list((shop.folder / "other").iterdir()))) == (0, 1)


def test_backup_after_a_prune_is_restored_with_its_seals(shop: Cdn) -> None:
    assert shop.sslctl("history", "prune", "--keep-days", "180", "--yes").exit_code == 0
    backup = shop.folder / "backup.db"
    assert shop.sslctl("backup", str(backup)).exit_code == 0
    (shop.folder / "state" / "sslctl.db").unlink()
    assert shop.sslctl("restore", str(backup)).exit_code == 0
    assert shop.sslctl("audit", "verify", "--archive", str(archives_of(shop))).exit_code == 0


def test_version_in_an_archive_is_named_by_download(shop: Cdn) -> None:
    assert shop.sslctl("history", "prune", "--keep-days", "180", "--yes").exit_code == 0
    result = shop.sslctl("download", NAME, "--version", "1", "-o", str(shop.folder / "files"))
    assert result.exit_code == 9
    assert "existing versions: 2, 3, 4, 5, 6; older ones are in archives, without their keys" in result.stderr
    assert (
        "archives" not in shop.sslctl("download", NAME, "--version", "7", "-o", str(shop.folder / "f")).stderr
    )


def test_domain_whose_whole_history_is_in_archives_is_shown(shop: Cdn) -> None:
    shop.clock.move(days=1000)
    assert shop.sslctl("history", "prune", "--keep-days", "180", "--yes").exit_code == 0
    shown = shop.sslctl("view", NAME).stdout
    assert "\nHistory\n  The history older than 2029-12-17 12:00 SGT is in archives" in shown
    (version,) = shop.sslctl("view", NAME, "--json").json["domain"]["certificates"]
    assert version["version"] == 6
    assert shop.sslctl("recheck", NAME).exit_code == 0
    assert shop.sslctl("view", NAME, "--json").json["domain"]["certificates"][0]["version"] == 7
