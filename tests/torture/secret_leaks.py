"""Keys and tokens in runs with real certbot, searched for in everything that others could get.

The search covers every output, argument, environment, file, journal and temporary file at any moment of the run, and
the database and its copy at the end.
"""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from cryptography.fernet import Fernet

from sslctl.app import utc_now
from sslctl.certificates.x509 import make_csr, make_key
from sslctl.cli.main import COMMANDS
from sslctl.rules.model import Bundle, Order
from sslctl.sandbox.c4.faults import Fault, Operation
from sslctl.sandbox.cdn import SandboxCdn
from sslctl.store.interface.domains import Query
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.store import SqliteStore
from tests.support import environment_without_settings
from tests.support.fakes import FakeIssuer
from tests.torture import secret_search
from tests.torture.case import Case
from tests.torture.process_observer import ProcessObserver, descendants, open_read_only
from tests.torture.secret_search import Secret

TITLE = "Secrets"
TARGET = "0 keys or tokens in a wrong place; no core dump; no file that other users can read"

_LIVES = {True: 1, False: 4}
_ISSUED, _PASTED, _KILLED, _REFUSED = (
    f"{name}.example.test" for name in ("issued", "pasted", "killed", "refused")
)
# The status codes with which C4 refuses an upload.
_STATUSES = {True: (422,), False: (400, 422, 500)}
_PASSWORD = b"pass w0rd of a PKCS#12 file, 5b1e"
_OWNER_ALONE = 0o600


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """See `FaultClass.run`."""
    runs = []
    for number in range(_LIVES[small]):
        with SandboxCdn(folder / str(number), clock=utc_now) as world:
            run = _Run(world)
            run.perform(small=small)
            run.look_at_the_end()
            runs.append(run)
    yield _case(runs, "keys, tokens and a password in every output and file", "texts")
    yield _case(runs, "arguments and environment of sslctl, certbot and its forks", "processes")
    yield _case(runs, "modes of the state's files and temporary files, at any moment", "files")
    yield _case(runs, "encrypted keys of ended orders in the database's raw bytes", "closed orders")
    yield _case(runs, "SIGABRT of sslctl and its children during an order, core dumps allowed", "aborted")
    yield _case(runs, "downloaded keys: their mode, and no other copy", "downloads")


def _case(runs: Iterable[_Run], fault: str, counted: str) -> Case:
    runs = list(runs)
    violations = [violation for run in runs for violation in run.violations[counted]]
    tries = sum(run.counts[counted] for run in runs)
    secrets = sum(run.counts["secrets"] for run in runs)
    found = f"{secrets} secrets in {len(runs)} runs" if counted == "texts" else ""
    return Case(fault, tries, violations, found)


