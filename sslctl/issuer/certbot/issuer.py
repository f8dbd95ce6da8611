"""The issuer of production: certbot, one child process an order.

Every order has a folder of its own, named by its id, because certbot locks its folders; the account is shared. Key and
CSR are ours, so certbot keeps no lineage and nothing but the certificate comes out of it. certbot always writes its
answers to challenges into a webroot: in standalone mode into one of ours, which one listener serves for all orders.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sslctl.certificates.x509 import split_fullchain
from sslctl.config.settings import AcmeSection
from sslctl.errors import BadInput
from sslctl.issuer import Issued, IssueError, OrderPending, RenewalWindows
from sslctl.issuer.certbot import ari, challenge_files, directory
from sslctl.issuer.certbot.disk_space import require_disk_space, require_writable
from sslctl.issuer.certbot.listener import Listener
from sslctl.issuer.certbot.problems import to_issue_error
from sslctl.issuer.certbot.worker_pool import WorkerPool
from sslctl.rules.model import Bundle, Order
from sslctl.rules.reasons import Code
from sslctl.text import clean

_CHALLENGES = Path(".well-known") / "acme-challenge"
# A token, a dot and the thumbprint of the account's key take some 90 bytes.
_LARGEST_ANSWER = 1 << 10
_COLLECT_SECONDS = 20
_LONGEST_URL = 2000
# Longer than any CA keeps an order open.
_STALE_SECONDS = 30 * 86_400
_LEFT_BEHIND = ("runs/*", "child-*", "register-*", "revoke-*")


class CertbotIssuer:
    """`Issuer` over certbot, with its folders below `folder`."""

    def __init__(self, acme: AcmeSection, folder: Path, *, clock: Callable[[], datetime]) -> None:
        self._acme = acme
        self._folder = folder
        self._accounts = folder / directory.ACCOUNTS
        self._clock = clock
        self._pool = WorkerPool(
            acme.workers, environment=_environment(acme), deadline_seconds=acme.timeout_seconds
        )
        self._listener: Listener | None = None
        self._preparing = threading.Lock()
        self._prepared = False
        self._registered_again = False

    def close(self) -> None:
        """See `Issuer.close`."""
        self._pool.close()
        if self._listener is not None:
            self._listener.close()

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        """See `Issuer.issue`."""
        self._require_storage()
        self._prepare()
        run = self._run_folder(order)
        with _translating_os_errors():
            (run / "csr.pem").write_text(order.csr_pem)
            if (self._webroot / _CHALLENGES).is_dir():
                require_writable(self._webroot / _CHALLENGES, _LARGEST_ANSWER)
        argv = ["certonly", "--csr", str(run / "csr.pem"), "--webroot", "--webroot-path", str(self._webroot)]
        argv += [f"--{name}-path={run / f'{name}.pem'}" for name in ("cert", "chain", "fullchain")]
        if self._acme.profile:
            argv += ["--required-profile", self._acme.profile]
        job = {
            "do": "issue",
            "order_url": order.url or "",
            "replaces": replaces,
            "webroot": str(self._webroot),
            "argv": [*argv, *self._common_arguments(run)],
        }
        self._run_for_order(order, job, on_url)
        issued = self._on_disk(order)
        if issued is None:
            raise IssueError(Code.ISSUER_FAILED, "certbot ended well but left no certificate")
        return issued

    def collect(self, order: Order) -> Issued | None:
        """See `Issuer.collect`."""
        try:
            issued = self._on_disk(order)
        except IssueError:
            # Cut off by a crash while it was written; the CA still has it.
            issued = None
        if issued is not None or order.url is None:
            return issued
        account = self._account()
        if account is None or self._is_of_another_ca(order):
            return None
        job = {
            "do": "collect",
            "account": str(account),
            "order_url": order.url,
            "csr_pem": order.csr_pem,
            "webroot": str(self._webroot),
            "wait_seconds": _COLLECT_SECONDS,
        }
        result = self._run_for_order(order, job, _no_order)
        if result.get("pending"):
            raise OrderPending
        if "fullchain" not in result:
            return None
        try:
            return _split(result["fullchain"])
        except IssueError as error:
            error.order_dead = True  # the CA would give the same again
            raise

    def _is_of_another_ca(self, order: Order) -> bool:
        """Say whether another CA was configured when the order was placed: that one knows neither account nor nonce."""
        try:
            return (self._run_path(order) / "directory").read_text() != self._acme.directory_url
        except OSError:
            return False

    def forget(self, order: Order) -> None:
        """See `Issuer.forget`."""
        shutil.rmtree(self._run_path(order), ignore_errors=True)

    def revoke(self, bundle: Bundle) -> None:
        """See `Issuer.revoke`."""
        self._make_folder(self._folder)
        with (
            _translating_os_errors(),
            tempfile.TemporaryDirectory(dir=self._folder, prefix="revoke-") as name,
        ):
            run = Path(name)
            self._link_accounts(run)
            (run / "cert.pem").write_text(bundle.certificate)
            argv = ["revoke", "--cert-path", str(run / "cert.pem"), "--no-delete-after-revoke"]
            try:
                self._run({"do": "revoke", "argv": [*argv, *self._common_arguments(run)]}, _no_order)
            except IssueError as error:
                if not error.found.startswith("alreadyRevoked"):
                    raise

    def renewal_infos(self, ids: Sequence[str], seconds: float) -> RenewalWindows | None:
        """See `Issuer.renewal_infos`."""
        # In the other half of its time the child waits for the last answers.
        bound = min(seconds, self._acme.timeout_seconds / 2)
        result = self._run({"do": "renewal_info", "ids": list(ids), "seconds": bound}, _no_order)
        return ari.read(result, self._clock())

    def _require_storage(self) -> None:
        """Return where what comes of an order can be kept. Raises `IssueError`."""
        self._make_folder(self._folder)
        with _translating_os_errors():
            require_disk_space(self._folder)
            require_writable(self._folder)

    def _prepare(self) -> None:
        """Do once what every order needs."""
        with self._preparing:
            if not self._prepared:
                self._register()
                self._prepare_webroot()
                self._clear_stale_runs()
                self._prepared = True

    def _register(self) -> None:
        """Make the account before the first order, or parallel orders would each make one."""
        if self._account() is not None:
            return
        self._make_folder(self._folder)
        with _translating_os_errors(), (self._folder / "account.lock").open("w") as lock:
            # Also against other processes; the kernel gives it up with the process that holds it.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._account() is not None:
                return
            with tempfile.TemporaryDirectory(dir=self._folder, prefix="register-") as name:
                run = Path(name)
                self._link_accounts(run)
                self._run({"do": "register", "argv": ["register", *self._common_arguments(run)]}, _no_order)

    def _run_for_order(
        self, order: Order, job: dict[str, Any], on_url: Callable[[str], None]
    ) -> dict[str, Any]:
        """Do `job`, and where the CA no longer knows our account, have one for the next pass, and say so."""
        try:
            return self._run(job, on_url, url=order.url or "")
        except IssueError as error:
            if not error.found.startswith("accountDoesNotExist"):
                raise
            self._register_again(order_dead=error.order_dead)
            found = f"{error.found.rstrip('.')}; the account was registered again, with the same key"
            raise IssueError(error.code, found, order_dead=error.order_dead) from error

    def _register_again(self, *, order_dead: bool) -> None:
        """Register our account's key anew, once for all orders: if the CA has it after all, no second account comes of it."""
        with self._preparing:
            account = self._account()
            if account is None or self._registered_again:
                return
            with (
                _translating_os_errors(),
                tempfile.TemporaryDirectory(dir=self._folder, prefix="register-") as name,
            ):
                run = Path(name)
                self._link_accounts(run)
                argv = ["register", *self._common_arguments(run)]
                try:
                    self._run({"do": "register_again", "account": str(account), "argv": argv}, _no_order)
                except IssueError as error:
                    # It is said of the account; the order that met it may still come to something.
                    error.order_dead = order_dead
                    raise
            self._registered_again = True

    def _account(self) -> Path | None:
        """Give the folder in which certbot keeps its account at this CA, None where there is none."""
        return directory.find_account(self._folder, self._acme.directory_url)

    @cached_property
    def _webroot(self) -> Path:
        if self._acme.mode == "webroot":
            return self._acme.webroot.absolute()
        # The folder of the state is ours, however it is reached.
        return self._folder.resolve() / "webroot"

    def _prepare_webroot(self) -> None:
        """Make the folder of the answers, before an order is placed in vain; in standalone mode see that they are served."""
        with _translating_os_errors():
            if self._acme.mode == "standalone":
                self._make_folder(self._webroot)
            with challenge_files.opened(self._webroot):
                pass
            if self._acme.mode == "standalone":
                self._listener = Listener(
                    self._acme.http01_address, self._acme.http01_port, self._webroot / _CHALLENGES
                )

    def _common_arguments(self, run: Path) -> list[str]:
        contact = ["--email", self._acme.email, "--no-eff-email"]
        if not self._acme.email:
            contact = ["--register-unsafely-without-email"]
        account = self._account()
        if account is not None:
            # Where there are two, certbot would ask which one.
            contact += ["--account", account.name]
        return [
            # Quiet: the last line that it writes is to be the one that tells why it ended.
            *("--quiet", "--non-interactive", "--agree-tos", *contact, "--server", self._acme.directory_url),
            *("--config-dir", str(run / "config"), "--work-dir", str(run / "work")),
            # The logs hold challenge answers: they live and go with the run's folder, which is ours alone.
            *("--logs-dir", str(run / "logs"), "--max-log-backups", "0"),
        ]

    def _run(self, job: dict[str, Any], on_url: Callable[[str], None], *, url: str = "") -> dict[str, Any]:
        """Do `job` in a child process and give its result; `url` is that of an order placed earlier. Raises `IssueError`."""
        self._make_folder(self._folder)
        with (
            _translating_os_errors(),
            tempfile.TemporaryDirectory(dir=self._folder, prefix="child-") as scratch,
            tempfile.TemporaryFile(dir=scratch) as stderr,
            self._pool.job(stderr) as channel,
        ):
            channel.send({**job, **self._bounds(), "scratch": scratch})
            for message in channel:
                if "order" in message:
                    # Going on with an order, its URL is known already.
                    if message["order"] != url:
                        url = self._check_url(message["order"])
                        on_url(url)
                    channel.send({})
                elif "failed" in message["result"]:
                    raise to_issue_error(message["result"], self._clock(), order_placed=bool(url))
                else:
                    return dict(message["result"])
            words = channel.last_error_line()
        found = f"certbot ended: {words}" if words else "certbot was killed; it may take "
        if not words:
            found += f"{self._acme.timeout_seconds:g} seconds"
        raise IssueError(Code.CA_VALIDATING if url else Code.ISSUER_FAILED, found, order_dead=not url)

    def _bounds(self) -> dict[str, Any]:
        return {
            "directory_url": self._acme.directory_url,
            "deadline_seconds": self._acme.timeout_seconds,
        }

    def _check_url(self, url: str) -> str:
        """Give the order's URL where it may be kept, shown and used again."""
        scheme = self._acme.directory_url.partition("://")[0]
        if re.fullmatch(rf"{scheme}://[!-~]{{1,{_LONGEST_URL}}}", url) is None:
            raise IssueError(Code.CA_UNAVAILABLE, "it gave the order a URL that cannot be used")
        return url

    def _on_disk(self, order: Order) -> Issued | None:
        try:
            return _split((self._run_path(order) / "fullchain.pem").read_text(errors="replace"))
        except FileNotFoundError:
            return None

    def _run_path(self, order: Order) -> Path:
        return self._folder / "runs" / str(order.id)

    def _run_folder(self, order: Order) -> Path:
        """Make the folder of a run anew."""
        run = self._run_path(order)
        shutil.rmtree(run, ignore_errors=True)
        with _translating_os_errors():
            self._make_folder(run)
            (run / "directory").write_text(self._acme.directory_url)
            self._link_accounts(run)
        return run

    def _clear_stale_runs(self) -> None:
        """Clear what runs left behind that were killed, or killed after they were settled."""
        for path in (path for pattern in _LEFT_BEHIND for path in self._folder.glob(pattern)):
            # Another process may clear the same at this moment.
            with suppress(FileNotFoundError):
                if self._clock().timestamp() - path.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)

    def _link_accounts(self, run: Path) -> None:
        self._make_folder(self._accounts)
        for name in ("config", "work"):
            # certbot would make the latter for others to read.
            (run / name).mkdir(mode=0o700)
        (run / "config" / "accounts").symlink_to(self._accounts, target_is_directory=True)

    @staticmethod
    def _make_folder(folder: Path) -> None:
        with _translating_os_errors():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def _translating_os_errors() -> Iterator[None]:
    """Turn the machine's own troubles (a full disk, a missing right) into a finding."""
    try:
        yield
    except OSError as error:
        raise IssueError(Code.ISSUER_FAILED, clean(error)) from error


def _split(fullchain: str) -> Issued:
    try:
        return Issued(*split_fullchain(fullchain))
    except BadInput as error:
        raise IssueError(Code.ISSUER_FAILED, f"what the CA issued cannot be used: {error.message}") from error


def _environment(acme: AcmeSection) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SSLCTL_")}
    if acme.ca_bundle is not None:
        environment["REQUESTS_CA_BUNDLE"] = str(acme.ca_bundle)
    return environment


def _no_order(_url: str) -> None:
    """Jobs that place no order tell of none."""
