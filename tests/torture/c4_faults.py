"""Every fault of C4 at every operation: the right status, no extra order, no secret disclosed, and recovery afterwards.

sslctl runs in this process, with real HTTPS to the reference C4 through a proxy that misbehaves below HTTP and below
TLS (`c4_proxy`). `c4_fault_table` has the expected outcome of each fault. The timeout of a read is one second here.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import trustme

from sslctl.control_plane.c4.client import C4Client
from sslctl.errors import Exit
from sslctl.rules.model import Source
from sslctl.rules.reasons import REASONS, Code, Status
from sslctl.sandbox.c4.faults import Operation
from tests.support.cdn import Cdn, Result
from tests.support.fakes import START, Clock
from tests.support.misbehaving import Behaviour, Misbehaving, answering
from tests.torture.c4_fault_table import (
    DELETING,
    LOOKUP,
    OPERATIONS,
    READBACK,
    RENEWAL,
    REPLACING,
    UPLOAD,
    C4Fault,
    faults,
)
from tests.torture.c4_proxy import C4Proxy, context_of, distrusted
from tests.torture.case import Case
from tests.torture.invariants import Outside, violations

TITLE = "C4"
TARGET = "invariants; token to no other host; 0 orders caused"

_TOKEN = "s3cret-token"
_SECOND = timedelta(seconds=1)
# A few reads with a timeout of a second each, and the retries between them, on a busy machine.
_LONGEST_SECONDS = 15
_MOST_KIB = 32 << 10
_EXITS = {
    Status.SUCCESS: Exit.OK,
    Status.PENDING: Exit.PENDING,
    Status.FAILURE: Exit.FAILURE,
    Status.DISCARD: Exit.DISCARD,
    Status.EMERGENCY: Exit.EMERGENCY,
}
# The request to C4 right before the operation: TLS fails after it.
_BEFORE = {
    RENEWAL: Operation.LOOKUP,
    UPLOAD: Operation.LOOKUP,
    READBACK: Operation.UPLOAD,
    REPLACING: Operation.UPLOAD,
}
_KINDS = {
    LOOKUP: Operation.LOOKUP,
    UPLOAD: Operation.UPLOAD,
    RENEWAL: Operation.UPLOAD,
    READBACK: Operation.READBACK,
    REPLACING: Operation.REMOVE,
    DELETING: Operation.REMOVE,
}


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Inject each fault at each operation, then the faults that take several steps."""
    authority = trustme.CA()
    with (
        Misbehaving(answering(200, {})) as plain,
        Misbehaving(answering(200, {}), tls=context_of(authority.issue_cert("localhost"))) as other,
    ):
        elsewhere = {"http": plain.url, "another host": other.url.replace("127.0.0.1", "localhost")}
        redirects, clock = 0, Clock()
        for number, fault in enumerate(faults(clock, elsewhere, distrusted(authority))):
            if fault.small or not small:
                redirects += "redirect" in fault.name
                clock.at = START
                with _World(folder / str(number), authority, clock) as world:
                    yield _case(world, fault)
        came = [
            f"{each.connections} connections to {each.url}" for each in (plain, other) if each.connections
        ]
        yield Case("targets of redirects: plain http, another host", redirects * len(OPERATIONS), came)
    for number, (name, do) in enumerate(_OTHERS.items()):
        world = _World(folder / f"other-{number}", authority, Clock(), _ACTIVATION[name])
        with world:
            yield Case(name, 1, [*do(world), *world.check()])


class _World:
    """A CDN with a proxy in front of its C4; use as a context manager.

    `most_orders` is how many orders a name may have cost, if not 1.
    """

    def __init__(
        self, folder: Path, authority: trustme.CA, clock: Clock, activation_seconds: float = 0
    ) -> None:
        folder.mkdir()
        self.most_orders = Counter[str]()
        self._stack = ExitStack()
        self.cdn = Cdn(folder, clock, authority=authority, activation_seconds=activation_seconds)
        self._authority = authority
        self._outside = Outside(self.cdn.issuer.serials, self.orders, self.cdn.installed)

    def __enter__(self) -> Self:
        self._stack.enter_context(self.cdn)
        self.proxy = self._stack.enter_context(C4Proxy(self.cdn.c4.url, self._authority))
        config = self.cdn.config_path
        text = config.read_text().replace(self.cdn.c4.url, self.proxy.url)
        config.write_text(text.replace("timeout_seconds = 5", "timeout_seconds = 1"))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def orders(self) -> Counter[str]:
        """Return how many orders were placed, by name."""
        return self.cdn.issuer.orders_by_name()

    def look(self, name: str) -> Any:
        """Return the domain as `view --json` prints it."""
        return self.cdn.sslctl("view", name, "--json").json["domain"]

    def check(self, *, healthy: Iterable[str] | None = None) -> list[str]:
        """Return which invariants do not hold now."""
        return violations(
            self.cdn.folder / "state",
            self._outside,
            self.cdn.clock(),
            most_orders=lambda name: self.most_orders[name] or 1,
            healthy=healthy,
        )


