"""With the folder configured nothing that sslctl prints says "C4", and what people wrote stays as it is."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from sslctl.app import App
from sslctl.rules.reasons import REASONS
from sslctl.rules.remarks import Remarks
from sslctl.store.interface.domains import Query
from sslctl.web.jobs import Jobs
from sslctl.web.site import make_site
from tests.support.cdn import SUFFIX, Cdn
from tests.support.fakes import FakeIssuer, FakeNotifier
from tests.support.site_cases import OpenGate, fill

NAME, SECOND, THEIRS, GONE = "new.example.com", "second.example.com", "theirs.example.com", "gone.example.com"
LISTED = (NAME, SECOND, THEIRS, "stranger.example.com")
NOTE, CUSTOMER = "ask C4 about it", "C4 GmbH"
SHOWN = (
    "uploading to the control plane",
    "  On the control plane:  text certificate",
    "The control plane lists 4 domains",
    "3 domains are in the control plane, and nobody manages them here",
    "The control plane keeps the text certificate",
    "kept on the control plane",
    "the control plane rejected it: the reload command ended with 1",
    "Ask the control plane team why it refuses this pair.",
    "control plane record",
    "The control plane had lost the certificates of 1 domains",
    "new domains in the control plane",
    "The control plane does not answer: nothing can be looked at",
)
# Codes, and a kind of event in the JSON and in CSV, are frozen.
_NAMED = re.compile(r"(?<![A-Za-z0-9_])C4(?![A-Za-z0-9_])")
_FROZEN = '"kept on C4"', ",kept on C4,"


def check(output: str) -> str:
    """Return `output`, which may say "C4" only in what people wrote."""
    ours = output.replace(NOTE, "").replace(CUSTOMER, "")
    for frozen in _FROZEN:
        ours = ours.replace(frozen, "")
    found = _NAMED.search(ours)
    assert found is None, ours[max(0, found.start() - 200) : found.end() + 100]
    return output


def run(cdn: Cdn, line: str, *more: str, app: App | None = None) -> str:
    """Run the command `line` and return what it printed, checked."""
    result = cdn.sslctl(*line.split(), *more, app=app)
    assert result.exit_code != 1, result.stderr
    return check(result.stdout + result.stderr)


def put_theirs(root: Path, cdn: Cdn, name: str) -> None:
    """Put a certificate of others into the folder, in place of ours if there is one."""
    pair = FakeIssuer(cdn.clock).pair(name)
    live = root / "live" / name
    live.mkdir(parents=True, exist_ok=True)
    for file, text in {
        "fullchain.pem": pair.fullchain,
        "privkey.pem": pair.private_key,
        "combined.pem": pair.fullchain + pair.private_key,
    }.items():
        (live / file).write_text(text)


@pytest.fixture
def root(tmp_path: Path, cdn: Cdn) -> Path:
    """The folder of an installation without C4, which has the domains `LISTED`."""
    folder, names = tmp_path / "pem", tmp_path / "names"
    folder.mkdir()
    names.write_text("\n".join(LISTED))
    cdn.use_folder(folder, "true", more=f'names_file = "{names}"')
    for name in LISTED:
        cdn.point(name, f"edge.{SUFFIX}")
    return folder


def fill_state(cdn: Cdn) -> list[str]:
    """Add a domain for each reason, one with what people wrote; return all names."""
    app = cdn.app()
    fill(app.store)
    app.store.record_remarks(app.store.domain("shop.example.com"), Remarks(note=NOTE, customer=CUSTOMER))
    names = [domain.name for domain in app.store.domains(Query(), cdn.clock())]
    app.close()
    return names


@pytest.mark.usefixtures("root")
def test_no_command_that_reads_says_c4(cdn: Cdn, tmp_path: Path) -> None:
    names = fill_state(cdn)
    assert len(names) > len(REASONS) // 2
    shown = ""
    for line in ("list", "list --deleted", "todo", "forecast", "doctor", "metrics", "audit list", "claims"):
        shown += run(cdn, line) + ("" if line == "metrics" else run(cdn, line, "--json"))
    for name in names:
        shown += run(cdn, "view", name) + run(cdn, "view", name, "--json")
    for line in ("check", "check --json", "message", "message --lang zh", "message --json"):
        shown += run(cdn, line, *names)
    shown += run(cdn, "recheck --dry-run")
    for file in ("fleet.csv", "fleet.ics"):
        run(cdn, "export inventory -o", str(tmp_path / file))
        shown += check((tmp_path / file).read_text())
    run(cdn, "export history -o", str(tmp_path / "history.csv"))
    shown += check((tmp_path / "history.csv").read_text())
    for language in ("en", "zh"):
        run(cdn, "report", str(tmp_path / f"{language}.html"), "--lang", language)
        shown += check(unescape((tmp_path / f"{language}.html").read_text()))
    # Otherwise this test would say nothing.
    assert "the control plane" in shown
    assert "The control plane has no such domain." in shown
    assert "控制平面" in shown
    # What people wrote is not changed.
    assert NOTE in shown
    assert CUSTOMER in shown


def test_no_command_that_changes_says_c4(cdn: Cdn, root: Path, tmp_path: Path) -> None:
    names, notifier, shown = tmp_path / "names", FakeNotifier("mail"), list[str]()

    def do(*lines: str) -> None:
        shown.extend(run(cdn, line) for line in lines)

    def tick(times: int = 1) -> None:
        for _ in range(times):
            cdn.clock.move(days=1)
            app = cdn.app()
            app.notifier = notifier
            shown.append(run(cdn, "daemon-tick --force", app=app))

    do(f"--progress plain add {NAME}", f"add {GONE}", "sync", "sync --json", "sync --add-missing --dry-run")
    # Somebody else installs a certificate.
    put_theirs(root, cdn, NAME)
    do(f"recheck {NAME}", f"view {NAME}", f"download {NAME} -o {tmp_path}/files", f"delete --yes {NAME}")
    put_theirs(root, cdn, THEIRS)
    do(
        f"add {NAME}",
        f"add --no-wait {THEIRS}",
        f"recheck {THEIRS}",
        f"adopt {THEIRS} {GONE}",
        f"view {THEIRS}",
    )
    # The edge refuses its files, and takes them again.
    do(f"add {SECOND}")
    for reload in ("false", "true"):
        cdn.use_reload_command(reload)
        do(f"recheck --force-renew {SECOND}", f"view {SECOND}")
        tick()
        do("todo", "todo --json")
    # A certificate is lost.
    for path in (root / "live" / SECOND, root / "pem" / f"{SECOND}.pem"):
        path.unlink()
    tick(2)
    # Domains are gone.
    names.write_text("")
    tick(2)
    do("list", "sync", f"view {NAME}")
    # Changes are paused.
    do("pause --until 2h --reason nightly", f"delete --yes {SECOND}", "resume")
    do(f"delete --yes --keep-on-c4 {SECOND}", f"view {SECOND}", f"revoke --yes --reason superseded {NAME}")
    do(f"delete --yes --force --keep-on-c4 {NAME}")
    # The list of domains cannot be read.
    names.unlink()
    do(*(f"{command} {NAME}" for command in ("recheck", "adopt", "check", "delete --yes")), "sync")
    tick(2)
    do("audit list", "doctor")
    shown += (check(f"{message.title}\n{message.body}") for message, _ in notifier.sent)
    output = "\n".join(shown)
    for phrase in SHOWN:
        assert phrase in output, phrase


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_page_says_c4(cdn: Cdn, language: str) -> None:
    pages = [f"/domains/{name}{page}" for name in fill_state(cdn) for page in ("", "/delete")]
    site = make_site(lambda: App(cdn.config_path, cdn.clock), OpenGate(), Jobs(cdn.config_path, cdn.clock))
    site.testing = True
    shown = ""
    with site.test_client(use_cookies=False) as client:
        for path in ("/", "/charts", "/add", *pages):
            response = client.get(path, query_string={"lang": language})
            assert response.status_code == 200, path
            shown += check(unescape(response.text))
    assert ("控制平面" if language == "zh" else "the control plane") in shown
    assert NOTE in shown
