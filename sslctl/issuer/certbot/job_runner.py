"""Run jobs in processes of their own, and translate their messages: a result, or an `IssueError`."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from sslctl.config.acme import AcmeSection
from sslctl.config.settings import PacingSection
from sslctl.issuer import IssueError
from sslctl.issuer.certbot.directory import find_missing_profile
from sslctl.issuer.certbot.nonces import Nonces
from sslctl.issuer.certbot.pacing import Kind
from sslctl.issuer.certbot.problems import to_issue_error
from sslctl.issuer.certbot.shared_directory import SharedDirectory
from sslctl.issuer.certbot.worker_pool import WorkerPool
from sslctl.rules.reasons import Code
from sslctl.system.limits import explain, explain_line
from sslctl.text import clean

LOST_ORDER_KEPT = timedelta(days=1)
"""For how long an order is kept that the CA does not know, or that it ended for no fault of a challenge.

A wrong answer must not cost the order. And if the CA does so with every order, each domain places at most one a day.
"""

_MAX_URL_LENGTH = 2000
# The answers of an endpoint that is not, or no longer, there.
_MOVED = (404, 405, 410)
# The jobs of which there are many, and that send a POST.
_POSTING = ("issue", "collect")


class JobRunner:
    """Runs jobs for the issuer whose folder is `folder`. Safe to use from several threads.

    All jobs share one directory of the CA and the nonces that others left over, and keep to one pace together with those of other processes
    with the same `folder` and CA.
    `clock` returns the aware time.
    """

    def __init__(
        self, acme: AcmeSection, pacing: PacingSection, folder: Path, *, clock: Callable[[], datetime]
    ) -> None:
        self._acme = acme
        self._rates = {
            Kind.DIRECTORY: pacing.directory,
            Kind.NEW_NONCE: pacing.new_nonce,
            Kind.OTHER: pacing.other,
        }
        self._folder = folder
        # Each CA has limits per IP address of its own.
        self._pace_file = folder / f"pace-{sha256(acme.directory_url.encode()).hexdigest()[:16]}"
        self._clock = clock
        self._pool = WorkerPool(
            acme.workers, environment=_environment(acme), deadline_seconds=acme.timeout_seconds
        )
        self._directory = SharedDirectory(self._fetch_directory)
        self._nonces = Nonces()

    def expect(self) -> None:
        """Begin to prepare for jobs. Return at once."""
        self._pool.warm_up()

    def close(self) -> None:
        """End the jobs."""
        self._pool.close()

    def run(
        self, job: dict[str, Any], on_url: Callable[[str], None] | None = None, *, url: str = ""
    ) -> dict[str, Any]:
        """Run `job` in another process and return its result. Raise `IssueError`.

        `on_url` is called with the URL of an order that the CA has accepted. `url` is that of an order placed earlier.
        """
        shared = self._shared_directory(url)
        if job["do"] == "issue" and not url:
            _require_profile(shared, job["profile"])
        result, url = self._converse({**job, "directory": shared}, on_url, url=url)
        if "failed" in result and _may_be_moved(result):
            self._directory.forget()
            if result.get("status") in _MOVED and not url and not result.get("lost"):
                # Nothing was ordered. This time the job fetches the directory itself.
                result, url = self._converse(job, on_url, url=url)
        return self._require_done(result, url)

    def run_apart(self, job: dict[str, Any], scratch: Path) -> dict[str, Any]:
        """Run `job` as `run` does, with nothing shared, and its temporary files below `scratch`: our folder is not touched."""
        result, url = self._converse(job, None, url="", folder=scratch)
        return self._require_done(result, url)

    def _require_done(self, result: dict[str, Any], url: str) -> dict[str, Any]:
        if "failed" in result:
            raise to_issue_error(result, self._clock(), order_placed=bool(url))
        return result

    def _shared_directory(self, url: str) -> dict[str, Any] | None:
        """Return the CA's directory. Raise `IssueError` for the order at `url`."""
        try:
            return self._directory.get()
        except IssueError as error:
            # Other jobs have met this error too; and it says nothing about an order that was placed.
            raise error.about_order(dead=not url) from error

    def _fetch_directory(self) -> dict[str, Any] | None:
        result, _ = self._converse({"do": "directory"}, None, url="")
        found: dict[str, Any] | None = self._require_done(result, "")["directory"]
        return found

    def _converse(
        self,
        job: dict[str, Any],
        on_url: Callable[[str], None] | None,
        *,
        url: str,
        folder: Path | None = None,
    ) -> tuple[dict[str, Any], str]:
        """Run `job` once; return its result, which may be a failure, and the URL of its order, empty if there is none."""
        shared: dict[str, Any] = {} if folder else {"pace_file": str(self._pace_file)}
        folder = folder or self._folder
        make_folder(folder)
        with (
            translating_os_errors(),
            _scratch(job, folder) as scratch,
            self._pool.job() as channel,
        ):
            if job["do"] in _POSTING and (nonce := self._nonces.take()):
                shared["nonces"] = [nonce]
            channel.send({**job, **self._settings(), **shared, "scratch": scratch})
            for message in channel:
                if "result" in message:
                    self._nonces.put(message["nonces"])
                    channel.is_free = message["free"]
                    return dict(message["result"]), url
                # When it goes on with an order, the URL is stored already.
                if message["order"] != url:
                    url = self._check_url(message["order"])
                    if on_url is not None:
                        on_url(url)
                channel.send({})
            reason = channel.last_error_line()
        limit = explain_line(reason)
        if limit is not None:
            raise limit
        found = f"certbot ended: {reason}" if reason else "certbot was killed; it may take "
        if not reason:
            found += f"{self._acme.timeout_seconds:g} seconds"
        raise IssueError(Code.CA_VALIDATING if url else Code.ISSUER_FAILED, found, order_dead=not url)

    def _settings(self) -> dict[str, Any]:
        return {
            "directory_url": self._acme.directory_url,
            "deadline_seconds": self._acme.timeout_seconds,
            "rates": self._rates,
        }

    def _check_url(self, url: str) -> str:
        """Return the order's URL. Raise `IssueError` if it is not safe to store, show and use."""
        scheme = self._acme.directory_url.partition("://")[0]
        if re.fullmatch(rf"{scheme}://[!-~]{{1,{_MAX_URL_LENGTH}}}", url) is None:
            retry_at = self._clock() + LOST_ORDER_KEPT
            raise IssueError(Code.CA_REFUSED, "the order's URL cannot be used", retry_at=retry_at)
        return url


