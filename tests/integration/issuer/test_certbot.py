"""certbot in its child process: both modes, its folders, kills, and a CA that is not available."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import select
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC
from josepy.util import ComparableECKey

from sslctl.app import utc_now
from sslctl.certificates.account_key import make_account_key
from sslctl.certificates.x509 import make_csr, make_key, read_leaf
from sslctl.config.acme import AcmeSection
from sslctl.config.settings import load
from sslctl.issuer import AccountKeys, Issued, IssueError, OrderPending
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.issuer.certbot.worker_pool import WorkerPool
from sslctl.rules.account_key import AccountKey
from sslctl.rules.model import Bundle, Order
from sslctl.rules.reasons import Code
from sslctl.sandbox.cdn import SandboxCdn
from tests.support.machine import install_other_certbot

pytestmark = pytest.mark.pebble


@pytest.fixture
def acme(sandbox: SandboxCdn) -> AcmeSection:
    return load(sandbox.config_path, {}).acme


_made: list[CertbotIssuer] = []


def _certbot(acme: AcmeSection, folder: Path) -> CertbotIssuer:
    _made.append(CertbotIssuer(acme, folder, clock=utc_now))
    return _made[-1]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _made:
        _made.pop().close()


@pytest.fixture
def issuer(acme: AcmeSection, tmp_path: Path) -> CertbotIssuer:
    return _certbot(acme, tmp_path / "acme")


def _order(number: int, *names: str) -> Order:
    return Order(number, 1, names, make_csr(make_key("ecdsa"), names), utc_now())


def _place(issuer: CertbotIssuer, name: str) -> tuple[Issued, Order]:
    """Issue a certificate for `name`; return it with its order, as an interrupted pass finds it: with a URL, not closed."""
    urls: list[str] = []
    order = _order(1, name)
    issued = issuer.issue(order, urls.append)
    return issued, dataclasses.replace(order, url=urls[0])


def _no_url(_url: str) -> None:
    """Ignore the URL of the order."""


def test_standalone_mode_issues_through_its_own_port(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path
) -> None:
    sandbox.add_domain("standalone.example.test")
    issuer = _certbot(dataclasses.replace(acme, mode="standalone"), tmp_path / "acme")
    issued = issuer.issue(_order(1, "standalone.example.test"), _no_url)
    assert read_leaf(issued.certificate).names == ("standalone.example.test",)


def test_parallel_standalone_orders_share_the_port(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path
) -> None:
    names = [f"standalone{number}.example.test" for number in range(3)]
    for name in names:
        sandbox.add_domain(name)
    issuer = _certbot(dataclasses.replace(acme, mode="standalone"), tmp_path / "acme")
    with ThreadPoolExecutor(3) as pool:
        issued = list(pool.map(lambda pair: issuer.issue(_order(*pair), _no_url), enumerate(names, 1)))
    assert [read_leaf(one.certificate).names for one in issued] == [(name,) for name in names]


def test_parallel_first_orders_register_one_account(
    sandbox: SandboxCdn, issuer: CertbotIssuer, tmp_path: Path
) -> None:
    names = [f"parallel{number}.example.test" for number in range(3)]
    for name in names:
        sandbox.add_domain(name)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda pair: issuer.issue(_order(*pair), _no_url), enumerate(names, 1)))
    assert len(list((tmp_path / "acme" / "accounts").glob("**/regr.json"))) == 1


def test_run_folders_are_private_and_removed_by_forget(
    sandbox: SandboxCdn, issuer: CertbotIssuer, tmp_path: Path
) -> None:
    sandbox.add_domain("private.example.test")
    order = _order(7, "private.example.test")
    for name, age in (("3", 31), ("4", 29)):
        (tmp_path / "acme" / "runs" / name).mkdir(parents=True)
        os.utime(tmp_path / "acme" / "runs" / name, times=(0, time.time() - age * 86_400))
    (tmp_path / "acme").chmod(0o700)
    issuer.issue(order, _no_url)
    assert sorted(path.name for path in (tmp_path / "acme" / "runs").iterdir()) == ["4", "7"]
    run = tmp_path / "acme" / "runs" / "7"
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "acme", run)} == {0}
    key = next((tmp_path / "acme" / "accounts").glob("**/private_key.json"))
    assert key.stat().st_mode & 0o077 == 0
    issuer.forget(order)
    assert not run.exists()
    assert list((tmp_path / "acme").glob("re*-*")) == []


def test_collect_returns_a_certificate_left_on_disk_without_a_request_to_the_ca(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path
) -> None:
    sandbox.add_domain("adopted.example.test")
    order = _order(1, "adopted.example.test")
    issued = _certbot(acme, tmp_path / "acme").issue(order, _no_url)
    nowhere = dataclasses.replace(acme, directory_url="https://127.0.0.1:9/dir")
    assert _certbot(nowhere, tmp_path / "acme").collect(order) == issued


def test_order_url_is_stored_before_any_challenge_file_is_written(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path
) -> None:
    sandbox.add_domain("first.example.test")
    challenges = tmp_path / "seen"

    def keep(url: str) -> None:
        # Until this function returns, no challenge file is written: the webroot is empty.
        time.sleep(0.3)
        answers = list((sandbox.folder / "webroot").glob(".well-known/acme-challenge/*"))
        challenges.write_text(f"{url} {len(answers)}")

    _certbot(acme, tmp_path / "acme").issue(_order(1, "first.example.test"), keep)
    assert challenges.read_text().endswith(" 0")


def test_challenge_files_are_world_readable_even_with_umask_077(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path
) -> None:
    sandbox.add_domain("readable.example.test")
    webroot = sandbox.folder / "webroot"
    seen: set[int] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            for path in webroot.glob(".well-known/acme-challenge/*"):
                with contextlib.suppress(FileNotFoundError):
                    seen.update(
                        part.stat().st_mode & 0o004 for part in (path, path.parent, path.parent.parent)
                    )

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = os.umask(0o077)
    try:
        _certbot(acme, tmp_path / "acme").issue(_order(1, "readable.example.test"), _no_url)
    finally:
        os.umask(before)
        ended.set()
        watcher.join()
    assert seen == {0o004}


def test_issue_ignores_certbot_settings_of_the_machine_and_the_current_folder(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.add_domain("alone.example.test")
    settings = tmp_path / "xdg" / "letsencrypt" / "cli.ini"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"deploy-hook = touch {tmp_path}/hooked\nno-such-option = 1\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    (tmp_path / "acme.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    _certbot(acme, tmp_path / "folders").issue(_order(1, "alone.example.test"), _no_url)
    assert not (tmp_path / "hooked").exists()
    assert not (tmp_path / "imported").exists()


def test_issue_registers_the_account_again_when_the_ca_does_not_know_it(
    sandbox: SandboxCdn, issuer: CertbotIssuer, tmp_path: Path
) -> None:
    sandbox.add_domain("account.example.test")
    issuer.issue(_order(1, "account.example.test"), _no_url)
    folder = next((tmp_path / "acme" / "accounts").glob("**/regr.json")).parent
    key, registration = ((folder / name).read_text() for name in ("private_key.json", "regr.json"))
    (folder / "regr.json").write_text(registration.replace("/my-account/", "/my-account/0"))
    with pytest.raises(
        IssueError, match=r"accountDoesNotExist: .*; the account was registered again"
    ) as caught:
        issuer.issue(_order(2, "account.example.test"), _no_url)
    assert (caught.value.code, caught.value.order_dead) == (Code.CA_REFUSED, True)
    # The CA knows the key, so no second account was registered.
    assert json.loads((folder / "regr.json").read_text()) == json.loads(registration)
    assert (folder / "private_key.json").read_text() == key
    issued = issuer.issue(_order(3, "account.example.test"), _no_url)
    assert read_leaf(issued.certificate).names == ("account.example.test",)


def test_issue_succeeds_after_a_kill_cut_off_the_registration_of_the_account(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path
) -> None:
    sandbox.add_domain("cutoff.example.test")
    _certbot(acme, tmp_path / "acme").issue(_order(1, "cutoff.example.test"), _no_url)
    registration = next((tmp_path / "acme" / "accounts").glob("**/regr.json"))
    registration.write_text("")
    issued = _certbot(acme, tmp_path / "acme").issue(_order(2, "cutoff.example.test"), _no_url)
    assert read_leaf(issued.certificate).names == ("cutoff.example.test",)


def test_order_goes_through_certbots_main_when_certbot_was_not_tested(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`main` opens a log; an order without it has none."""
    logs = []
    for number in (1, 2):
        sandbox.add_domain(f"main{number}.example.test")
        issued = _certbot(acme, tmp_path / "acme").issue(
            _order(number, f"main{number}.example.test"), _no_url
        )
        assert read_leaf(issued.certificate).names == (f"main{number}.example.test",)
        logs.append((tmp_path / "acme" / "runs" / str(number) / "logs").exists())
        install_other_certbot(tmp_path / str(number), monkeypatch)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / str(number) / "packages"))
    assert logs == [False, True]


