"""The commands of docs/production.md and docs/upgrade.md, in their order, on a machine in a folder."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sslctl import __version__
from sslctl.config import settings
from sslctl.errors import Exit
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite import migrations
from sslctl.store.sqlite.migrations import MIGRATIONS
from sslctl.store.sqlite.schema import APPLICATION_ID
from tests.support import ROOT
from tests.support.ari_server import Answer, AriServer
from tests.support.cdn import SUFFIX, Cdn, Result
from tests.support.documented import Block, DocumentedMachine, blocks
from tests.support.store_cases import look_into

PRODUCTION, UPGRADE = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("production", "upgrade"))
SHOP, OLD, NEW = "shop.example.com", "sslctl-0.2.0", "sslctl-0.3.0"
IF_NEWER = "if the schema is newer"


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[AriServer]:
    """A CA that serves only its directory; orders go to the fake CA."""
    (tmp_path / "ca").mkdir()
    with AriServer(tmp_path / "ca") as running:
        urls = {"newNonce": f"{running.url}/nonce", "newOrder": f"{running.url}/order"}
        running.directory = Answer(urls)
        yield running


@pytest.fixture
def machine(cdn: Cdn, ca: AriServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DocumentedMachine:
    """A machine after the steps 1 and 2 of the installation. What is special about this CDN is in the environment."""
    cdn.add_domain(SHOP)
    here = {
        "SSLCTL_ACME_CA_BUNDLE": ca.ca_bundle,
        "SSLCTL_ACME_CAA_IDENTITIES": "ca.test",
        "SSLCTL_C4_CA_BUNDLE": cdn.folder / "ca.pem",
        "SSLCTL_CDN_PROBE_PORTS": "false",
        "SSLCTL_CDN_PROBE_CHALLENGE": "false",
        "SSLCTL_DNS_RESOLVERS": f"127.0.0.1:{cdn.zone.address[1]}",
    }
    for variable, value in here.items():
        monkeypatch.setenv(variable, str(value))
    machine = DocumentedMachine(cdn, tmp_path / "machine", monkeypatch, directory_url=f"{ca.url}/dir")
    run(machine, blocks(PRODUCTION)[0])
    token = machine.folder / "etc" / "sslctl" / "c4.token"
    token.write_text("s3cret-token\n")
    named = {
        "acme.email": '"operator@example.com"',
        "c4.base_url": f'"{cdn.c4.url}"',
        "c4.token_file": f'"{token}"',
        "cdn.cname_suffixes": f'["{SUFFIX}"]',
        "cdn.ip_ranges": '["192.0.2.0/24"]',
    }
    assert re.findall(r"^\| `(\w+\.\w+)` \|", PRODUCTION, re.MULTILINE) == list(named)
    machine.configure(**{key.partition(".")[2]: value for key, value in named.items()})
    return machine


def run(machine: DocumentedMachine, *some: Block) -> list[Result]:
    """Run the commands of blocks, which end with the documented exit codes. Return the results of those of sslctl."""
    results = []
    for step in (step for block in some for step in block.steps):
        result = machine.run(step.command)
        if result is not None:
            assert result.exit_code == step.exit_code, (step.command, result)
            results.append(result)
    return results


def schema_of(database: Path) -> int:
    with look_into(database) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version


def replace_by_first_schema(database: Path) -> None:
    """Replace the database by an empty one as the first release made it, for the same key file."""
    key = Keyring(database.parent / "master.key")
    database.unlink()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        migrations.add_functions(connection)
        migrations.apply(connection, 0)
        connection.execute("INSERT INTO key_check VALUES (1, ?)", (key.encrypt("sslctl"),))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    assert schema_of(database) == 1


def test_commands_of_production_lead_to_a_certificate_of_the_live_state(
    machine: DocumentedMachine, cdn: Cdn
) -> None:
    folder = machine.folder
    *_, doctor, backup, todo = run(machine, *blocks(PRODUCTION)[1:])
    assert not re.search(r"^bad ", doctor.stdout, re.MULTILINE)
    assert backup.stdout.startswith(f"{folder}/var/backups/sslctl/first.db: ")
    assert todo.stdout.startswith("Nothing needs a person")
    assert cdn.uploads(SHOP) == [200, 200]
    assert [path.name for path in (folder / "var" / "lib").iterdir()] == ["sslctl"]
    program = (folder / "usr" / "local" / "bin" / "sslctl").readlink()
    assert (program, program.parents[1].readlink()) == (
        folder / "opt" / "sslctl" / "bin" / "sslctl",
        folder / "opt" / f"sslctl-{__version__}",
    )
    page = folder / "usr" / "local" / "share" / "man" / "man1" / "sslctl-add.1"
    assert page.resolve() == program.parents[1].readlink() / "share" / "man" / "man1" / "sslctl-add.1"
    unit = (folder / "etc" / "systemd" / "system" / "sslctl.service").read_text()
    assert "\nExecStart=/usr/local/bin/sslctl daemon-tick" in unit
    for place in re.findall(r"^LoadCredential=\S+:(\S+)$", unit, re.MULTILINE):
        assert (folder / place[1:]).exists()
        assert f"`{place}`" in PRODUCTION


def test_commands_of_upgrade_migrate_the_database_and_lead_back_to_the_backup(
    machine: DocumentedMachine,
) -> None:
    database = machine.folder / "var" / "lib" / "sslctl" / "sslctl.db"
    current = machine.folder / "opt" / "sslctl"
    machine.run("sslctl init")
    machine.run(f"sslctl add {SHOP}")
    before, rest = _until(blocks(UPGRADE), f"ln -sfn /opt/{NEW} /opt/sslctl")
    run(machine, *before)
    replace_by_first_schema(database)
    upgrade, back = _until(rest, f"ln -sfn /opt/{OLD} /opt/sslctl")
    migrated, doctor, *_ = run(machine, *upgrade)
    assert (current.readlink().name, schema_of(database)) == (NEW, len(MIGRATIONS))
    assert "nothing was done" in migrated.stdout
    assert f"schema {len(MIGRATIONS)}" in doctor.stdout
    # For this program the database is now that of a newer one.
    with look_into(database) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    switch, restore, end = back
    (refused,) = [result for step in switch.steps if (result := machine.run(step.command))]
    assert refused.exit_code == Exit.UNUSABLE
    assert "was written by a newer sslctl" in refused.stderr
    assert (current.readlink().name, schema_of(database)) == (OLD, len(MIGRATIONS) + 1)
    assert restore.marker == IF_NEWER
    run(machine, restore, end)
    assert schema_of(database.with_name("sslctl.db.newer")) == len(MIGRATIONS) + 1
    listed = machine.run("sslctl list")
    assert listed is not None
    assert f"{SHOP}  Success" in listed.stdout


def _until(some: list[Block], command: str) -> tuple[list[Block], list[Block]]:
    """Return the blocks before the one with `command`, and the others."""
    at = next(
        number for number, block in enumerate(some) if any(step.command == command for step in block.steps)
    )
    return some[:at], some[at:]


def test_pages_name_only_keys_that_exist_and_have_no_other_kinds_of_blocks() -> None:
    known = {f"{section}.{key}" for section, key, _ in settings.keys()}
    sections = {section for section, _, _ in settings.keys()}
    for page in (PRODUCTION, UPGRADE):
        named = {key for key in re.findall(r"`(\w+\.\w+)`", page) if key.partition(".")[0] in sections}
        assert named <= known
        assert {block.marker for block in blocks(page)} <= {"", IF_NEWER}
        assert "```sh" not in page


def test_block_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="form"):
        blocks("- a list\n\n  ```console\n  $ sslctl list\n  ```\n")


def test_command_that_would_change_this_machine_is_refused(machine: DocumentedMachine) -> None:
    for command in ("rm -r /srv/data", "cp x ~/x", "rm $HOME/x", "mv x ../x", "rm /var/../x", "reboot"):
        with pytest.raises(AssertionError, match=r"on this machine|reboot"):
            machine.run(command)
