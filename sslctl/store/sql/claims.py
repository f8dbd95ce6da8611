"""Claims: leases with an owner, a process.

An owner lives as long as it proves that (`lives`), whatever its deadline, the clock and the host name are. Owners written by earlier releases have no lock: their claim lasts until its deadline, or until the process of this host with
that number and start time has ended.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from sslctl.errors import Busy, ClaimLost, StateError
from sslctl.rules.claim_names import describe, describe_owner, domain_of
from sslctl.rules.model import Claim, Life, Milestone, Process
from sslctl.store.sql.connection import Row, Serial
from sslctl.store.sql.history import SqlHistory
from sslctl.store.sql.lives import LockFiles
from sslctl.store.sql.maintenance import SqlMilestones
from sslctl.store.sql.values import time_of
from sslctl.text import clean, instant

_ENDED = ("Z", "X")
# Each for many names at once: a server answers one statement at a time.
_FIND = "SELECT name, owner, until FROM lease WHERE name IN (SELECT value FROM {names})"
_TAKE = """INSERT INTO lease (owner, until, name) SELECT ?, ?, value FROM {names} WHERE TRUE
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until"""
_RELEASE = "DELETE FROM lease WHERE owner = ? AND name IN (SELECT value FROM {names})"


class SqlClaims(SqlMilestones, SqlHistory):
    """The store's `Claims`. By `_lives` the owners of claims prove that they live."""

    _lives: LockFiles
    _is_owner: bool = False

    @cached_property
    def _owner(self) -> str:
        """The owner of the claims that this process makes. The first use begins the proof that it lives."""
        identity = self._lives.begin()
        self._is_owner = True
        return _this_process(identity, self._clock())

    def _end_claims(self) -> None:
        """End the proof that this process lives: the claims that it still has are void then."""
        if self._is_owner:
            self._is_owner = False
            self._lives.end()

    def prove_alive(self) -> None:
        _ = self._owner

    def claim(self, names: Iterable[str], duration: timedelta) -> set[str]:
        self.prove_alive()
        wanted = set(names)
        with self._database.transaction() as run:
            self._database.serialise(Serial.CLAIMS)
            now = self._clock()
            found = run(self._of_names(_FIND), (json.dumps(sorted(wanted)),)).fetchall()
            held = {row["name"] for row in found if row["owner"] != self._owner and self._is_valid(row, now)}
            values = (self._owner, instant(now + duration), json.dumps(sorted(wanted - held)))
            run(self._of_names(_TAKE), values)
            return wanted - held

    def release(self, names: Iterable[str]) -> None:
        with self._database.transaction() as run:
            run(self._of_names(_RELEASE), (self._owner, json.dumps(sorted(names))))

    def require_claims(self, names: Iterable[str]) -> None:
        wanted = list(names)
        # Before the query: a process that is frozen after it may have lost the claim, and be seen again, when it wakes.
        proof = self._lives.proven_at()
        sql, values = self._of_names(_FIND), (json.dumps(wanted),)
        owners = dict(self._database.read(lambda row: (str(row["name"]), str(row["owner"])), sql, values))
        lost = next((name for name in wanted if owners.get(name) != self._owner), None)
        if lost is not None:
            raise ClaimLost(
                f"this process lost its claim on {describe(lost)}, so it stops before it changes anything more",
                hint="somebody broke the claim with `sslctl claims break`; run the command again",
            )
        if not self._lives.is_fresh(proof):
            raise ClaimLost(
                "this process cannot prove to other machines that it lives, so it stops before it changes anything more",
                hint="the database did not answer for half a minute; look at its server, then run the command again",
            )

    def _of_names(self, sql: str) -> str:
        return sql.format(names=self._database.dialect.texts("?"))

    def is_claimed(self, name: str) -> bool:
        """Return whether a process that is not known to have ended claims `name`."""
        return any(claim.is_valid for claim in self.claims() if claim.name == name)

    def claims(self) -> list[Claim]:
        now = self._clock()
        sql = "SELECT name, owner, until FROM lease ORDER BY name"
        return self._database.read(lambda row: claim_of(row, self._lives, now), sql)

    def break_claim(self, name: str, *, force: bool = False) -> Claim | None:
        with self._database.transaction() as run:
            self._database.serialise(Serial.CLAIMS)
            row = run("SELECT name, owner, until FROM lease WHERE name = ?", (name,)).fetchone()
            if row is None:
                return None
            claim = claim_of(row, self._lives, self._clock())
            if claim.is_valid and not force:
                life = "is alive" if claim.life is Life.ALIVE else "may be alive"
                raise Busy(
                    f"{describe_owner(claim.owner)} holds the claim on {describe(name)}, and {life}",
                    hint="end that process first; --force breaks the claim, and the process stops before its next change",
                )
            run("DELETE FROM lease WHERE name = ?", (name,))
            detail = clean(f"{describe(name)}, held by {describe_owner(claim.owner)}, {claim.life}")
            self.record_milestone(Milestone.CLAIM_BROKEN, detail)
            domain = run("SELECT id FROM domain WHERE name = ?", (domain_of(name) or "",)).fetchone()
            if domain is not None:
                self._append_event(domain["id"], "claim broken", detail)
            return claim

    def _is_valid(self, row: Row, now: datetime) -> bool:
        """Return whether the claim in `row` keeps others out."""
        return claim_of(row, self._lives, now).is_valid