def _case(world: _World, fault: C4Fault) -> Case:
    """Inject `fault` at each operation in turn, each time with a domain of its own."""
    found, slowest, largest, tries = list[str](), 0.0, 0, 0
    for operation in (each for each in OPERATIONS if each in fault.operations):
        attempt = _Attempt(world, fault, operation, f"d{tries}.shop.test")
        found += [f"{operation}: {what}" for what in attempt.violations()]
        slowest, largest = max(slowest, attempt.seconds), max(largest, attempt.kib)
        tries += 1
    return Case(fault.name, tries, found, f"at most {slowest:.1f} s, {largest >> 10} MB more memory")


class _Attempt:
    """One operation that meets one fault. `seconds` and `kib` are the time and memory of the command."""

    def __init__(self, world: _World, fault: C4Fault, operation: str, name: str) -> None:
        self._world, self._cdn, self._proxy = world, world.cdn, world.proxy
        self._fault, self._operation, self._name = fault, operation, name
        self._orders = 2 if operation == RENEWAL else 1
        world.most_orders[name] = self._orders
        self.seconds, self.kib = 0.0, 0

    def violations(self) -> Iterator[str]:
        """Prepare the domain, fault, look, heal, look again."""
        self._prepare()
        self._proxy.inject(_KINDS[self._operation], self._fault.fault, after=_BEFORE.get(self._operation))
        result = self._measured(self._command)
        yield from self._bounds()
        yield from self._secrets(result)
        if self._operation == DELETING:
            yield from self._after_delete(result)
        else:
            yield from self._after_pass(result)
        yield from self._world.check()

    def _prepare(self) -> None:
        self._cdn.add_domain(self._name)
        if self._operation == REPLACING:
            pair = self._cdn.text_pair(self._name, days=30)
            self._require(self._cdn.sslctl("add", self._name, *self._cdn.paste(pair)))
        if self._operation in (RENEWAL, DELETING):
            self._require(self._cdn.sslctl("add", self._name))
        if self._operation == RENEWAL:
            self._cdn.clock.move(days=83)

    def _require(self, result: Result) -> None:
        assert result.exit_code == Exit.OK, (self._fault.name, self._operation, result)

    def _command(self) -> Result:
        if self._operation == DELETING:
            return self._cdn.sslctl("delete", self._name, "--yes")
        if self._operation == RENEWAL:
            return self._cdn.sslctl("daemon-tick")
        return self._cdn.sslctl("add", self._name)

    def _measured(self, do: Callable[[], Result]) -> Result:
        began, before = time.monotonic(), _peak(anew=True)
        result = do()
        self.seconds, self.kib = time.monotonic() - began, _peak() - before
        return result

    def _bounds(self) -> Iterator[str]:
        if self.seconds > _LONGEST_SECONDS:
            yield f"I8: it took {self.seconds:.0f} s"
        if self.kib > _MOST_KIB:
            yield f"it took {self.kib >> 10} MB"

    def _secrets(self, result: Result) -> Iterator[str]:
        said = result.stdout + result.stderr + self._cdn.sslctl("view", self._name, "--json").stdout
        sent = [
            json.loads(each.partition(b"\r\n\r\n")[2]) for each in self._proxy.requests if each[:3] == b"PUT"
        ]
        keys = {
            line for each in sent for line in each["private_key"].split("\n") if line[:5] not in ("", "-----")
        }
        parts = {line[start : start + 16] for line in keys for start in range(0, len(line) - 16, 16)}
        if _TOKEN in said or any(part in said for part in parts):
            yield "I5: the token or a key was printed"

    def _after_delete(self, result: Result) -> Iterator[str]:
        if result.exit_code != self._fault.exit_code:
            yield f"I8: delete ended with {result.exit_code} instead of {self._fault.exit_code}: {result.stderr}"
        self._proxy.heal()
        if result.exit_code != Exit.OK:
            # If the look-up fails too, the domain is Pending until the next tick.
            yield from self._world.check(healthy=())
            again = self._cdn.sslctl("delete", self._name, "--yes")
            if again.exit_code != Exit.OK:
                yield f"no recovery: delete ends with {again.exit_code}: {again.stderr}"
            if self._cdn.installed(self._name):
                yield "I6: the deleted certificate is still on C4"

    def _after_pass(self, result: Result) -> Iterator[str]:
        code = None if self._is_suspected else self._fault.codes[self._operation]
        status = REASONS[code].status if code else Status.SUCCESS
        yield from self._judged(result, code, status)
        domain = self._world.look(self._name)
        owed = 0 if self._operation == LOOKUP and code else self._orders
        if self._world.orders()[self._name] != owed:
            yield f"I2: {self._world.orders()[self._name]} orders during the fault, wanted {owed}"
        yield from self._world.check(healthy=())
        retry_at = domain["reason"] and domain["reason"]["retry_at"]
        wanted = _retry_at(status, self._fault.retry_after, self._cdn.clock())
        if retry_at != (wanted and f"{wanted:%Y-%m-%dT%H:%M:%SZ}"):
            yield f"retry at {retry_at}, wanted {wanted}"
        yield from self._healed(wanted, owed)

    def _judged(self, result: Result, code: Code | None, status: Status) -> Iterator[str]:
        domain = self._world.look(self._name)
        found = (domain["status"], domain["reason"] and domain["reason"]["code"])
        if found != (status, code):
            yield f"found {found} instead of {(status.value, code and code.value)}: {result.stdout}"
        wanted = Exit.TRY_LATER if self._is_suspected else _EXITS[status]
        if self._operation == RENEWAL and wanted not in (Exit.OK, Exit.EMERGENCY):
            wanted = Exit.SOME_NOT_WELL
        if result.exit_code != wanted:
            yield f"I8: it ended with {result.exit_code} instead of {wanted}: {result.stdout} {result.stderr}"

    @property
    def _is_suspected(self) -> bool:
        return self._operation in self._fault.suspected

    def _healed(self, retry_at: datetime | None, orders: int) -> Iterator[str]:
        """Remove the fault; yield an error unless the domain is retried at `retry_at`, and not a second before."""
        asked = self._asked()
        if retry_at is not None and retry_at > self._cdn.clock():
            self._cdn.clock.at = retry_at - _SECOND
            self._cdn.sslctl("daemon-tick")
            if self._asked() != asked:
                yield "C4 is asked again before the retry time"
            self._cdn.clock.at = retry_at
        self._proxy.heal()
        waits_for_a_person = retry_at is None and self._world.look(self._name)["reason"]
        again = self._cdn.sslctl(*(("recheck", self._name) if waits_for_a_person else ("daemon-tick",)))
        found = self._world.look(self._name)
        if (again.exit_code, found["status"]) != (Exit.OK, Status.SUCCESS):
            yield f"no recovery: {again.exit_code}, {found['status']}: {again.stdout} {again.stderr}"
        wanted = orders or 1
        if self._world.orders()[self._name] != wanted:
            yield f"I2: {self._world.orders()[self._name]} orders after recovery, wanted {wanted}"

    def _asked(self) -> int:
        return sum(self._name.encode() in each.partition(b"\r\n")[0] for each in self._proxy.requests)


