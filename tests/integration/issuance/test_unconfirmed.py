"""Every earlier finding against every outside service that does not answer: what is known stays until its step is passed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sslctl.errors import Exit
from sslctl.issuer import IssueError
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Drop, Fault, Operation
from tests.support.cdn import SUFFIX, Cdn
from tests.support.dns_zone import Trouble
from tests.support.fakes import Clock
from tests.support.fleet_ticks import tick

# The steps of a pass in their order, as DESIGN section 2 has them.
STEPS = ("c4", "ports", "dns", "caa", "probe", "ca", "upload", "read-back")
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Hiccup:
    """A service that does not answer for one domain, at `step`, which sslctl reports as `code`.

    `start` begins it. `retry_after` is the wait that the service asks for.
    """

    step: str
    code: str
    start: Callable[[Cdn, str], None]
    retry_after: timedelta = MINUTE


def c4(**fault: Any) -> Callable[[Cdn, str], None]:
    """Let C4 have a fault about one domain."""
    return lambda cdn, name: cdn.c4.set_faults(Fault(kind=Operation.LOOKUP, domain=name, **fault))


def dns(trouble: Trouble, *, of_target: bool = False, kind: str | None = None) -> Callable[[Cdn, str], None]:
    """Let DNS misbehave about one domain, or about the target of its CNAME."""
    return lambda cdn, name: _spoil(cdn, target_of(name) if of_target else name, trouble, kind)


def _spoil(cdn: Cdn, name: str, trouble: Trouble, kind: str | None) -> None:
    cdn.zone.spoil(name, trouble, kind)


def ca(code: Code, *, after: timedelta | None = None, placed: bool = False) -> Callable[[Cdn, str], None]:
    """Let the CA refuse the next order; with `placed` it has accepted it. certbot's own answers: tests/integration/issuer."""

    def start(cdn: Cdn, name: str) -> None:
        retry_at = None if after is None else cdn.clock() + after
        pause = None if after is None else Scope(LimitKind.FAILURES, name)
        error = IssueError(code, "no answer", retry_at=retry_at, pause=pause, order_dead=not placed)
        cdn.issuer.refusals = [error]

    return start


HOUR = timedelta(hours=1)
HICCUPS = {
    "c4-503": Hiccup("c4", "C4_UNANSWERED", c4(status=503)),
    "c4-429": Hiccup("c4", "C4_UNANSWERED", c4(status=429, retry_after=3600), HOUR),
    "c4-garbage": Hiccup("c4", "C4_UNANSWERED", c4(body="{")),
    "c4-closed": Hiccup("c4", "C4_UNANSWERED", c4(drop=Drop.BEFORE)),
    "c4-slow": Hiccup("c4", "C4_UNANSWERED", c4(delay_seconds=1)),
    "c4-token": Hiccup("c4", "C4_TOKEN_REFUSED", c4(status=401)),
    "dns-servfail": Hiccup("dns", "DNS_UNANSWERED", dns(Trouble.SERVFAIL)),
    "dns-refused": Hiccup("dns", "DNS_UNANSWERED", dns(Trouble.REFUSED)),
    "dns-silence": Hiccup("dns", "DNS_UNANSWERED", dns(Trouble.SILENCE)),
    "dns-target": Hiccup("dns", "TARGET_UNANSWERED", dns(Trouble.SERVFAIL, of_target=True)),
    "caa-servfail": Hiccup("caa", "DNS_UNANSWERED", dns(Trouble.SERVFAIL, kind="CAA")),
    "ca-503": Hiccup("ca", "CA_UNAVAILABLE", ca(Code.CA_UNAVAILABLE)),
    "ca-nonce": Hiccup("ca", "CA_UNAVAILABLE", ca(Code.CA_UNAVAILABLE, placed=True)),
    "ca-limit": Hiccup("ca", "CA_RATE_LIMITED", ca(Code.CA_RATE_LIMITED, after=HOUR), HOUR),
    "ca-dns": Hiccup("ca", "DNS_UNANSWERED", ca(Code.DNS_UNANSWERED)),
}
NAMES = {f"{how}.example.com": hiccup for how, hiccup in HICCUPS.items()}


def target_of(name: str) -> str:
    return f"{name}.{SUFFIX}"


# The earlier findings


