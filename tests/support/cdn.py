"""A CDN for tests: the reference C4 over real HTTPS, a real DNS server, a real store, and the fake CA; no Pebble."""

from __future__ import annotations

import io
import json
import os
import re
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import dns.name
import trustme

from sslctl.app import App
from sslctl.cli.main import run
from sslctl.rules.model import Bundle
from sslctl.sandbox.c4.server import ReferenceC4
from tests.support.dns_zone import DnsZone
from tests.support.fakes import Clock, FakeIssuer
from tests.support.json_schemas import check_output

SUFFIX = "cdn.test"
FIRST_CA, OTHER_CA = "https://ca.test/directory", "https://other.test/directory"


@dataclass(frozen=True)
class Result:
    """The result of a command."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.stdout)


class Cdn:
    """A CDN for tests; use as a context manager. `clock` is that of sslctl, and of C4 and the CA unless `outside` is given.

    C4's own certificate comes from `authority`, which sslctl trusts. With `has_state` sslctl begins with an empty state, in PostgreSQL if `state_url` names a database.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        activation_seconds: float = 0,
        authority: trustme.CA | None = None,
        outside: Callable[[], datetime] | None = None,
        has_state: bool = True,
        state_url: str = "",
    ) -> None:
        self._has_state = has_state
        self._state_url = state_url
        self.is_json_checked = True
        self.folder = folder
        self.clock = clock
        self.issuer = FakeIssuer(outside or clock)
        self.other_issuer: FakeIssuer | None = None
        self.zone = DnsZone()
        self._authority = authority or trustme.CA()
        self._stack = ExitStack()
        self.c4 = ReferenceC4(
            folder / "c4",
            token="s3cret-token",
            tls=self._tls(),
            clock=outside or clock,
            activation_seconds=activation_seconds,
        )

    def __enter__(self) -> Self:
        self._stack.enter_context(self.zone)
        self._stack.enter_context(self.c4)
        self._configure()
        if self._has_state:
            self.make_state()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add_domain(
        self,
        name: str,
        *,
        points_at: str | None = None,
        ports: Sequence[int] = (80, 443),
        customer: str = "",
    ) -> None:
        """Create a domain of `customer` that points at the CDN, or at `points_at`."""
        target = f"{name}.{SUFFIX}"
        self.c4.create_domain(name, cname_target=target, ports=ports, customer=customer)
        self.point(name, points_at or target)

    def point(self, name: str, target: str) -> None:
        """Set the CNAME of `name`."""
        self.zone.add(name, "CNAME", target)
        self.zone.add(target, "A", "192.0.2.1")

    def clear_dns(self, name: str) -> DnsZone:
        """Remove the records and faults of `name` from DNS; return the zone."""
        owner = dns.name.from_text(name)
        self.zone.mend(name)
        for key in [key for key in self.zone._records if key[0] == owner]:
            del self.zone._records[key]
        return self.zone

    def uploads(self, name: str) -> list[int | None]:
        """Return C4's answers to the uploads for `name`, in order."""
        path = f"/v1/domains/{name}/certificate"
        return [
            request.status for request in self.c4.requests if (request.method, request.path) == ("PUT", path)
        ]

    def installed(self, name: str) -> str | None:
        """Return the fingerprint of what the edge serves for `name`."""
        placed = self.c4.serving(name)
        return None if placed is None else placed.fingerprint

    def text_pair(self, *names: str, days: float = 90) -> Bundle:
        """Return a customer's own pair, from a CA that sslctl does not know, valid from now on."""
        return FakeIssuer(self.clock, timedelta(days=days)).pair(*names)

    def paste(self, bundle: Bundle) -> tuple[str, ...]:
        """Write a pair into files; return the options of `add` that name them."""
        parts = {"cert": bundle.certificate, "key": bundle.private_key, "chain": bundle.chain}
        options = []
        for part, text in parts.items():
            path = self.folder / f"{sha256(text.encode()).hexdigest()[:16]}.pem"
            path.write_text(text)
            options += [f"--{part}", str(path)]
        return tuple(options)

    def add_other_ca(self, settings: str = "") -> FakeIssuer:
        """Configure a fallback CA, with more lines of `settings`, and return it."""
        with self.config_path.open("a") as file:
            file.write(f"""
            [[acme.fallback]]
            directory_url = "{OTHER_CA}"
            caa_identities = ["other.test"]
            {settings}
            """)
        self.other_issuer = FakeIssuer(self.clock)
        return self.other_issuer

    def make_state(self) -> None:
        """Create the state, as `sslctl init` does."""
        app = self.app()
        app.make_state(with_key=True)
        app.close()

    def app(self) -> App:
        """Return sslctl's components, as one command composes them."""
        app = App(self.config_path, self.clock)
        app.issuers = {os.environ.get("SSLCTL_ACME_DIRECTORY_URL", FIRST_CA): self.issuer}
        if self.other_issuer is not None:
            app.issuers[OTHER_CA] = self.other_issuer
        app.retry_sleep = _sleep_if_asked
        return app

    def sslctl(self, *arguments: str, stdin: str = "", app: App | None = None) -> Result:
        """Run a command in this process, with components of its own unless `app` is given.

        JSON that its schema does not describe is an error, unless `is_json_checked` is False, for a damaged database.
        """
        stdout, stderr = io.StringIO(), io.StringIO()
        with redirect_stdout(stdout), redirect_stderr(stderr), _stdin(stdin):
            code = run(list(arguments), app or self.app())
        if self.is_json_checked:
            check_output(arguments, stdout.getvalue())
        return Result(code, stdout.getvalue(), stderr.getvalue())

    def use_reload_command(self, program: str) -> None:
        """Configure another reload command for the folder."""
        text = self.config_path.read_text()
        self.config_path.write_text(
            re.sub("(?m)^reload_command = .*", f'reload_command = ["{program}"]', text)
        )

    def use_folder(self, root: Path, *reload_command: str, more: str = "") -> None:
        """Configure the folder `root` in place of C4, with the lines `more` in its section."""
        text = self.config_path.read_text()
        start, end = text.index("[c4]"), text.index("[cdn]")
        command = ", ".join(f'"{word}"' for word in reload_command)
        section = f'[folder]\ndir = "{root}"\ncname_target = "edge.{SUFFIX}"\nreload_command = [{command}]\n{more}\n'
        self.config_path.write_text(f"{text[:start]}[c4]\nactivation_seconds = 0.5\n{section}{text[end:]}")

    @property
    def config_path(self) -> Path:
        """The configuration file."""
        return self.folder / "config.toml"

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        return context

    def _configure(self) -> None:
        token, bundle = self.folder / "token", self.folder / "ca.pem"
        token.write_text("s3cret-token\n")
        token.chmod(0o600)
        self._authority.cert_pem.write_to_path(str(bundle))
        self.config_path.write_text(f"""
            [state]
            dir = "{self.folder}/state"
            url = "{self._state_url}"
            [acme]
            directory_url = "{FIRST_CA}"
            ca_bundle = "{bundle}"
            workers = 4
            caa_identities = ["ca.test"]
            [c4]
            base_url = "{self.c4.url}"
            token_file = "{token}"
            ca_bundle = "{bundle}"
            timeout_seconds = 5
            activation_seconds = 0.5
            [cdn]
            cname_suffixes = ["{SUFFIX}"]
            probe_ports = false
            [dns]
            resolvers = ["127.0.0.1:{self.zone.address[1]}"]
            timeout_seconds = 2
            """)


def _sleep_if_asked(seconds: float) -> None:
    """Wait as long as C4 asked with `Retry-After`. The pause of its client without one is shorter, and is left out."""
    if seconds >= 1:
        time.sleep(seconds)


class _Stdin(io.TextIOWrapper):
    """A standard input that holds a text, with a `buffer` of its bytes, as that of a process has."""

    def __init__(self, text: str) -> None:
        content = io.BytesIO(text.encode())
        content.name = "<stdin>"
        super().__init__(content, encoding="utf-8")


@contextmanager
def _stdin(text: str) -> Iterator[None]:
    before, sys.stdin = sys.stdin, _Stdin(text)
    try:
        yield
    finally:
        sys.stdin = before