def _retry_at(status: Status, retry_after: timedelta | None, now: datetime) -> datetime | None:
    """Return when the tick takes a domain up again, as docs/reasons.md states."""
    if status in (Status.SUCCESS, Status.DISCARD):
        return None
    if retry_after is None:
        return now + timedelta(minutes=1) if status is Status.PENDING else now
    seconds = int(now.timestamp())
    midnight = datetime.fromtimestamp(seconds - (seconds + 8 * 3600) % 86_400 + 86_400, UTC)
    return min(now + retry_after, midnight)


def _peak(*, anew: bool = False) -> int:
    """Return the peak memory of this process in KiB; with `anew` reset it first, so that it is the current memory."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


# Faults that take several steps


def _activated_late(world: _World) -> Iterator[str]:
    """C4 takes an hour to activate: nothing is uploaded or ordered twice in that time."""
    world.cdn.add_domain("late.test")
    result = world.cdn.sslctl("add", "late.test")
    for minutes in (1, 10, 30):
        if (world.look("late.test")["reason"] or {}).get("code") != Code.C4_ACTIVATING:
            yield f"it is {world.look('late.test')['status']}: {result.stdout}"
        world.cdn.clock.move(minutes=minutes)
        result = world.cdn.sslctl("daemon-tick")
    world.cdn.clock.move(hours=2)
    world.cdn.sslctl("daemon-tick")
    if len(world.cdn.uploads("late.test")) != 1:
        yield f"it was uploaded {len(world.cdn.uploads('late.test'))} times"


def _read_back_another(world: _World) -> Iterator[str]:
    """Another client replaces our certificate on C4 right after our upload; it stays, and is replaced when it is due."""
    cdn = world.cdn
    cdn.add_domain("other.test")
    token, bundle = cdn.folder / "token", cdn.folder / "ca.pem"
    intruder = C4Client(cdn.c4.url, token, bundle, 5, cdn.clock)

    def intrude(ask: Callable[[], bytes]) -> Behaviour:
        intruder.upload("other.test", cdn.text_pair("other.test"), Source.C4)
        return lambda sock, server: server.send(sock, ask())

    world.proxy.inject(Operation.READBACK, intrude)
    result = cdn.sslctl("add", "other.test")
    if (world.look("other.test")["reason"] or {}).get("code") != Code.C4_MISMATCH:
        yield f"it is {world.look('other.test')['status']}: {result.stdout}"
    if result.exit_code != Exit.EMERGENCY:
        yield f"I8: it ended with {result.exit_code}"
    theirs = cdn.installed("other.test")
    for _ in range(2):
        result = cdn.sslctl("daemon-tick")
        if result.exit_code != Exit.OK or cdn.installed("other.test") != theirs:
            yield f"I9: it was replaced, or the tick ended with {result.exit_code}: {result.stdout}"
    if [warning["code"] for warning in world.look("other.test")["warnings"]] != [Code.KEY_MISSING]:
        yield "nobody is warned of the other certificate"
    world.proxy.heal()
    intruder.remove("other.test")
    cdn.sslctl("recheck", "other.test")
    intruder.close()


def _waited_within_a_call(world: _World) -> Iterator[str]:
    """The call itself waits for a short `Retry-After`, to the second."""
    at = list[float]()

    def be_busy(ask: Callable[[], bytes]) -> Behaviour:
        at.append(time.monotonic())
        if len(at) % 3:
            return answering(429, {}, "Retry-After: 2\r\n")
        return lambda sock, server: server.send(sock, ask())

    world.proxy.inject(Operation.LOOKUP, be_busy)
    world.cdn.add_domain("soon.test")
    result = world.cdn.sslctl("add", "soon.test")
    if result.exit_code != Exit.OK:
        yield f"it ended with {result.exit_code}: {result.stdout}"
    waits = [later - earlier for earlier, later in pairwise(at[:3])]
    if not all(2 <= wait < 3 for wait in waits):
        yield f"it waited {waits} s"


def _plain_http(world: _World) -> Iterator[str]:
    """A C4 URL without https is refused before the token is read, whatever its host looks like."""
    config = world.cdn.config_path
    text = config.read_text()
    for host in (
        "c4.example.net",
        "192.0.2.1",
        "127.0.0.1.example.net",
        "127.0.0.1@c4.example.net",
        "0x7f000001",
        "[::ffff:7f00:1]",
    ):
        config.write_text(text.replace(world.proxy.url, f"http://{host}"))
        result = world.cdn.sslctl("add", "plain.test")
        if result.exit_code != Exit.UNUSABLE:
            yield f"http://{host} is accepted"
    config.write_text(text)
    world.cdn.add_domain("plain.test")
    world.cdn.sslctl("add", "plain.test")


_OTHERS: dict[str, Callable[[_World], Iterator[str]]] = {
    "late activation: C4 takes an hour": _activated_late,
    "read-back of a certificate that another client uploaded": _read_back_another,
    "429 with Retry-After: 2, twice": _waited_within_a_call,
    "a C4 URL with plain http": _plain_http,
}
_ACTIVATION = dict.fromkeys(_OTHERS, 0.0) | {"late activation: C4 takes an hour": 3600.0}