def spoil_dns(code: str) -> Callable[[Cdn, str], None]:
    """Return what makes DNS of a domain wrong, so that a pass ends with `code`."""

    def spoil(cdn: Cdn, name: str) -> None:
        zone, target = cdn.zone, target_of(name)
        if code == "CAA_FORBIDS":
            zone.add(name, "CAA", '0 issue "other.test"')
        elif code == "TARGET_CAA_FORBIDS":
            zone.add(target, "CAA", '0 issue "other.test"')
        elif code == "TARGET_MISSING":
            cdn.clear_dns(target).add(target, "TXT", '"no address"')
        elif code == "AAAA_ELSEWHERE":
            cdn.clear_dns(name).add(name, "A", "192.0.2.1").add(name, "AAAA", "2001:db8:bad::1")
        elif code == "DNSSEC_BOGUS":
            zone.add("example.com", "DS", f"12345 13 2 {32 * 'ab'}").spoil(name, Trouble.BOGUS)
        else:
            cdn.clear_dns(name)
            if code == "CNAME_MISSING":
                zone.add(name, "TXT", '"neither an address nor a CNAME"')
            elif code == "CNAME_ELSEWHERE":
                cdn.point(name, "parking.example.org")
                zone.add("parking.example.org", "A", "203.0.113.9")

    return spoil


def close_ports(cdn: Cdn, name: str) -> None:
    """Let the CDN's record have port 80 only."""
    cdn.c4.create_domain(name, cname_target=target_of(name), ports=(80,))


def mend(cdn: Cdn, name: str) -> None:
    """End everything that is wrong with `name`: its ports, DNS, C4 and the CA."""
    cdn.c4.create_domain(name, cname_target=target_of(name))
    cdn.c4.heal()
    cdn.zone.mend(name, "CAA")
    for each in (name, target_of(name), "example.com"):
        cdn.clear_dns(each)
    cdn.point(name, target_of(name))
    if probes_ports(cdn):
        cdn.zone.add(target_of(name), "A", "127.0.0.1")
    cdn.issuer.refusals = []


def probes_ports(cdn: Cdn) -> bool:
    """Return whether the preflight connects to the addresses, which must be of this machine then."""
    return "probe_ports = true" in cdn.config_path.read_text()


def refuse(code: Code) -> Callable[[Cdn], None]:
    def start(cdn: Cdn) -> None:
        cdn.issuer.refusals = [IssueError(code, "refused", order_dead=True) for _ in NAMES]

    return start


def fail_uploads(status: int) -> Callable[[Cdn], None]:
    return lambda cdn: cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=status))


def spoil_all(spoil: Callable[[Cdn, str], None]) -> Callable[[Cdn], None]:
    def start(cdn: Cdn) -> None:
        for name in NAMES:
            spoil(cdn, name)

    return start


def lose_texts(cdn: Cdn) -> None:
    """Let C4 remove the text certificate of each domain, and then take no other one."""
    for name in NAMES:
        cdn.app().control_plane.upload(name, cdn.text_pair(name), Source.TEXT)
    # All tries of the transport, of all domains.
    cdn.c4.set_faults(
        *(Fault(kind=Operation.UPLOAD, domain=name, status=409, times=1) for name in NAMES),
        Fault(kind=Operation.UPLOAD, status=422),
    )


DNS_FINDINGS = (
    "CNAME_MISSING", "CNAME_ELSEWHERE", "NXDOMAIN", "TARGET_MISSING", "AAAA_ELSEWHERE", "DNSSEC_BOGUS",
)  # fmt: skip
CAA_FINDINGS = ("CAA_FORBIDS", "TARGET_CAA_FORBIDS")
CA_FINDINGS = ("CHALLENGE_FAILED", "NAME_REFUSED", "CA_PAUSED")
EARLIER: dict[str, tuple[str, Callable[[Cdn], None]]] = {
    "PORTS_NOT_ENABLED": ("ports", spoil_all(close_ports)),
    **{code: ("dns", spoil_all(spoil_dns(code))) for code in DNS_FINDINGS},
    **{code: ("caa", spoil_all(spoil_dns(code))) for code in CAA_FINDINGS},
    **{code: ("ca", refuse(Code(code))) for code in CA_FINDINGS},
    "C4_UPLOAD_FAILED": ("upload", fail_uploads(503)),
    "C4_REJECTED": ("upload", fail_uploads(422)),
    "C4_UNAUTHORIZED": ("upload", fail_uploads(401)),
    "NOTHING_INSTALLED": ("upload", lose_texts),
    "PORT_80_CLOSED": ("probe", spoil_all(lambda _cdn, _name: None)),
    "PORT_443_CLOSED": ("probe", spoil_all(lambda _cdn, _name: None)),
}