def _scratch(job: dict[str, Any], folder: Path) -> AbstractContextManager[str]:
    """Return the folder for temporary files of `job`: its own one, or one below `folder` that is removed afterwards."""
    if "scratch" in job:
        return nullcontext(job["scratch"])
    return tempfile.TemporaryDirectory(dir=folder, prefix="child-")


def _may_be_moved(result: dict[str, Any]) -> bool:
    """Return whether a job may have failed because a URL of the directory is not right any more."""
    is_malformed = str(result.get("type", "")).endswith(":malformed")
    return result["failed"] in ("network", "certbot") or result.get("status") in _MOVED or is_malformed


def make_folder(folder: Path) -> None:
    """Make `folder` with its parents, for us alone. Raise `IssueError`."""
    with translating_os_errors():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def translating_os_errors() -> Iterator[None]:
    """Turn an `OSError` of this machine into a `MachineLimit`, or (a full disk, a missing permission) into an `IssueError`."""
    try:
        yield
    except OSError as error:
        limit = explain(error)
        if limit is not None:
            raise limit from error
        raise IssueError(Code.ISSUER_FAILED, clean(error)) from error


def _require_profile(shared: dict[str, Any] | None, profile: str) -> None:
    """Raise `IssueError` if the CA does not offer the `profile` of an order: it would refuse the order.

    Without a shared directory the CA decides. An order that was placed has its profile.
    """
    problem = "" if shared is None else find_missing_profile(shared, profile)
    if problem:
        raise IssueError(Code.CA_REFUSED, problem, order_dead=True)


def _environment(acme: AcmeSection) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SSLCTL_")}
    if acme.ca_bundle is not None:
        environment["REQUESTS_CA_BUNDLE"] = str(acme.ca_bundle)
    return environment