def claim_of(row: Row, lives: LockFiles, now: datetime) -> Claim:
    """Return the claim in a row of `lease`; `lives` knows who lives, `now` is the time for claims without such a proof."""
    name, text = str(row["name"]), str(row["owner"])
    try:
        until = time_of(row["until"])
    except ValueError as error:
        raise StateError(
            f"the claim on {describe(name)} has no deadline",
            hint="the database is damaged: keep the file, and restore a backup",
        ) from error
    identity, owner = _parse(text)
    if identity:
        alive = lives.is_alive(identity)
        life = Life.UNKNOWN if alive is None else Life.ALIVE if alive else Life.DEAD
    elif is_gone(text) or until <= now:
        life = Life.DEAD
    else:
        life = Life.ALIVE if owner.host == socket.gethostname() else Life.UNKNOWN
    return Claim(name, owner, until, life)


def _this_process(identity: str, now: datetime) -> str:
    """Return this process as an owner of claims: a JSON object."""
    owner = {
        "lock": identity,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": instant(now),
        "boot": _read(Path("/proc/sys/kernel/random/boot_id")),
        "pid_namespace": _read_link(Path("/proc/self/ns/pid")),
    }
    return json.dumps(owner)


def _parse(owner: str) -> tuple[str, Process]:
    """Return the id of the owner's lock and the owner.

    The id is empty for an owner without a lock, and for one that cannot be read: its claim lasts until its deadline.
    """
    try:
        if not owner.startswith("{"):
            host, _, process = owner.rpartition("/")[0].rpartition("/")
            return "", Process(clean(host), int(process) if process.isdecimal() else 0, None)
        found = json.loads(owner)
        return str(found["lock"]), Process(
            clean(found["host"]),
            int(found["pid"]),
            time_of(found["since"]),
            clean(found["boot"]),
            clean(found["pid_namespace"]),
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        return "", Process("an unreadable host", 0, None)


def is_gone(owner: str) -> bool:
    """Return whether the owner without a lock is a process of this host that has ended. Other hosts cannot be examined."""
    host, _, process = owner.rpartition("/")[0].rpartition("/")
    started = owner.rpartition("/")[2]
    if host != socket.gethostname():
        return False
    return not process.isdigit() or _started(int(process)) != started


def _started(pid: int) -> str:
    try:
        # Fields 3 and 22 of /proc/PID/stat (proc(5)), counted after the command's closing bracket; it may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A zombie has ended, but stays until its parent waits for it.
        return "" if fields[0] in _ENDED else fields[19]
    except (OSError, IndexError):
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _read_link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