@contextmanager
def ports_of_edge(cdn: Cdn, code: str) -> Iterator[Callable[[], None]]:
    """Have the ports of each address probed, of which one is closed until the returned function is called."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        # Bound, but not listening: connections are refused.
        closed.bind(("127.0.0.1", 0))
        http, https = server.getsockname()[1], closed.getsockname()[1]
        if code == "PORT_80_CLOSED":
            http, https = https, http
        added = f"probe_ports = true\nprobe_private = true\nhttp_port = {http}\nhttps_port = {https}"
        replace_in_config(cdn, "probe_ports = false", added)
        yield closed.listen


@pytest.fixture
def fast(tmp_path: Path, clock: Clock) -> Iterator[Cdn]:
    """Return a CDN with one domain per hiccup, for which sslctl waits less."""
    with Cdn(tmp_path, clock) as cdn:
        replace_in_config(cdn, "timeout_seconds = 5", "timeout_seconds = 0.5")
        replace_in_config(cdn, "timeout_seconds = 2", "timeout_seconds = 0.4")
        # Addresses count as the CDN's too, for AAAA_ELSEWHERE.
        replace_in_config(cdn, "[dns]", 'ip_ranges = ["192.0.2.0/24"]\n[dns]')
        for name in NAMES:
            cdn.add_domain(name)
        yield cdn


@contextmanager
def patience() -> Iterator[None]:
    """Let sslctl wait long, for a block in which every service answers: a busy machine may delay that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSLCTL_C4_TIMEOUT_SECONDS", "20")
        patch.setenv("SSLCTL_DNS_TIMEOUT_SECONDS", "10")
        yield


def replace_in_config(cdn: Cdn, old: str, new: str) -> None:
    text = cdn.config_path.read_text()
    assert old in text
    cdn.config_path.write_text(text.replace(old, new))


def view(cdn: Cdn, name: str) -> Any:
    return cdn.sslctl("view", name, "--json").json["domain"]


def is_upload_owed(earlier: str) -> bool:
    """Return whether `earlier` is that an issued certificate is not on C4, so that no order is placed."""
    return EARLIER[earlier][0] == "upload"


def is_asked(step: str, earlier: str) -> bool:
    """Return whether a named recheck of a domain with the finding `earlier` asks at `step`."""
    return step != "ca" or not is_upload_owed(earlier)


def retry_at(cdn: Cdn, hiccup: Hiccup, earlier: str) -> datetime:
    """Return when the next try is: as the service asked, else after a minute; an upload that is owed is tried at each tick."""
    at: datetime = cdn.clock()
    if is_upload_owed(earlier) and hiccup.retry_after == MINUTE:
        return at
    return at + hiccup.retry_after


def require_kept(cdn: Cdn, name: str, hiccup: Hiccup, earlier: str) -> None:
    """Run a named recheck during `hiccup`; what was found before must stay exactly if its step was not passed."""
    before = view(cdn, name)
    result = cdn.sslctl("recheck", name, "--json")
    after = view(cdn, name)
    if not is_asked(hiccup.step, earlier):
        assert (result.exit_code, after["status"], after["unconfirmed"]) == (0, "Success", None), name
        return
    if is_upload_owed(earlier) and hiccup.step != "c4":
        # It was uploaded, and only the look ahead that a named recheck takes has no answer.
        assert (result.exit_code, after["status"], after["reason"]) == (Exit.TRY_LATER, "Success", None), name
        assert (after["unconfirmed"]["code"], code_of(after)) == (hiccup.code, None)
        return
    if STEPS.index(hiccup.step) > STEPS.index(EARLIER[earlier][0]):
        # Its step was passed, so it is gone, and nothing is known.
        assert (after["status"], after["reason"]["code"], after["unconfirmed"]) == (
            "Pending",
            hiccup.code,
            None,
        )
        assert result.exit_code == Exit.PENDING
        return
    assert result.exit_code == Exit.TRY_LATER, (name, result)
    assert (after["status"], after["reason"]["code"]) == (before["status"], earlier), name
    assert after["reason"]["sentence"] == before["reason"]["sentence"]
    unconfirmed = after["unconfirmed"]
    assert (unconfirmed["code"], unconfirmed["since"]) == (hiccup.code, text(cdn.clock())), name
    assert unconfirmed["retry_at"] == text(retry_at(cdn, hiccup, earlier)), name


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def find_earlier(cdn: Cdn, earlier: str, *command: str) -> None:
    """Run `command` over all domains, each of which ends with the finding `earlier`."""
    with patience():
        cdn.sslctl(*command, *NAMES)
    assert {code_of(view(cdn, name)) for name in NAMES} == {earlier}
    cdn.clock.move(minutes=5)


