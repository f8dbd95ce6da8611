"""Our account at the CA, which certbot keeps in a folder of its own (`directory`).

Without `AccountKeys` the job that registers makes a key, and only certbot's folder has it. With them the account has their current
key: one that is not in certbot's folder yet is registered, or replaces the key of our account at the CA (`registration`).
"""

from __future__ import annotations

import fcntl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslctl.config.acme import AcmeSection, read_hmac_key
from sslctl.errors import ConfigError
from sslctl.issuer import AccountKeys, IssueError
from sslctl.issuer.certbot import directory, run_folder
from sslctl.issuer.certbot.job_runner import JobRunner, make_folder, translating_os_errors
from sslctl.rules.reasons import Code

ACCOUNTS = directory.ACCOUNTS


class CertbotAccount:
    """The account at the CA of `acme`, below `folder`. Safe for use by many threads.

    `find_keys` returns the keys of the account, None if certbot's folder is to have the only one.
    """

    def __init__(
        self, acme: AcmeSection, folder: Path, jobs: JobRunner, find_keys: Callable[[], AccountKeys | None]
    ) -> None:
        self._acme = acme
        self._folder = folder
        self._jobs = jobs
        self._find_keys = find_keys
        self._lock = threading.Lock()
        self._registered_again = False

    def find(self) -> Path | None:
        """Return the folder of the account, None if there is none."""
        keys = self._find_keys()
        thumbprint = None if keys is None else keys.current.thumbprint
        return directory.find_account(self._folder, self._acme.directory_url, thumbprint)

    def register(self) -> None:
        """Make the account before the first order; otherwise each parallel order would make one. Raise `IssueError`."""
        if self.find() is not None:
            return
        make_folder(self._folder)
        with translating_os_errors(), (self._folder / "account.lock").open("w") as lock:
            # Against other processes too; the kernel releases the lock when its process ends.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.find() is not None:
                return
            directory.remove_cut_off_registrations(self._folder, self._acme.directory_url)
            job: dict[str, Any] = {"do": "register", **self._credentials()}
            keys = self._find_keys()
            if keys is not None:
                # First, so that everything that looks for the account of this CA finds only one.
                directory.set_other_accounts_aside(
                    self._folder, self._acme.directory_url, keys.current.thumbprint
                )
                job["key"] = keys.current.jwk
                job["previous_key"] = keys.previous.jwk if keys.previous else None
            with self._run_folder() as run:
                self._jobs.run({**job, "argv": ["register", *self.arguments(run, self.find())]})

    @property
    def was_registered_again(self) -> bool:
        """Whether the account was registered again: more than once does not help."""
        return self._registered_again

    def register_again(self, *, order_dead: bool) -> None:
        """Register our account's key again, once for all orders. If the CA has the key after all, no second account is made.

        Raise `IssueError`, with `order_dead`: the error is about the account, and the order may still succeed.
        """
        with self._lock:
            account = self.find()
            if account is None or self._registered_again:
                return
            with translating_os_errors(), self._run_folder() as run:
                argv = ["register", *self.arguments(run, account)]
                job = {"do": "register_again", "account": str(account), "argv": argv, **self._credentials()}
                try:
                    self._jobs.run(job)
                except IssueError as error:
                    error.order_dead = order_dead
                    raise
            self._registered_again = True

    def arguments(self, run: Path, account: Path | None) -> list[str]:
        """Return the arguments of every run of certbot whose folder is `run`, with our `account` as `find` returned it."""
        contact = ["--email", self._acme.email, "--no-eff-email"]
        if not self._acme.email:
            contact = ["--register-unsafely-without-email"]
        if account is not None:
            # With two accounts, certbot would ask which one to use.
            contact += ["--account", account.name]
        return [
            # Quiet: the last line on standard error must be the reason why it ended.
            *("--quiet", "--non-interactive", "--agree-tos", *contact, "--server", self._acme.directory_url),
            *("--config-dir", str(run / "config"), "--work-dir", str(run / "work")),
            # The logs contain key authorizations: they stay in the run's private folder and are removed with it.
            *("--logs-dir", str(run / "logs"), "--max-log-backups", "0"),
        ]

    def link(self, run: Path) -> None:
        """Make certbot's folders in `run`, which share the account. Raise `OSError`."""
        run_folder.fill(run, self._folder / ACCOUNTS)

    @contextmanager
    def _run_folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="register-") as name:
            self.link(Path(name))
            yield Path(name)

    def _credentials(self) -> dict[str, str]:
        """Return our credentials at the CA as members of a job, none if none are configured. No argument of a process has them."""
        if self._acme.eab_hmac_key_file is None:
            return {}
        try:
            hmac_key = read_hmac_key(self._acme.eab_hmac_key_file)
        except ConfigError as error:
            raise IssueError(Code.ISSUER_FAILED, error.message) from error
        return {"eab_kid": self._acme.eab_kid, "eab_hmac_key": hmac_key}