class _Run:
    """One run; `counts` and `violations` are by what was checked."""

    def __init__(self, world: SandboxCdn) -> None:
        self.counts = Counter[str]()
        self.violations: dict[str, list[str]] = {
            counted: []
            for counted in ("texts", "processes", "files", "closed orders", "aborted", "downloads")
        }
        self._world = world
        self._state = world.folder / "state"
        self._inputs, self._downloads, self._scratch = (
            world.folder / name for name in ("inputs", "downloads", "scratch")
        )
        for made in (self._inputs, self._scratch):
            made.mkdir(mode=0o700)
        environment = environment_without_settings(SSLCTL_CONFIG=str(world.config_path), SSLCTL_DEBUG="1")
        self._observer = ProcessObserver(environment, self._state, self._scratch)
        self._pasted = make_key("ecdsa")
        self._codes: list[tuple[str, int]] = []

    # Actions

    def perform(self, *, small: bool) -> None:
        """Take domains through everything that can happen to them."""
        names = (_ISSUED, _PASTED, _KILLED, _REFUSED)
        for name in names:
            self._world.add_domain(name)
        self._sslctl(0, "add", _ISSUED)
        pair = self._write_pair()
        self._sslctl(0, "add", _PASTED, *pair)
        self._hear_everything_back(pair, _STATUSES[small])
        self._fail_at_the_ca()
        self._be_killed()
        self._misplace(pair, small=small)
        self._look()
        self._download(small=small)
        for command in () if small else COMMANDS:
            self._sslctl(0, command, "--help")
        self._sslctl(0, "--help")
        self._sslctl(0, "delete", *names, "--yes")
        self._sslctl(0, "list", "--deleted")

    def _sslctl(self, expected: int, *arguments: str, **more: str) -> None:
        code = self._observer.run(*arguments, settings=more)
        if code != expected:
            # Code that did not run had no chance to disclose anything.
            outcome = f"{' '.join(arguments)} ended with {code}, wanted {expected}"
            self.violations["texts"].append(f"the run took another path: {outcome}")

    def _hear_everything_back(self, pair: tuple[str, ...], statuses: Iterable[int]) -> None:
        """Let C4 quote the token and the key in its refusals."""
        for status in statuses:
            self._world.c4.set_faults(Fault(kind=Operation.UPLOAD, status=status, echo=True))
            self._sslctl(7, "recheck", _ISSUED, "--force-renew")
            self._sslctl(7, "add", _PASTED, *self._write_pair())
            self._sslctl(7, "daemon-tick", "--json")
            self._look()
            self._world.c4.set_faults(Fault(status=status, echo=True))
            # The Emergencies are kept while C4 does not answer.
            self._sslctl(7, "recheck", _ISSUED, _PASTED)
            self._sslctl(75, "delete", _ISSUED, "--yes")
        self._world.c4.heal()
        self._sslctl(0, "recheck", _ISSUED)
        self._sslctl(0, "add", _PASTED, *pair)

    def _fail_at_the_ca(self) -> None:
        """Let the CA be down, then find no challenge file, which ends the order and destroys its key."""
        nowhere = {"SSLCTL_ACME_DIRECTORY_URL": "https://127.0.0.1:1/dir"}
        self._sslctl(3, "recheck", _ISSUED, "--force-renew", **nowhere)
        empty = self._world.folder / "empty"
        empty.mkdir(mode=0o700)
        self._sslctl(4, "add", _REFUSED, SSLCTL_ACME_WEBROOT=str(empty))
        self._sslctl(0, "recheck", _ISSUED, _REFUSED)

    def _be_killed(self) -> None:
        """Kill and abort sslctl during an order, then continue the order."""
        self._observer.run("add", _KILLED, end_by=signal.SIGKILL, once=self._is_ordered)
        # The fork server and its child at work.
        code = self._observer.run(
            "recheck", _KILLED, end_by=signal.SIGABRT, once=lambda process: len(descendants(process)) > 1
        )
        self.counts["aborted"] += code == -signal.SIGABRT
        self._sslctl(0, "recheck", _KILLED)
        seen = self._observer.seen
        cores = [path for path in seen.files if path.name.startswith("core")]
        self.violations["aborted"] += [f"{path} was written" for path in cores]
        self.violations["aborted"] += [f"core dumps are enabled for {command}" for command in seen.with_cores]

    def _misplace(self, pair: tuple[str, ...], *, small: bool) -> None:
        """Pass secrets in place of other files: error messages must not quote them."""
        _, certificate, _, key, *_ = pair
        self._sslctl(2, "add", "--from-file", key)
        if small:
            return
        self._sslctl(8, "--config", key, "list")
        self._sslctl(2, "add", _PASTED, "--cert", key, "--key", certificate)
        token = self._write("token", (self._world.folder / "c4-token").read_bytes() * 2)
        self._sslctl(8, "recheck", _ISSUED, SSLCTL_C4_TOKEN_FILE=str(token))
        for content in (key, str(self._state / "master.key")):
            broken = self._write("broken.key", Path(content).read_bytes()[:-3])
            self._sslctl(8, "download", _ISSUED, SSLCTL_STATE_KEY_FILE=str(broken))

    def _look(self) -> None:
        self._sslctl(0, "view", _ISSUED)
        self._sslctl(0, "view", _PASTED, "--json")
        self._sslctl(0, "list", "--json")

    def _download(self, *, small: bool) -> None:
        password = self._write("password", _PASSWORD)
        for name in (_ISSUED, _PASTED):
            folder = str(self._downloads / name)
            self._sslctl(0, "download", name, "-o", folder)
            if small:
                continue
            pkcs12 = ("--format", "pkcs12", "--password-file", str(password))
            self._sslctl(0, "download", name, "-o", folder, *pkcs12)
            self._sslctl(2, "download", name, "-o", folder)

    def _write_pair(self) -> tuple[str, ...]:
        """Write a pair with the known key; return the options of `add` that name it."""
        names = (_PASTED,)
        issued = FakeIssuer(utc_now).issue(
            Order(0, 0, names, make_csr(self._pasted, names), utc_now()), lambda _url: None
        )
        bundle = Bundle(issued.certificate, issued.chain, self._pasted)
        parts = {"cert": bundle.certificate, "key": bundle.private_key, "chain": bundle.chain}
        options = []
        for part, text in parts.items():
            options += [f"--{part}", str(self._write(f"{part}.pem", text.encode()))]
        return tuple(options)

    def _write(self, name: str, content: bytes) -> Path:
        path = self._inputs / name
        path.write_bytes(content)
        path.chmod(_OWNER_ALONE)
        return path

    def _is_ordered(self, _process: int) -> bool:
        sql = "SELECT 1 FROM acme_order WHERE closed_at IS NULL AND url IS NOT NULL"
        try:
            with closing(open_read_only(self._state / "sslctl.db")) as connection:
                return bool(connection.execute(sql).fetchall())
        except sqlite3.Error:
            return False

    # Results

    def look_at_the_end(self) -> None:
        """Search for all secrets in everything observed and in what is left."""
        seen, database = self._observer.seen, self._state / "sslctl.db"
        self._copy(database)
        seen.look_into(self._world.folder / "pebble")
        every = self._secrets()
        self.counts.update(texts=len(seen.texts), processes=len(seen.processes), files=len(seen.files))
        self.counts["secrets"] = len(every)
        for secret, where in secret_search.find(every, seen.texts.values()):
            if not self._belongs(secret, where):
                kind = "processes" if where.startswith(("cmdline", "environ")) else "texts"
                self.violations[kind].append(f"{secret.what} was found in {where}")
        self.violations["files"] += [f"others can read {path}" for path in sorted(seen.open_to_others)]
        self.counts["closed orders"] = len(seen.sealed_keys)
        self.violations["closed orders"] += [
            "the encrypted key of an ended order is still in the database" for _ in seen.left_keys
        ]
        self._look_at_downloads()
        self._require_sight(every)

    def _secrets(self) -> list[Secret]:
        master = self._state / "master.key"
        account = next((self._state / "acme" / "accounts").rglob("private_key.json"))
        fernet = Fernet(master.read_bytes().split()[0])
        orders = {fernet.decrypt(sealed).decode() for sealed in self._observer.seen.sealed_keys}
        return [
            secret_search.from_text("C4's token", (self._world.folder / "c4-token").read_bytes().strip()),
            secret_search.from_text("the password", _PASSWORD),
            secret_search.from_key("the pasted key", self._pasted),
            secret_search.from_account(account),
            *secret_search.from_key_file(master),
            *(
                secret_search.from_key("a certificate's key", key)
                for key in self._stored_keys() - {self._pasted}
            ),
            *(secret_search.from_key("an order's key", key) for key in orders),
        ]

    def _stored_keys(self) -> set[str]:
        keyring = Keyring(self._state / "master.key")
        store = SqliteStore(self._state / "sslctl.db", keyring, clock=utc_now, actor="checker (torture)")
        with closing(store):
            deleted = list(store.domains(Query(deleted=True), utc_now()))
            versions = [version for domain in deleted for version in store.certificates(domain)]
            return {store.bundle(version).private_key for version in versions}

    def _copy(self, database: Path) -> None:
        """Copy the database as a backup does, and have the copy searched too."""
        copy = self._world.folder / "copy.db"
        with closing(sqlite3.connect(database)) as ours, closing(sqlite3.connect(copy)) as theirs:
            ours.backup(theirs)
        self._observer.seen.add("a copy of the database", copy.read_bytes())
        self._observer.seen.add("the database", database.read_bytes())

    def _belongs(self, secret: Secret, where: str) -> bool:
        """Return whether `secret` may stand in the file `where`."""
        homes = {
            # The second exists while the key file is being created.
            "the master key": (self._state / "master.key", self._state / ".master.key.new"),
            "the account's key": (self._state / "acme" / "accounts",),
        }
        return any(Path(where).is_relative_to(home) for home in homes.get(secret.what, ()))

    def _look_at_downloads(self) -> None:
        files = [path for path in self._downloads.rglob("*") if path.is_file()]
        self.counts["downloads"] = len(files)
        self.violations["downloads"] += [
            f"others can read {path}" for path in files if path.stat().st_mode & 0o777 != _OWNER_ALONE
        ]

    def _require_sight(self, every: Iterable[Secret]) -> None:
        """Check that the search finds each secret in a place where it must be."""
        places = {
            "the pasted key": self._downloads / _PASTED / "privkey.pem",
            "the master key": self._state / "master.key",
            "the account's key": next((self._state / "acme" / "accounts").rglob("private_key.json")),
            "C4's token": self._world.folder / "c4-token",
        }
        for what, path in places.items():
            if not any(secret.what == what and secret.is_in(path.read_bytes()) for secret in every):
                self.violations["texts"].append(f"the search does not find {what} in {path}, where it is")
        issued = (self._downloads / _ISSUED / "privkey.pem").read_bytes()
        if not any(secret.what == "a certificate's key" and secret.is_in(issued) for secret in every):
            self.violations["texts"].append("the search does not find the key that was downloaded")