def code_of(domain: Any) -> str | None:
    return None if domain["reason"] is None else domain["reason"]["code"]


def require_all_kept(cdn: Cdn, earlier: str) -> None:
    """Let each service not answer once, for a domain of its own, and answer again: then each retry follows that service."""
    for name, hiccup in NAMES.items():
        mend(cdn, name)
        hiccup.start(cdn, name)
        require_kept(cdn, name, hiccup, earlier)
    for name in NAMES:
        mend(cdn, name)
    # Not before the time that the service asked for.
    with patience():
        tick(cdn, minutes=1)
    waiting = {name for name in NAMES if view(cdn, name)["status"] != "Success"}
    assert waiting == {
        name for name, each in NAMES.items() if each.retry_after == HOUR and is_asked(each.step, earlier)
    }
    with patience():
        tick(cdn, minutes=59)
    after = [view(cdn, name) for name in NAMES]
    assert {(one["status"], one["reason"] is None, one["unconfirmed"] is None) for one in after} == {
        ("Success", True, True)
    }


@pytest.mark.parametrize("earlier", [code for code in EARLIER if not code.startswith("PORT_")])
def test_earlier_finding_stays_until_its_step_is_passed_whoever_does_not_answer(
    fast: Cdn, earlier: str
) -> None:
    EARLIER[earlier][1](fast)
    find_earlier(fast, earlier, "add")
    require_all_kept(fast, earlier)


@pytest.mark.parametrize("earlier", ["PORT_80_CLOSED", "PORT_443_CLOSED"])
def test_closed_port_stays_until_the_probe_is_passed_whoever_does_not_answer(
    fast: Cdn, earlier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What opens here never responds, so each fetch of a token would wait for its time limit, and hold nothing back.
    monkeypatch.setenv("SSLCTL_CDN_PROBE_CHALLENGE", "false")
    for name in NAMES:
        fast.zone.add(target_of(name), "A", "127.0.0.1")
    with ports_of_edge(fast, earlier) as open_port:
        find_earlier(fast, earlier, "add")
        open_port()
        require_all_kept(fast, earlier)


@pytest.mark.parametrize("earlier", ["", "CNAME_ELSEWHERE", "CAA_FORBIDS", "CHALLENGE_FAILED"])
def test_expired_domain_stays_expired_whoever_does_not_answer(fast: Cdn, earlier: str) -> None:
    """What C4 serves is known, so nothing before the CA replaces it, nor what prevents the renewal."""
    assert fast.sslctl("add", *NAMES).exit_code == 0
    fast.clock.move(days=91)
    if earlier:
        EARLIER[earlier][1](fast)
        fast.sslctl("recheck", *NAMES)
    assert {(view(fast, name)["status"], also(view(fast, name))) for name in NAMES} == {("Expired", earlier)}
    fast.clock.move(minutes=5)
    for name, hiccup in NAMES.items():
        mend(fast, name)
        hiccup.start(fast, name)
        result = fast.sslctl("recheck", name, "--json")
        after = view(fast, name)
        assert after["status"] == "Expired", name
        is_kept = bool(earlier) and STEPS.index(hiccup.step) <= STEPS.index(EARLIER[earlier][0])
        is_under_way = hiccup.code.startswith("CA_") and not is_kept
        if is_under_way:
            assert (also(after), after["unconfirmed"], result.exit_code) == (hiccup.code, None, Exit.PENDING)
        else:
            assert (also(after), result.exit_code) == (earlier if is_kept else "", Exit.TRY_LATER), name
            assert (after["unconfirmed"]["code"], after["unconfirmed"]["since"]) == (
                hiccup.code,
                text(fast.clock()),
            )
    for name in NAMES:
        mend(fast, name)
    tick(fast, hours=1)
    assert {(view(fast, name)["status"], view(fast, name)["unconfirmed"] is None) for name in NAMES} == {
        ("Success", True)
    }


def also(domain: Any) -> str:
    """Return the code of what prevents the renewal of an expired certificate."""
    return domain["reason"]["also"] or ""
