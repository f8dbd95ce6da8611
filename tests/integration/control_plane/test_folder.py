"""The control plane that writes PEM files: switches, reloads that fail, kills in between, and what others put into the folder."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sslctl.app import App
from sslctl.certificates.x509 import read_leaf
from sslctl.control_plane import Changed, Rejected, State, TextCertificatePresent, Unanswered, UnknownDomain
from sslctl.control_plane.folder.client import FolderControlPlane
from sslctl.control_plane.folder.reloading import Reload
from sslctl.errors import ConfigError
from sslctl.rules.model import Bundle, Source
from tests.support.cdn import SUFFIX, Cdn
from tests.support.dying_store import Killed
from tests.support.fakes import Clock, FakeIssuer

NAME = "shop.example.com"
REFUSING = ("sh", "-c", "printf 'bad \\033[31mline\\n' >&2; exit 3")


class DyingReload(Reload):
    """A reload during which the process is killed."""

    def __call__(self) -> None:
        raise Killed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pem"
    folder.mkdir()
    return folder


def plane(
    root: Path,
    clock: Clock,
    *argv: str,
    reload: Reload | None = None,
    look_at: tuple[Callable[[str], str | None], ...] = (),
) -> FolderControlPlane:
    return FolderControlPlane(
        root,
        cname_target="edge.test",
        names_file=None,
        reload=reload or Reload(argv, 30),
        look_at=look_at,
        clock=clock,
    )


def pair(clock: Clock) -> Bundle:
    return FakeIssuer(clock).pair(NAME)


def fingerprint(bundle: Bundle) -> str:
    return read_leaf(bundle.certificate).fingerprint


def installed(root: Path) -> str | None:
    """Return the fingerprint that a server reads from the folder; key and chain must belong together."""
    live, pem = root / "live" / NAME, root / "pem" / f"{NAME}.pem"
    if not live.exists():
        assert not pem.exists()
        return None
    chain, key = (live / "fullchain.pem").read_text(), (live / "privkey.pem").read_text()
    assert pem.read_text() == chain + key
    return read_leaf(chain[: chain.index("-----END CERTIFICATE-----") + 26]).fingerprint


def test_upload_writes_private_files_and_keeps_two_versions(root: Path, clock: Clock) -> None:
    pairs = [pair(clock) for _ in range(4)]
    for each in pairs:
        assert plane(root, clock).upload(NAME, each, Source.C4) is State.ACTIVE
        assert installed(root) == fingerprint(each)
    assert len(list((root / "versions" / NAME).iterdir())) == 2
    modes = {
        stat.S_IMODE(path.lstat().st_mode)
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    folders = {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})


@pytest.mark.parametrize("argv", [REFUSING, ("/no/such/program",)])
def test_refused_reload_leaves_what_was_installed(root: Path, clock: Clock, argv: tuple[str, ...]) -> None:
    first, second = pair(clock), pair(clock)
    with pytest.raises(Rejected):
        plane(root, clock, *argv).upload(NAME, first, Source.C4)
    assert installed(root) is None
    plane(root, clock).upload(NAME, first, Source.C4)
    with pytest.raises(Rejected) as caught:
        plane(root, clock, *argv).upload(NAME, second, Source.C4)
    assert "\033" not in str(caught.value)
    assert installed(root) == fingerprint(first)
    with pytest.raises(Rejected):
        plane(root, clock, *argv).remove(NAME)
    assert installed(root) == fingerprint(first)
    assert plane(root, clock).certificate(NAME) is not None


def test_reload_that_does_not_end_is_no_answer(root: Path, clock: Clock) -> None:
    with pytest.raises(Unanswered):
        plane(root, clock, reload=Reload(("sleep", "60"), 0.1)).upload(NAME, pair(clock), Source.C4)
    assert installed(root) is None


def test_next_process_loads_what_a_killed_one_has_switched_to(root: Path, clock: Clock) -> None:
    ours, marker = pair(clock), root.parent / "reloaded"
    with pytest.raises(Killed):
        plane(root, clock, reload=DyingReload((), 1)).upload(NAME, ours, Source.C4)
    next_run = plane(root, clock, "touch", str(marker))
    record = next_run.domain(NAME).certificate
    assert record is not None
    assert (record.state, marker.exists()) == (State.ACTIVATING, False)
    active = next_run.certificate(NAME)
    assert active is not None
    assert (active.state, active.fingerprint, marker.exists()) == (State.ACTIVE, fingerprint(ours), True)


def test_next_process_completes_a_removal_that_was_killed_or_installs_the_certificate_again(
    root: Path, clock: Clock
) -> None:
    ours = pair(clock)
    client = plane(root, clock)
    client.upload(NAME, ours, Source.C4)
    # The first step of a removal.
    (root / "pem" / f"{NAME}.pem").unlink()
    assert client.upload(NAME, ours, Source.C4) is State.ACTIVE
    assert installed(root) == fingerprint(ours)
    (root / "pem" / f"{NAME}.pem").unlink()
    assert client.remove(NAME)
    assert installed(root) is None


def test_link_to_a_version_without_files_is_no_answer(root: Path, clock: Clock) -> None:
    client = plane(root, clock)
    client.upload(NAME, pair(clock), Source.C4)
    (root / "live" / NAME / "fullchain.pem").unlink()
    with pytest.raises(Unanswered):
        client.domain(NAME)


def test_certificate_is_activating_until_every_edge_serves_it(root: Path, clock: Clock) -> None:
    ours = pair(clock)
    served = {"a": fingerprint(ours), "b": "00" * 32}

    def silent(_name: str) -> str | None:
        raise TimeoutError("no answer within 5 seconds")

    edges = (lambda _name: served["a"], lambda _name: served["b"])
    client = plane(root, clock, look_at=edges)
    client.upload(NAME, ours, Source.C4)
    found = client.certificate(NAME)
    assert found is not None
    assert found.state is State.ACTIVATING
    served["b"] = served["a"]
    found = client.certificate(NAME)
    assert found is not None
    assert found.state is State.ACTIVE
    with pytest.raises(Unanswered):
        plane(root, clock, look_at=(silent,)).certificate(NAME)


def test_file_that_a_person_put_there_is_a_text_certificate(root: Path, clock: Clock) -> None:
    ours, theirs = pair(clock), pair(clock)
    client = plane(root, clock)
    client.upload(NAME, ours, Source.C4)
    (root / "live" / NAME / "fullchain.pem").write_text(theirs.fullchain)
    found = client.domain(NAME).certificate
    assert found is not None
    assert (found.source, found.fingerprint) == (Source.TEXT, fingerprint(theirs))
    with pytest.raises(TextCertificatePresent):
        client.upload(NAME, pair(clock), Source.C4)
    with pytest.raises(Changed):
        client.remove(NAME, fingerprint(ours))
    (root / "live" / NAME / "fullchain.pem").write_text("no certificate")
    with pytest.raises(Unanswered):
        client.domain(NAME)


@pytest.mark.parametrize(
    "name", ["../x.test", "a/b.test", ".", "..", "a..b", "x", "", "A.test", "a.test\n", "*.a.test"]
)
def test_name_that_could_leave_the_folder_is_unknown(root: Path, clock: Clock, name: str) -> None:
    client = plane(root, clock)
    for request in (
        lambda: client.domain(name),
        lambda: client.certificate(name),
        lambda: client.remove(name),
        lambda: client.upload(name, pair(clock), Source.C4),
    ):
        with pytest.raises(UnknownDomain):
            request()
    assert list(root.iterdir()) == []


def test_list_of_names_is_read_again_when_it_changed(root: Path, clock: Clock) -> None:
    names = root.parent / "names"
    client = FolderControlPlane(
        root, cname_target="edge.test", names_file=names, reload=Reload((), 1), look_at=(), clock=clock
    )
    with pytest.raises(Unanswered):
        client.domain(NAME)
    names.write_text("# none yet\n")
    with pytest.raises(UnknownDomain):
        client.domain(NAME)
    names.write_text(f"# one\n  {NAME.upper()}. # the shop\n../x\n")
    assert client.domain(NAME).cname_target == "edge.test"
    assert [record.name for record in client.inventory()] == [NAME]


# With the command line


def test_add_recheck_and_delete_work_with_the_folder(cdn: Cdn, root: Path) -> None:
    cdn.use_folder(root, "true")
    cdn.point(NAME, f"edge.{SUFFIX}")
    assert cdn.sslctl("add", NAME).exit_code == 0
    first = installed(root)
    assert first is not None
    cdn.use_folder(root, "false")
    refused = cdn.sslctl("recheck", NAME, "--force-renew")
    assert (refused.exit_code, installed(root)) == (7, first)
    assert "the reload command ended with 1" in refused.stdout
    cdn.use_folder(root, "true")
    assert cdn.sslctl("daemon-tick", "-q").exit_code == 0
    assert installed(root) not in (None, first)
    assert cdn.sslctl("delete", NAME, "--yes").exit_code == 0
    assert installed(root) is None
    assert len(cdn.c4.requests) == 0


@pytest.mark.parametrize("problem", ["both", "no target", "no folder"])
def test_configuration_that_cannot_work_is_refused(cdn: Cdn, root: Path, problem: str) -> None:
    cdn.use_folder(root / "missing" if problem == "no folder" else root)
    text = cdn.config_path.read_text()
    if problem == "both":
        text = text.replace("[c4]", '[c4]\nbase_url = "https://c4.test"')
    elif problem == "no target":
        text = text.replace(f'cname_target = "edge.{SUFFIX}"', "")
    cdn.config_path.write_text(text)
    with pytest.raises(ConfigError):
        _ = App(cdn.config_path, cdn.clock).control_plane