def test_issuer_reports_an_untested_certbot_once_before_its_first_order(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_other_certbot(tmp_path, monkeypatch)
    notices: list[str] = []
    issuer = CertbotIssuer(acme, tmp_path / "acme", clock=utc_now, on_notice=notices.append)
    _made.append(issuer)
    sandbox.add_domain("untested.example.test")
    for number in (1, 2):
        issuer.issue(_order(number, "untested.example.test"), _no_url)
    (notice,) = notices
    assert notice.startswith("certbot 99.0.1: not tested with this sslctl")


def test_issue_places_no_order_when_other_users_can_change_the_webroot(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path
) -> None:
    sandbox.add_domain("refused.example.test")
    (tmp_path / "webroot").mkdir()
    (tmp_path / "webroot").chmod(0o777)
    issuer = _certbot(dataclasses.replace(acme, webroot=tmp_path / "webroot"), tmp_path / "acme")
    urls: list[str] = []
    with pytest.raises(IssueError, match="other users can change") as caught:
        issuer.issue(_order(1, "refused.example.test"), urls.append)
    assert (caught.value.code, urls) == (Code.ISSUER_FAILED, [])


def test_order_continues_to_a_certificate_after_certbot_was_killed(
    sandbox: SandboxCdn, issuer: CertbotIssuer
) -> None:
    sandbox.add_domain("killed.example.test")
    order = _order(1, "killed.example.test")
    urls: list[str] = []

    def keep_and_kill(url: str) -> None:
        urls.append(url)
        _kill_children()

    with pytest.raises(IssueError) as caught:
        issuer.issue(order, keep_and_kill)
    assert caught.value.code is Code.CA_VALIDATING
    assert not caught.value.order_dead
    # The CA has not validated it, so the same order is continued.
    order = dataclasses.replace(order, url=urls[0])
    with pytest.raises(OrderPending):
        issuer.collect(order)
    issued = issuer.issue(order, urls.append)
    assert len(urls) == 1
    assert read_leaf(issued.certificate).names == ("killed.example.test",)
    assert issuer.collect(dataclasses.replace(order, id=2, url=urls[0])) == issued


def test_issue_reports_issuer_failed_when_certbot_is_killed_before_the_order(
    acme: AcmeSection, tmp_path: Path
) -> None:
    ended = threading.Event()

    def kill() -> None:
        # Until the end: the first job that is found may be one that an earlier test left behind.
        while not ended.wait(0.01):
            _kill_children()

    killer = threading.Thread(target=kill)
    # A CA that never answers: the job cannot come to the order before it is killed.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/dir"
        issuer = _certbot(dataclasses.replace(acme, directory_url=url), tmp_path / "acme")
        killer.start()
        try:
            with pytest.raises(IssueError) as caught:
                issuer.issue(_order(1, "early.example.test"), _no_url)
        finally:
            ended.set()
            killer.join()
    assert caught.value.code is Code.ISSUER_FAILED
    assert caught.value.order_dead


@pytest.mark.parametrize("label", ["xn--i-7iq", "xn--mgba3gch31f060k"], ids=["emoji", "joiner"])
def test_issue_succeeds_for_a_label_of_emoji_or_with_a_joiner(
    sandbox: SandboxCdn, issuer: CertbotIssuer, label: str
) -> None:
    name = f"{label}.example.test"
    sandbox.add_domain(name)
    issued, _ = _place(issuer, name)
    assert read_leaf(issued.certificate).names == (name,)


def test_certbot_is_killed_after_its_deadline(acme: AcmeSection, tmp_path: Path) -> None:
    issuer = _certbot(dataclasses.replace(acme, timeout_seconds=0.2), tmp_path / "acme")
    with pytest.raises(IssueError, match="was killed"):
        issuer.issue(_order(1, "slow.example.test"), _no_url)


@pytest.mark.parametrize(
    ("change", "code", "found"),
    [
        ({"directory_url": "https://127.0.0.1:9/dir"}, Code.CA_UNAVAILABLE, "refused"),
        ({"ca_bundle": None}, Code.CA_UNAVAILABLE, "certificate"),
        (
            {"profile": "tlsservr"},
            Code.CA_REFUSED,
            # The newest Pebble lists profiles.
            'the profile is "tlsservr"',
        ),
        ({"webroot": Path("/nonexistent/webroot")}, Code.ISSUER_FAILED, "cannot use /nonexistent for"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else str(value),
)
def test_issue_reports_the_cause_when_the_ca_or_the_settings_are_unusable(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path, change: dict[str, object], code: Code, found: str
) -> None:
    sandbox.add_domain("around.example.test")
    issuer = _certbot(dataclasses.replace(acme, **change), tmp_path / "acme")  # type: ignore[arg-type]
    with pytest.raises(IssueError) as caught:
        issuer.issue(_order(1, "around.example.test"), _no_url)
    assert caught.value.code is code
    assert found in caught.value.found


def test_issue_succeeds_when_the_ca_rejects_half_of_the_nonces(tmp_path: Path) -> None:
    with SandboxCdn(
        tmp_path / "sandbox", clock=utc_now, pebble_environment={"PEBBLE_WFE_NONCEREJECT": "50"}
    ) as rough:
        rough.add_domain("nonce.example.test")
        issuer = _certbot(load(rough.config_path, {}).acme, tmp_path / "acme")
        issued = issuer.issue(_order(1, "nonce.example.test"), _no_url)
    assert read_leaf(issued.certificate).names == ("nonce.example.test",)


def _kill_children() -> int:
    """Kill the children of our fork servers; return how many were killed."""
    parents = dict(_processes())
    warm = {pid for pid, parent in parents.items() if parent == os.getpid()}
    children = [pid for pid, parent in parents.items() if parent in warm]
    killed = 0
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def _processes() -> Iterator[tuple[int, int]]:
    """Yield the ids of fork servers and their children, each with the id of its parent."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = path.read_text().rpartition(")")[2].split()
            if "sslctl.issuer.certbot.fork_server" in (path.parent / "cmdline").read_text():
                yield int(path.parent.name), int(fields[1])


def test_collect_fetches_the_certificate_from_its_order_when_the_file_is_truncated(
    sandbox: SandboxCdn, issuer: CertbotIssuer, acme: AcmeSection, tmp_path: Path
) -> None:
    sandbox.add_domain("cut.example.test")
    issued, order = _place(issuer, "cut.example.test")
    file = tmp_path / "acme" / "runs" / "1" / "fullchain.pem"
    file.write_text(file.read_text()[:700])
    assert issuer.collect(order) == issued
    # Without the CA the order stays undecided.
    nowhere = _certbot(dataclasses.replace(acme, ca_bundle=None), tmp_path / "acme")
    with pytest.raises(IssueError) as caught:
        nowhere.collect(order)
    assert (caught.value.code, caught.value.order_dead) == (Code.CA_UNAVAILABLE, False)


def test_machine_without_an_account_folder_collects_and_revokes_what_another_one_ordered(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path
) -> None:
    sandbox.add_domain("moved.example.test")
    keys = AccountKeys(AccountKey(make_account_key(), utc_now()))
    machines = [
        CertbotIssuer(acme, tmp_path / name, clock=utc_now, find_account_keys=lambda: keys) for name in "abc"
    ]
    _made.extend(machines)
    issued, order = _place(machines[0], "moved.example.test")
    assert machines[1].collect(order) == issued
    machines[2].revoke(Bundle(issued.certificate, issued.chain, ""))


def test_collect_removes_challenge_files_of_a_killed_run(sandbox: SandboxCdn, issuer: CertbotIssuer) -> None:
    sandbox.add_domain("litter.example.test")
    issued, order = _place(issuer, "litter.example.test")
    issuer.forget(order)
    asked = (sandbox.folder / "pebble" / "pebble.log").read_text()
    token = re.findall(r"http://litter\S+/acme-challenge/(\S+)", asked)[-1]
    answer = sandbox.folder / "webroot" / ".well-known" / "acme-challenge" / token
    answer.write_text("left by a run that was killed once the CA had looked at it")
    assert issuer.collect(order) == issued
    assert not answer.exists()


def test_two_issuers_at_their_first_order_register_one_account(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path
) -> None:
    names = [f"first{number}.example.test" for number in range(2)]
    for name in names:
        sandbox.add_domain(name)

    def issue(pair: tuple[int, str]) -> object:
        # As in another process: only the folder is shared.
        return _certbot(acme, tmp_path / "acme").issue(_order(*pair), _no_url)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(issue, enumerate(names, 1)))
    assert len(list((tmp_path / "acme" / "accounts").glob("**/regr.json"))) == 1


def test_issue_uses_one_account_when_there_are_two(
    sandbox: SandboxCdn, acme: AcmeSection, tmp_path: Path
) -> None:
    sandbox.add_domain("twice.example.test")
    for folder in ("acme", "other"):
        _certbot(acme, tmp_path / folder).register()
    (other,) = (tmp_path / "other" / "accounts").glob("*/dir/*")
    (mine,) = (tmp_path / "acme" / "accounts").glob("*/dir/*")
    shutil.copytree(other, mine.parent / other.name)
    issued = _certbot(acme, tmp_path / "acme").issue(_order(1, "twice.example.test"), _no_url)
    assert read_leaf(issued.certificate).names == ("twice.example.test",)


_TOLD = b"""HTTP/1.1 200 OK\r\nLocation: /order\r\nContent-Length: 15\r\n\r\n{"finalize":""}"""


@pytest.mark.parametrize("tells", [False, True])
def test_child_ends_when_its_channel_is_closed(tmp_path: Path, *, tells: bool) -> None:
    (tmp_path / "private_key.json").write_text(_JWK)
    (tmp_path / "regr.json").write_text('{"body": {}, "uri": "http://127.0.0.1/a"}')
    workers = WorkerPool(1, environment=os.environ, deadline_seconds=60)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with workers.job() as channel:
            channel.send(
                {
                    "do": "collect",
                    "directory_url": f"http://127.0.0.1:{silent.getsockname()[1]}/dir",
                    "account": str(tmp_path),
                    "deadline_seconds": 60,
                    "scratch": str(tmp_path),
                }
            )
            connection, _ = silent.accept()
            if tells:
                # The child reports the URL of an order, and no one reads it any more.
                connection.sendall(_TOLD)
                assert select.select([channel._connection], [], [], 20)[0]
            # The child is working and gets no response.
            parents = dict(_processes())
            (child,) = (pid for pid, parent in parents.items() if parents.get(parent) == os.getpid())
        with connection:
            _await_end(child)
    workers.close()


def test_next_order_starts_a_new_fork_server_after_the_old_one_was_killed(
    sandbox: SandboxCdn, issuer: CertbotIssuer
) -> None:
    for number, name in enumerate(("before.example.test", "after.example.test"), 1):
        sandbox.add_domain(name)
        assert read_leaf(issuer.issue(_order(number, name), _no_url).certificate).names == (name,)
        warm = next(pid for pid, parent in _processes() if parent == os.getpid())
        os.kill(warm, signal.SIGKILL)
        _await_end(warm)


def test_issue_reports_a_port_that_another_program_uses(acme: AcmeSection, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = dataclasses.replace(
            acme, mode="standalone", http01_address="127.0.0.1", http01_port=other.getsockname()[1]
        )
        with pytest.raises(IssueError) as caught:
            _certbot(taken, tmp_path / "acme").issue(_order(1, "taken.example.test"), _no_url)
    assert caught.value.code is Code.ISSUER_FAILED
    assert "is used by another program" in caught.value.found


def test_account_key_is_ec_p256(acme: AcmeSection, tmp_path: Path) -> None:
    _certbot(acme, tmp_path / "acme").register()
    key = next((tmp_path / "acme" / "accounts").glob("**/private_key.json"))
    assert (json.loads(key.read_text())["kty"], json.loads(key.read_text())["crv"]) == ("EC", "P-256")


def _await_end(pid: int) -> None:
    for _ in range(400):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"{pid} goes on")


@pytest.mark.parametrize(
    "url",
    [
        "http://ca.example/order/1",
        "https://ca.example/\x1b]0;x\x07",
        "https://ca/" + "a" * 3000,
        "",
        "ftp://x/",
    ],
)
def test_order_url_is_refused_when_it_is_unprintable_too_long_or_not_https(
    issuer: CertbotIssuer, url: str
) -> None:
    with pytest.raises(IssueError) as caught:
        issuer._jobs._check_url(url)
    assert caught.value.code is Code.CA_REFUSED
    assert issuer._jobs._check_url("https://ca.example/order/1") == "https://ca.example/order/1"


def test_issue_reports_issuer_failed_when_its_folder_cannot_be_created(
    acme: AcmeSection, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IssueError, match="Not a directory") as caught:
        _certbot(acme, tmp_path / "file" / "acme").issue(_order(1, "x.example.test"), _no_url)
    assert caught.value.code is Code.ISSUER_FAILED


_JWK = JWKEC(key=ComparableECKey(ec.generate_private_key(ec.SECP256R1()))).json_dumps()
