"""Faults of the CA: real certbot and real Pebble, with a proxy between them that answers, alters, delays and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import gettempdir
from typing import Literal, get_args

from sslctl.sandbox.cdn import cname_target
from sslctl.sandbox.pebble import Pebble
from tests.torture.acme_proxy import SILENCE, Answer, Question, problem
from tests.torture.case import Case
from tests.torture.faulty_ca import Expectations, FaultyCa, Scene
from tests.torture.faulty_edge import ADDRESS as EDGE_ADDRESS
from tests.torture.faulty_edge import EdgeFault, FaultyEdge

TITLE = "The CA"
TARGET = (
    "99.9 / 99 / 95 % issued within the tick at 5 / 20 / 50 % bad nonces; Retry-After honoured to the second; at most "
    "3 failed validations a name an hour; no order more than is needed"
)

Form = Literal["seconds", "date", "absurd"]

# The timeout of certbot's child process, instead of 180 seconds.
_SHORT = 5


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """See `FaultClass.run`."""
    yield from _bad_nonces(folder, small=small)
    with FaultyCa(folder / "faults") as ca:
        for case in _SMALL_CASES if small else _CASES:
            yield case(ca)
    if not small:
        yield _reused(folder)
        yield _chains(folder)


# Bad nonces


def _bad_nonces(folder: Path, *, small: bool) -> Iterator[Case]:
    plan = ((20, 10, 99.0),) if small else ((5, 200, 99.9), (20, 200, 99.0), (50, 100, 95.0))
    for percent, count, target in plan:
        with (
            FaultyCa(folder / f"nonces-{percent}", PEBBLE_WFE_NONCEREJECT=str(percent)) as ca,
            ca.scene("nonces") as scene,
        ):
            names = scene.names(count)
            scene.sslctl("add", "--no-wait", *names)
            scene.tick()
            well = [name for name in names if scene.code(name) == "Success"]
            wrong = scene.violations(healthy=well)
            share = 100 * len(well) / count
            if share < target:
                codes = {scene.code(name) for name in names} - {"Success"}
                wrong.append(f"{share:.1f} % issued within the tick, wanted {target} %: {codes}")
            asked = len(scene.proxy.asked) / count
            found = (
                f"{len(well)} of {count} issued within the tick ({share:.1f} %), {asked:.0f} requests each"
            )
            yield Case(f"{percent} % of all good nonces rejected", count, wrong, found)


# Refusals


def _refuse(kind: str, answer: Answer) -> Callable[[Question], Answer | None]:
    return lambda question: answer if question.kind == kind else None


def _rate_limited(ca: FaultyCa) -> Case:
    wrong, forms = [], get_args(Form)
    for form in forms:
        with ca.scene(f"limited-{form}") as scene:
            wrong += [f"{form}: {each}" for each in _honour(scene, form, covers_all=False)]
    return Case(
        "429 rateLimited to new orders, Retry-After in seconds, as a date, absurd",
        len(forms),
        wrong,
        "no order before that second, then at once; waits at most 3 hours, the window of that limit",
    )


def _unavailable(ca: FaultyCa) -> Case:
    with ca.scene("unavailable") as scene:
        wrong = _honour(scene, "seconds", covers_all=True)
    return Case("503 with Retry-After from a gateway", 1, wrong, "no request before that second")


def _honour(scene: Scene, form: Form, *, covers_all: bool) -> list[str]:
    wanted, (first, second) = Expectations(), scene.names(2)
    at, seconds = scene.clock(), 3321 if covers_all else 7321
    wait = timedelta(seconds=seconds)
    header = {"seconds": str(seconds), "date": format_datetime(at + wait, usegmt=True), "absurd": "9" * 12}[
        form
    ]
    if covers_all:
        scene.proxy.instead = lambda _question: Answer(503, {"Retry-After": header}, b"<html>busy</html>")
    else:
        text = "too many new orders (300) from this account in the last 3h0m0s"
        scene.proxy.instead = _refuse("new-order", problem(429, "rateLimited", text, Retry_After=header))
    if form == "absurd":
        wait = timedelta(hours=3)
    scene.add([first])
    wanted.same("code", scene.code(first), "CA_UNAVAILABLE" if covers_all else "CA_RATE_LIMITED")
    wanted.same("retry_at", scene.retry_at(first), at + wait)
    asked = _asked(scene, covers_all=covers_all)
    # Another domain waits as well, and so does the tick until one second before.
    scene.add([second])
    wanted.same("the other's code", scene.code(second), "BUDGET_HELD")
    while scene.clock() < at + wait - timedelta(seconds=1):
        step = min(timedelta(days=1) - timedelta(seconds=1), at + wait - timedelta(seconds=1) - scene.clock())
        scene.tick(seconds=step.total_seconds())
        wanted.same(f"asked until {scene.clock()}", _asked(scene, covers_all=covers_all), asked)
    scene.proxy.instead = lambda _question: None
    scene.tick(seconds=1)
    return [*wanted.wrong, *scene.violations()]


def _asked(scene: Scene, *, covers_all: bool) -> int:
    return len(scene.proxy.asked) if covers_all else scene.proxy.count("new-order")


def _server_internal(ca: FaultyCa) -> Case:
    wrong = []
    kinds = ("new-order", "authorization", "challenge", "finalize", "certificate")
    for kind in kinds:
        with ca.scene(f"internal-{kind}", timeout_seconds=_SHORT) as scene:
            scene.proxy.instead = _refuse(kind, problem(500, "serverInternal", "so sorry"))
            wrong += [f"{kind}: {each}" for each in _recovers(scene, "CA_UNAVAILABLE", "CA_VALIDATING")]
    return Case("500 serverInternal to each kind of request", len(kinds), wrong, "1 order each")


def _answers_lost(ca: FaultyCa) -> Case:
    wrong = []
    kinds = ("new-order", "challenge", "finalize", "certificate")
    for kind in kinds:
        with ca.scene(f"lost-{kind}", timeout_seconds=_SHORT) as scene:
            scene.proxy.altered = partial(_lose, kind)
            # Nobody can look up an order whose URL was lost.
            orders = 2 if kind == "new-order" else 1
            found = _recovers(scene, "CA_UNAVAILABLE", "CA_VALIDATING", orders=orders)
            wrong += [f"{kind}: {each}" for each in found]
    return Case(
        "the response lost after the CA performed the request",
        len(kinds),
        wrong,
        "1 order each; 1 more if the response to newOrder was lost",
    )


def _lose(kind: str, question: Question, answer: Answer) -> Answer:
    return SILENCE if question.kind == kind and question.status < 400 else answer


def _not_ready(ca: FaultyCa) -> Case:
    with ca.scene("notready", timeout_seconds=_SHORT) as scene:
        scene.proxy.instead = _refuse("finalize", problem(403, "orderNotReady", "not yet"))
        wrong = _recovers(scene, "CA_VALIDATING")
    return Case(
        "orderNotReady to every finalization, later accepted", 1, wrong, "the same order is continued"
    )


def _recovers(scene: Scene, *codes: str, orders: int = 1) -> list[str]:
    """Return an error unless a domain ends in one of `codes`, and the next tick after the fault makes it healthy."""
    wanted, (name,) = Expectations(), scene.names(1)
    scene.add([name])
    wanted.true(f"code {scene.code(name)}, wanted {codes}", holds=scene.code(name) in codes)
    wanted.wrong += scene.violations(healthy=())
    scene.proxy.instead, scene.proxy.altered = lambda _question: None, lambda _question, answer: answer
    scene.tick(minutes=1)
    wanted.same("orders", scene.proxy.orders()[name], orders)
    return [*wanted.wrong, *scene.violations(most_orders=lambda _name: orders)]


def _final_refusals(ca: FaultyCa) -> Case:
    wrong = []
    cases = (
        ("finalize", problem(403, "caa", "CAA record for it prevents issuance"), "CAA_FORBIDS", 1),
        ("new-order", problem(400, "rejectedIdentifier", "it is on a list"), "NAME_REFUSED", 0),
    )
    for kind, answer, code, orders in cases:
        with ca.scene(f"last-{code.lower().replace('_', '')}") as scene:
            wanted, (name,) = Expectations(), scene.names(1)
            scene.proxy.instead = _refuse(kind, answer)
            scene.add([name])
            wanted.same("code", scene.code(name), code)
            for _ in range(3):
                scene.tick(hours=1)
            # Until midnight in Singapore, or for three hours: only the customer can change it.
            wanted.true("asked again", holds=scene.proxy.count(kind) <= 2)
            wanted.true("orders", holds=scene.proxy.orders()[name] <= 2 * orders)
            wrong += [*wanted.wrong, *scene.violations(healthy=(), most_orders=lambda _name: 2)]
    return Case("caa, rejectedIdentifier", len(cases), wrong, "Failure; no retry before the next day")


# Orders that take long


def _never_done(question: Question, answer: Answer) -> Answer:
    if question.kind in ("order", "finalize") and answer.json.get("status") in ("processing", "valid"):
        return answer.with_json(status="processing", certificate=None)
    return answer


def _processing(ca: FaultyCa) -> Case:
    with ca.scene("processing", timeout_seconds=_SHORT) as scene:
        wanted, (name,) = Expectations(), scene.names(1)
        scene.proxy.altered = _never_done
        scene.add([name])
        for later in (1, 10):
            wanted.same("code", scene.code(name), "CA_VALIDATING")
            scene.tick(minutes=later)
        wanted.same("orders", scene.proxy.orders()[name], 1)
        wanted.wrong += scene.violations(healthy=())
        scene.proxy.altered = lambda _question, answer: answer
        scene.tick(minutes=100)
        wanted.same("orders", scene.proxy.orders()[name], 1)
        wrong = [*wanted.wrong, *scene.violations()]
    found = f"over 3 runs; certbot's timeout is {_SHORT} s instead of 180 s; collected from the same order"
    return Case("`processing` for 11 simulated minutes, then valid", 1, wrong, found)


def _processing_for_ever(ca: FaultyCa) -> Case:
    with ca.scene("forever", timeout_seconds=_SHORT) as scene:
        wanted, (name,), began = Expectations(), scene.names(1), scene.clock()
        scene.proxy.altered = _never_done
        scene.add([name])
        while scene.proxy.orders()[name] == 1 and scene.clock() < began + timedelta(days=5):
            scene.tick(hours=1)
        patience = scene.clock() - began
        wanted.true(f"abandoned after {patience}", holds=timedelta(days=2) <= patience <= timedelta(days=3))
        scene.proxy.altered = lambda _question, answer: answer
        scene.tick(days=1)
        wanted.same("orders", scene.proxy.orders()[name], 2)
        # Nobody can collect what Pebble issued for an order that it always reports as `processing`.
        lost = 1
        wrong = [*wanted.wrong, *_violations_except(lost, scene)]
    hours = round(patience.total_seconds() / 3600)
    return Case(
        "`processing` without end", 1, wrong, f"abandoned after {hours} simulated hours, then 1 more order"
    )


def _violations_except(lost: int, scene: Scene) -> list[str]:
    issued = scene.outside.issued
    kept = {int(serial, 16) for (serial,) in scene.rows("SELECT serial FROM certificate")}
    unknown = [serial for serial in issued() if int(serial, 16) not in kept]
    scene.outside.issued = lambda: [serial for serial in issued() if serial not in unknown[:lost]]
    return scene.violations(most_orders=lambda _name: 2)


# Validation


def _wrong_challenge_answers(ca: FaultyCa) -> Case:
    wrong, found = [], []
    edge_faults: tuple[EdgeFault, ...] = ("wrong", "loop")
    for edge_fault in edge_faults:
        with ca.scene(f"edge-{edge_fault}") as scene, FaultyEdge(ca.world.edge, edge_fault) as edge:
            wanted, (name,) = Expectations(), scene.names(1)
            ca.world.pebble.set_addresses(cname_target(name), [EDGE_ADDRESS])
            scene.add([name])
            found.append(f"{edge_fault}: {scene.code(name)}")
            wanted.same("code", scene.code(name), "CHALLENGE_FAILED")
            # Pebble validates from three places, and follows up to 10 redirects.
            wanted.true(f"{edge.asked} requests of the CA", holds=1 <= edge.asked <= 33)
            wanted.wrong += scene.violations(healthy=())
            ca.world.pebble.set_addresses(cname_target(name), ["127.0.0.1"])
            scene.tick(minutes=1)
            wrong += [*wanted.wrong, *scene.violations(most_orders=lambda _name: 2)]
    return Case(
        "the edge answers a challenge with wrong content, or with a redirect loop",
        len(edge_faults),
        wrong,
        ", ".join(found),
    )


def _failing_for_hours(ca: FaultyCa) -> Case:
    with ca.scene("failing") as scene, FaultyEdge(ca.world.edge, "absent"):
        name, well = scene.names(2)
        ca.world.pebble.set_addresses(cname_target(name), [EDGE_ADDRESS])
        scene.add([name, well])
        failed: list[datetime] = [scene.clock()] * scene.proxy.validations(name)
        for _ in range(36):
            scene.tick(minutes=5)
            failed += [scene.clock()] * (scene.proxy.validations(name) - len(failed))
        most = max(sum(at <= one < at + timedelta(hours=1) for one in failed) for at in failed)
        wrong = scene.violations(healthy=[well], most_orders=lambda each: len(failed) if each == name else 1)
        if most > 3:
            wrong.append(f"{most} failed validations within an hour, wanted at most 3")
    found = f"{len(failed)} in 3 hours, at most {most} in any hour"
    return Case("a name that fails validation, a tick every 5 minutes for 3 hours", 36, wrong, found)


_TOKENS = ("../../../../escaped", f"{gettempdir()}/escaped", ".", "a" * 300, "\x1b[31mred")


def _bad_token(ca: FaultyCa, tokens: Sequence[str] = _TOKENS) -> Case:
    wrong = []
    for number, token in enumerate(tokens):
        with ca.scene(f"token-{number}") as scene:
            before = _files(ca.world.folder)
            scene.proxy.altered = lambda question, answer, token=token: _with_token(question, answer, token)  # type: ignore[misc]
            wrong += [f"{token!r}: {each}" for each in _recovers(scene, "CA_UNAVAILABLE")]
            wrong += [f"{token!r} made {path}" for path in _files(ca.world.folder) - before]
            wrong += ["an escape in the output"] * ("\x1b" in scene.output)
    return Case("a challenge token that is a path", len(tokens), wrong, "no file written")


def _with_token(question: Question, answer: Answer, token: str) -> Answer:
    if question.kind != "authorization" or "challenges" not in answer.json:
        return answer
    return answer.with_json(challenges=[{**one, "token": token} for one in answer.json["challenges"]])


def _files(folder: Path) -> set[Path]:
    places = (folder / "webroot", folder.parent, Path(gettempdir()))
    return {path for place in places for path in place.glob("*escaped*")} | {
        path for path in (folder / "webroot").rglob("*") if path.is_file()
    }


# The CA's account and availability


def _account_gone(ca: FaultyCa) -> Case:
    with ca.scene("gone") as scene:
        wanted, (old, *new) = Expectations(), scene.names(4)
        scene.add([old])
        with Pebble(ca.folder / "another-pebble", http_port=ca.world.edge.http_port) as another:
            for name in new:
                another.set_cname(name, cname_target(name))
            before, scene.proxy.pebble = scene.proxy.pebble, another
            try:
                scene.add(new)
                for name in new:
                    wanted.same("code", scene.code(name), "CA_REFUSED")
                    finding = scene.finding(name)
                    notified = finding is not None and "accountDoesNotExist" in finding.found
                    wanted.true(
                        "the operator is not notified", holds=notified and "registered again" in scene.output
                    )
                wanted.same("accounts made", scene.proxy.count("account"), 2)
                scene.tick(minutes=1)
            finally:
                scene.proxy.pebble = before
        wanted.same("accounts made", scene.proxy.count("account"), 2)
        wrong = [*wanted.wrong, *scene.violations()]
    found = "registered again once, with the same key; the finding reports it; issued a minute later"
    return Case("the account is unknown to the CA (another Pebble replaces it)", 3, wrong, found)


def _down(ca: FaultyCa) -> Case:
    # More domains than passes at a time, or the circuit breaker could not help.
    with ca.scene("down", workers=4) as scene:
        wanted, names = Expectations(), scene.names(31)
        scene.add(names[:1])
        scene.proxy.is_down, asked = True, [len(scene.proxy.asked)]
        scene.sslctl("add", "--no-wait", *names[1:])
        for _ in range(9):
            scene.tick(hours=1)
            asked.append(len(scene.proxy.asked))
        codes = {scene.code(name) for name in names[1:]}
        wanted.true(f"codes {codes}", holds=codes <= {"CA_UNAVAILABLE", "BUDGET_HELD"})
        wanted.wrong += scene.violations(healthy=names[:1])
        first, *later = (after - before for before, after in pairwise(asked))
        wanted.true(f"{first} and {later} requests", holds=first <= 12 and max(later) <= 8)
        scene.proxy.is_down = False
        ticks = 0
        while any(scene.code(name) != "Success" for name in names) and ticks < 30:
            scene.tick(hours=1)
            ticks += 1
        wrong = [*wanted.wrong, *scene.violations()]
    found = (
        f"for 30 domains {first} requests in the first tick and at most {max(later)} in each later one, 4 at once; "
        f"all healthy {ticks} hourly ticks after its return"
    )
    return Case("the CA down for 8 hours, with hourly ticks", 9, wrong, found)


def _reused(folder: Path) -> Case:
    with FaultyCa(folder / "reused", PEBBLE_AUTHZREUSE="100") as ca, ca.scene("reused") as scene:
        wanted, (name,) = Expectations(), scene.names(1)
        scene.add([name])
        scene.tick(days=84)
        wanted.same("orders", scene.proxy.orders()[name], 2)
        wanted.same("validations", scene.proxy.validations(name), 1)
        wrong = [*wanted.wrong, *scene.violations(most_orders=lambda _name: 2)]
    return Case("an authorization reused by a renewal", 1, wrong, "2 orders, 1 validation")


def _chains(folder: Path) -> Case:
    wrong, found = [], []
    for length in (1, 2, 3, 4):
        with (
            FaultyCa(folder / f"chain-{length}", PEBBLE_CHAIN_LENGTH=str(length)) as ca,
            ca.scene("chain") as scene,
        ):
            names = scene.names(1)
            scene.add(names)
            ((chain,),) = scene.rows("SELECT chain_pem FROM certificate")
            found.append(str(chain.count("BEGIN CERTIFICATE")))
            wrong += [f"length {length}: {each}" for each in scene.violations()]
    if found != ["1", "2", "3", "4"]:
        wrong.append(f"chains of {found}")
    return Case("chains of 1 to 4", 4, wrong, f"stored and served: {', '.join(found)}")


_SMALL_CASES = (_unavailable, partial(_bad_token, tokens=_TOKENS[:1]))
_CASES = (
    _rate_limited,
    _unavailable,
    _server_internal,
    _answers_lost,
    _not_ready,
    _final_refusals,
    _processing,
    _processing_for_ever,
    _wrong_challenge_answers,
    _failing_for_hours,
    _bad_token,
    _account_gone,
    _down,
)
