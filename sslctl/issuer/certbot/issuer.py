"""The issuer that uses certbot: each order is one job of a process that is apart from this one.

Each order has a folder of its own, named by its id, because certbot locks its folders; the account is shared. Key and CSR
are ours, so certbot keeps no lineage and writes only the certificate. Challenge files are written to a webroot: in
standalone mode to a folder of ours, which one listener serves for all orders. In stateless mode there are none.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sslctl.config.acme import AcmeSection
from sslctl.config.settings import PacingSection
from sslctl.errors import BadInput
from sslctl.issuer import AccountKeys, Issued, IssueError, OrderPending, RenewalWindows
from sslctl.issuer.certbot import ari, challenge_files, directory, probe_files, versions
from sslctl.issuer.certbot.account import CertbotAccount
from sslctl.issuer.certbot.answers import Answers
from sslctl.issuer.certbot.challenge_sources import FolderSource
from sslctl.issuer.certbot.disk_space import WriteTrials, require_disk_space
from sslctl.issuer.certbot.job_runner import LOST_ORDER_KEPT, JobRunner, make_folder, translating_os_errors
from sslctl.issuer.certbot.listener import Listener
from sslctl.issuer.certbot.problems import to_issue_error
from sslctl.issuer.certbot.shared_call import SharedCall
from sslctl.rules.model import Bundle, Order
from sslctl.rules.reasons import Code
from sslctl.rules.revocation import RevocationReason
from sslctl.rules.stateless_answer import key_authorization
from sslctl.text import clean

_CHALLENGES = Path(".well-known") / "acme-challenge"
# More than is needed: a token, a dot and the thumbprint of the account's key take some 90 bytes.
_CHALLENGE_FILE_BYTES = 1 << 10
_COLLECT_SECONDS = 20
_LETS_ENCRYPTS_PACE = PacingSection()
# Longer than any CA keeps an order open.
_STALE_SECONDS = 30 * 86_400
_ANSWERS = "answers"
# The file that a run makes before it asks the CA to issue the certificate.
_FINALIZING = "finalizing"
_LEFT_BEHIND = ("runs/*", f"{_ANSWERS}/*", "child-*", "register-*", "revoke-*")


class CertbotIssuer:
    """An `Issuer` that uses certbot, with its folders below `folder`.

    `clock` returns the aware time. `pacing` bounds the requests a second. `on_notice` is called with a sentence for people,
    before the first order. `find_account_keys` returns the keys of the account, None if certbot's folder is to have the only one.
    """

    def __init__(
        self,
        acme: AcmeSection,
        folder: Path,
        *,
        clock: Callable[[], datetime],
        pacing: PacingSection = _LETS_ENCRYPTS_PACE,
        on_notice: Callable[[str], None] = lambda _notice: None,
        find_account_keys: Callable[[], AccountKeys | None] = lambda: None,
    ) -> None:
        self._on_notice = on_notice
        self._acme = acme
        self._folder = folder
        self._clock = clock
        self._jobs = JobRunner(acme, pacing, folder, clock=clock)
        self._find_account_keys = find_account_keys
        self._account = CertbotAccount(acme, folder, self._jobs, find_account_keys)
        self._register = SharedCall(self._account.register)
        self._listener: Listener | None = None
        self._trials = WriteTrials()
        self._preparing = threading.Lock()
        self._has_begun = False
        self._has_account = False
        self._preparing_webroot = threading.Lock()
        self._has_webroot = False

    def close(self) -> None:
        """See `Issuer.close`."""
        self._jobs.close()
        if self._listener is not None:
            self._listener.close()

    def expect_orders(self) -> None:
        """See `Issuer.expect_orders`."""
        self._jobs.expect()

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        """See `Issuer.issue`."""
        self._require_storage()
        self._prepare(order)
        run = self._run_folder(order)
        with translating_os_errors():
            if self._webroot and (self._webroot / _CHALLENGES).is_dir():
                self._trials.require_writable(self._webroot / _CHALLENGES, _CHALLENGE_FILE_BYTES)
        # Our own authenticator takes the place of certbot's, which needs a folder that exists.
        argv = [
            "certonly",
            "--csr",
            str(run / "csr.pem"),
            "--webroot",
            "--webroot-path",
            str(self._webroot or run),
        ]
        argv += [f"--{name}-path={run / f'{name}.pem'}" for name in ("cert", "chain", "fullchain")]
        profile = _chosen(order.profile, self._acme.profile)
        if profile:
            argv += ["--required-profile", profile]
        chain = _chosen(order.preferred_chain, self._acme.preferred_chain)
        if chain:
            argv += ["--preferred-chain", chain]
        account = self._account.find()
        job = {
            "do": "issue",
            "order_url": order.url or "",
            "replaces": replaces,
            "profile": profile,
            "preferred_chain": chain,
            "csr_pem": order.csr_pem,
            "config_dir": str(self._folder),
            "scratch": str(run),
            "fullchain": str(run / "fullchain.pem"),
            **self._webroot_of_job(),
            **({} if account is None else {"account": account.name}),
            "answers": str(self._answers_path(order)),
            "finalizing": str(run / _FINALIZING),
            "argv": [*argv, *self._account.arguments(run, account)],
        }
        self._run_for_order(order, job, on_url)
        issued = self._on_disk(order)
        if issued is None:
            raise IssueError(Code.ISSUER_FAILED, "certbot succeeded but wrote no certificate")
        return issued

    def collect(self, order: Order) -> Issued | None:
        """See `Issuer.collect`."""
        try:
            issued = self._on_disk(order)
        except IssueError:
            # A crash cut the file off; the CA still has the certificate.
            issued = None
        if issued is not None or order.url is None:
            return issued
        if self._is_key_stored:
            # The account has the current key again if its folder was lost, or is another machine's, or if a change of the key was
            # interrupted.
            self._require_account(order)
        account = self._account.find()
        if account is None:
            return None
        if Answers(self._answers_path(order)).has_asked:
            # The CA may be validating at this moment: in standalone mode somebody must answer. If the CA has decided, no answer is
            # needed, and a port that is in use must not keep the certificate from being collected.
            with suppress(IssueError):
                self._prepare(order)
        job = {
            "do": "collect",
            "account": str(account),
            "finalizing": str(self._run_path(order) / _FINALIZING),
            "order_url": order.url,
            "csr_pem": order.csr_pem,
            "preferred_chain": _chosen(order.preferred_chain, self._acme.preferred_chain),
            **self._webroot_of_job(),
            "wait_seconds": _COLLECT_SECONDS,
        }
        result = self._run_for_order(order, job)
        if result.get("pending"):
            raise OrderPending
        is_kept = self._clock() - order.opened_at < LOST_ORDER_KEPT
        if "invalid" in result and is_kept:
            raise to_issue_error(result["invalid"], self._clock(), order_placed=True)
        if "unknown" in result and is_kept:
            raise IssueError(Code.CA_REFUSED, f"it does not know the order: {clean(result['unknown'])}")
        return _split(result["fullchain"]) if "fullchain" in result else None

    def may_be_issued(self, order: Order) -> bool:
        """See `Issuer.may_be_issued`. Without the files of the run nothing is known."""
        run = self._run_path(order)
        return order.url is not None and (not run.is_dir() or (run / _FINALIZING).exists())

    def forget(self, order: Order) -> None:
        """See `Issuer.forget`."""
        shutil.rmtree(self._run_path(order), ignore_errors=True)
        self._remove_answers(self._answers_path(order))

    def _remove_answers(self, folder: Path) -> None:
        """Remove the challenge files of a closed order, or of a probe. They are no secret."""
        with suppress(OSError):
            if folder.is_dir():
                Answers(folder).remove_all(self._webroot)
            elif folder.exists() and self._webroot is not None:
                probe_files.remove(folder, self._webroot)

    def revoke(self, bundle: Bundle, reason: RevocationReason | None = None) -> None:
        """See `Issuer.revoke`."""
        make_folder(self._folder)
        if self._is_key_stored:
            self._account.register()
        with (
            translating_os_errors(),
            tempfile.TemporaryDirectory(dir=self._folder, prefix="revoke-") as name,
        ):
            run = Path(name)
            self._account.link(run)
            (run / "cert.pem").write_text(bundle.certificate)
            argv = ["revoke", "--cert-path", str(run / "cert.pem"), "--no-delete-after-revoke"]
            job: dict[str, Any] = {"do": "revoke"}
            if reason is not None:
                argv += ["--reason", reason.lower()]
            if reason is RevocationReason.KEY_COMPROMISE and bundle.private_key:
                # The key never reaches the disk: the job keeps it in memory.
                job["key"] = bundle.private_key
            account = self._account.find()
            job["argv"] = [*argv, *self._account.arguments(run, account)]
            try:
                self._revoke(job)
            except IssueError as error:
                if "key" not in job or error.code is not Code.CA_REFUSED or account is None:
                    raise
                # Not every CA takes the certificate's own key. That it is revoked matters more than that the CA refuses the key.
                del job["key"]
                self._revoke(job)

    def _revoke(self, job: dict[str, Any]) -> None:
        try:
            self._jobs.run(job)
        except IssueError as error:
            if not error.found.startswith("alreadyRevoked"):
                raise

    def renewal_infos(self, ids: Sequence[str], seconds: float) -> RenewalWindows | None:
        """See `Issuer.renewal_infos`."""
        # The other half of the time is for the last responses.
        bound = min(seconds, self._acme.timeout_seconds / 2)
        result = self._jobs.run({"do": "renewal_info", "ids": list(ids), "seconds": bound})
        return ari.read(result, self._clock())

    def account_status(self) -> str | None:
        """Return the status of our account, as the CA tells it (RFC 8555, section 7.1.2); None if there is no account here.

        Nothing is written below our folder. Raise `IssueError` if the CA refuses the account, or gives no answer.
        """
        account = self._account.find()
        if account is None:
            return None
        with translating_os_errors(), tempfile.TemporaryDirectory(prefix="sslctl-") as scratch:
            job = {"do": "account", "account": str(account)}
            return str(self._jobs.run_apart(job, Path(scratch))["status"])

    def register(self, *, only_known: bool = False) -> None:
        """See `Issuer.register`."""
        if not only_known or directory.find_account(self._folder, self._acme.directory_url) is not None:
            self._account.register()

    @contextmanager
    def published(self, token: str) -> Iterator[str]:
        """See `Issuer.published`. The file is noted as that of an order: `_clear_stale_runs` removes what a kill leaves."""
        if self._webroot is None:
            yield key_authorization(token, self._account_keys.current.thumbprint)
            return
        # As long as a key authorization with a SHA-256 thumbprint (RFC 8555, section 8.1).
        content = key_authorization(token, secrets.token_urlsafe())
        self._require_storage()
        self._prepare_webroot()
        with probe_files.published(token, content, self._webroot, self._folder / _ANSWERS):
            yield content

    @property
    def _account_keys(self) -> AccountKeys:
        keys = self._find_account_keys()
        assert keys is not None  # noqa: S101 - the composition root gives them in stateless mode
        return keys

    def _require_storage(self) -> None:
        """Raise `IssueError` if there is no disk space for the files of an order."""
        make_folder(self._folder)
        with translating_os_errors():
            require_disk_space(self._folder)
            self._trials.require_writable(self._folder)

    def _prepare(self, order: Order) -> None:
        """Make what every order needs, once: account and webroot."""
        with self._preparing:
            is_first, self._has_begun = not self._has_begun, True
        if is_first and (untested := versions.find_untested()):
            self._on_notice(untested)
        if self._is_stateless or not self._has_account:
            # Each time in stateless mode: another process may have changed the key meanwhile.
            self._require_account(order)
            self._has_account = True
        self._prepare_webroot()

    def _require_account(self, order: Order) -> None:
        """Register our account unless it is there. Raise `IssueError`, which says nothing about an `order` that was placed."""
        try:
            self._register()
        except IssueError as error:
            raise error.about_order(dead=order.url is None) from error

    def _run_for_order(
        self, order: Order, job: dict[str, Any], on_url: Callable[[str], None] | None = None
    ) -> dict[str, Any]:
        """Run `job`. If the CA no longer knows our account, register it again and report that; the next pass uses it."""
        was_registered_again = self._account.was_registered_again
        try:
            return self._jobs.run(job, on_url, url=order.url or "")
        except IssueError as error:
            if was_registered_again or not error.found.startswith("accountDoesNotExist"):
                raise
            self._account.register_again(order_dead=error.order_dead)
            found = f"{error.found.rstrip('.')}; the account was registered again, with the same key"
            raise IssueError(error.code, found, order_dead=error.order_dead) from error

    @property
    def _is_stateless(self) -> bool:
        return self._acme.mode == "stateless"

    @property
    def _is_key_stored(self) -> bool:
        """Whether the account has a key that the store keeps, whatever certbot's folder has."""
        return self._find_account_keys() is not None

    def _webroot_of_job(self) -> dict[str, str]:
        """Return the member of a job that says where challenge files are written; none if the edges answer by themselves."""
        return {} if self._webroot is None else {"webroot": str(self._webroot)}

    @cached_property
    def _webroot(self) -> Path | None:
        """The folder below which challenge files are written, None if none are."""
        if self._is_stateless:
            return None
        if self._acme.mode == "webroot":
            return self._acme.webroot.absolute()
        # The state's folder is ours, so symbolic links to it are fine.
        return self._folder.resolve() / "webroot"

    def _prepare_webroot(self) -> None:
        """Make the folder of challenge files, before an order depends on it. In standalone mode start the listener.

        This is done once: the probes and orders of a process share the listener. What was killed long ago is removed.
        """
        make_folder(self._folder)
        with self._preparing_webroot, translating_os_errors():
            if self._has_webroot:
                return
            if self._webroot is not None:
                self._open_webroot(self._webroot)
            self._clear_stale_runs()
            self._has_webroot = True

    def _open_webroot(self, webroot: Path) -> None:
        if self._acme.mode == "standalone":
            make_folder(webroot)
        with challenge_files.opened(webroot):
            pass
        if self._acme.mode == "standalone":
            self._listener = Listener(
                self._acme.http01_address, self._acme.http01_port, FolderSource(webroot / _CHALLENGES)
            )

    def _on_disk(self, order: Order) -> Issued | None:
        try:
            return _split((self._run_path(order) / "fullchain.pem").read_text(errors="replace"))
        except FileNotFoundError:
            return None

    def _answers_path(self, order: Order) -> Path:
        return self._folder / _ANSWERS / str(order.id)

    def _run_path(self, order: Order) -> Path:
        return self._folder / "runs" / str(order.id)

    def _run_folder(self, order: Order) -> Path:
        """Make an empty folder for a run."""
        run = self._run_path(order)
        shutil.rmtree(run, ignore_errors=True)
        with translating_os_errors():
            make_folder(run)
        return run

    def _clear_stale_runs(self) -> None:
        """Remove old folders of runs that were killed, before or after their order was closed."""
        for path in (path for pattern in _LEFT_BEHIND for path in self._folder.glob(pattern)):
            # Another process may remove the same folder at this moment.
            with suppress(FileNotFoundError):
                if self._clock().timestamp() - path.stat().st_mtime > _STALE_SECONDS:
                    if path.parent.name == _ANSWERS:
                        self._remove_answers(path)
                    shutil.rmtree(path, ignore_errors=True)


def _chosen(choice: str | None, configured: str) -> str:
    """Return what was chosen for an order, or else what is configured."""
    return configured if choice is None else choice


def _split(fullchain: str) -> Issued:
    # cryptography is slow to import: not before the fork server is started.
    from sslctl.certificates.x509 import split_fullchain  # noqa: PLC0415

    try:
        return Issued(*split_fullchain(fullchain))
    except BadInput as error:
        raise IssueError(
            Code.ISSUER_FAILED, f"the issued certificate cannot be used: {error.message}"
        ) from error
