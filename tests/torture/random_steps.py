"""Random steps of people, the CA, C4, DNS, the clock and kill -9 in any order, compared with a model.

`TORTURE_SEED=NUMBER` repeats the steps of a seed.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from secrets import randbits
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.reporting import with_reporter
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sslctl.certificates.x509 import read_leaf
from sslctl.rules.limits import LimitKind
from sslctl.rules.reasons import Code
from sslctl.sandbox.c4.faults import Drop, Fault, Operation
from tests.support import fast_folder
from tests.torture.auditing_ca import Stage, Trouble
from tests.torture.case import Case
from tests.torture.model_run import MANY, NAMES, NOT_MANAGED, USAGE, Crash, Intent, ModelRun, www

TITLE = "Random steps against a model"
TARGET = (
    "10,000 steps; I1 to I7 hold after each, and every domain is healthy three ticks after the last fault"
)

_STEPS = 40
_EXAMPLES = {True: 10, False: 320}

_names = st.sampled_from(NAMES)
_flag = st.booleans()
_crash = st.none() | st.builds(Crash, st.integers(1, 16), _flag)
# A call does not wait longer than 5 seconds for C4; shorter values would make the runs ten times as long.
_waits = st.sampled_from((6, 3600, 10**9))
_whose = st.none() | _names
_kind = st.none() | st.sampled_from(Operation)
_faults = st.one_of(
    st.builds(
        Fault,
        kind=_kind,
        domain=_whose,
        status=st.sampled_from((301, 400, 401, 403, 404, 408, 409, 413, 422, 425, 500, 501)),
        retry_after=st.none() | _waits,
        times=st.sampled_from((None, None, 1, 2)),
    ),
    st.builds(
        Fault, kind=_kind, domain=_whose, status=st.sampled_from((429, 502, 503, 504)), retry_after=_waits
    ),
    st.builds(
        Fault, kind=_kind, domain=_whose, drop=st.sampled_from(Drop), times=st.sampled_from((1, 1, 1, 3))
    ),
    st.builds(
        Fault,
        kind=_kind,
        domain=_whose,
        body=st.sampled_from(("", "{", "[]", "<html>503</html>", '{"state": "active"}')),
        times=st.sampled_from((None, 1)),
    ),
    st.builds(Fault, kind=_kind, domain=_whose, delay_seconds=st.just(0.01)),
)
_troubles = st.builds(
    Trouble,
    st.sampled_from(
        (
            Code.CA_RATE_LIMITED,
            Code.CA_UNAVAILABLE,
            Code.CA_VALIDATING,
            Code.CA_REFUSED,
            Code.ISSUER_FAILED,
            Code.CHALLENGE_FAILED,
            Code.PORT_80_CLOSED,
            Code.CAA_FORBIDS,
            Code.NAME_REFUSED,
            Code.NXDOMAIN,
            Code.DNS_UNANSWERED,
        )
    ),
    st.sampled_from(Stage),
    st.none() | st.sampled_from((30, 3600, 3 * 86_400, 30 * 86_400)).map(lambda n: timedelta(seconds=n)),
    st.sampled_from(
        (
            None,
            None,
            LimitKind.ACCOUNT,
            LimitKind.ORDERS,
            LimitKind.CERTIFICATES,
            LimitKind.DUPLICATES,
            LimitKind.FAILURES,
        )
    ),
    _flag,
)
_DAY = 86_400
_lengths = st.sampled_from(
    (
        1,
        30,
        61,
        600,
        3600,
        6 * 3600,
        _DAY,
        3 * _DAY,
        7 * _DAY,
        30 * _DAY,
        83 * _DAY,
        84 * _DAY,
        91 * _DAY,
        100 * _DAY,
    )
)
_backwards = st.sampled_from((-1, -61, -3600))


class RandomSteps(RuleBasedStateMachine):
    """One run an example. Drawn values never depend on earlier steps, so any order of steps is valid."""

    folder: Path
    made: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._run: ModelRun | None = None
        self._checks = 0

    @initialize(activation_seconds=st.sampled_from((0, 0, 90)))
    def begin(self, activation_seconds: float) -> None:
        folder = self._stack.enter_context(TemporaryDirectory(dir=self.folder))
        self._run = self._stack.enter_context(ModelRun(Path(folder), activation_seconds=activation_seconds))

    @property
    def current(self) -> ModelRun:
        assert self._run is not None
        return self._run

    # People

    @rule(name=_names, other_name=_flag, how=st.sampled_from(("", "", "--no-wait", "--new")), crash=_crash)
    def add(self, name: str, other_name: bool, how: str, crash: Crash | None) -> None:
        intent = replace(self.current.intents[name], managed=True, source="c4")
        arguments = ["add", name, *([how] if how else [])]
        if other_name:
            intent = replace(intent, sans=(www(name),))
            arguments += ["--san", www(name)]
        self._requesting(
            [name] if how == "--new" else [],
            crash,
            lambda: self.current.run(name, arguments, intent, crash, passes=how != "--no-wait"),
        )

    @rule(names=st.permutations(NAMES), number=st.integers(2, len(NAMES)), no_wait=_flag, crash=_crash)
    def add_several(self, names: list[str], number: int, no_wait: bool, crash: Crash | None) -> None:
        intents = {
            name: replace(self.current.intents[name], managed=True, source="c4") for name in names[:number]
        }
        self.current.change(["add", *intents, *(["--no-wait"] if no_wait else [])], intents, MANY, crash)

    @rule(name=_names, days=st.sampled_from((3, 90, 400)), crash=_crash)
    def paste(self, name: str, days: int, crash: Crash | None) -> None:
        before = self.current.intents[name]
        pair = self.current.cdn.text_pair(name, *before.sans, days=days)
        intent = Intent(managed=True, source="text", sans=before.sans, pasted=read_leaf(pair.certificate))
        self.current.run(name, ["add", name, *self.current.cdn.paste(pair), "--force"], intent, crash)

    @rule(name=_names, options=st.sampled_from(((), (), ("--keep-on-c4",), ("--revoke",))), crash=_crash)
    def delete(self, name: str, options: tuple[str, ...], crash: Crash | None) -> None:
        self.current.delete(name, options, crash)

    @rule(name=_names, force=_flag, crash=_crash)
    def recheck(self, name: str, force: bool, crash: Crash | None) -> None:
        intent = self.current.intents[name]
        arguments = ["recheck", name, *(["--force-renew"] if force else [])]
        if not intent.managed or (force and intent.source == "text"):
            self.current.sslctl(*arguments, expected={USAGE if intent.managed else NOT_MANAGED})
        else:
            self._requesting(
                [name] if force else [], crash, lambda: self.current.run(name, arguments, intent, crash)
            )

    @rule(crash=_crash)
    def recheck_all(self, crash: Crash | None) -> None:
        self.current.change(["recheck"], {}, MANY, crash)

    @rule(force=_flag, crash=_crash)
    def tick(self, force: bool, crash: Crash | None) -> None:
        self.current.change(["daemon-tick", *(["--force"] if force else [])], {}, MANY, crash)

    def _requesting(self, names: list[str], crash: Crash | None, run: Callable[[], None]) -> None:
        self.current.ca.wished.update(names)
        run()
        # A killed command may have recorded the request, which is then ordered later.
        if crash is None:
            self.current.ca.wished.clear()

    # C4, the CA, DNS and the clock

    @rule(fault=_faults)
    def break_c4(self, fault: Fault) -> None:
        self.current.break_c4(fault)

    @rule()
    def heal_c4(self) -> None:
        self.current.heal_c4()

    @rule(name=_names)
    def forget(self, name: str) -> None:
        self.current.forget(name)

    @rule(name=_names)
    def bring_back(self, name: str) -> None:
        self.current.bring_back(name)

    @rule(name=_names, where=st.sampled_from(("here", "elsewhere", "nowhere", "failing")))
    def point(self, name: str, where: str) -> None:
        self.current.point(name, where)

    @rule(name=_names, troubles=st.lists(_troubles, min_size=1, max_size=3))
    def break_ca(self, name: str, troubles: list[Trouble]) -> None:
        self.current.ca.troubles[name] = troubles

    @rule()
    def heal_ca(self) -> None:
        self.current.ca.troubles.clear()

    @rule(seconds=_lengths)
    def wait(self, seconds: float) -> None:
        self.current.move(seconds)

    @rule(seconds=_backwards)
    def set_clock_back(self, seconds: float) -> None:
        self.current.move(seconds)

    @rule()
    def settle(self) -> None:
        self.current.settle()

    # Invariants

    @invariant()
    def holds(self) -> None:
        if self._run is not None:
            self._checks += 1
            self._run.check()

    def teardown(self) -> None:
        with self._stack:
            if self._run is not None and sys.exc_info()[0] is None:
                self._run.settle()
                # The first check was before any step.
                self.made["steps"] += self._checks - 1
                self.made["runs"] += 1
                self.made["kills"] += self._run.crashes
                self.made["orders"] += len(self._run.ca.orders)


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """See `FaultClass.run`."""
    number = None if small else int(os.environ.get("TORTURE_SEED") or randbits(32))
    yield explore(folder, number, examples=_EXAMPLES[small])


def explore(folder: Path, number: int | None, *, examples: int) -> Case:
    """Run `examples` examples of the seed `number`; without a seed they are the same every time."""
    with ExitStack() as stack:
        # Power cuts are another class of faults; commits to a disk would take most of the time here.
        folder = stack.enter_context(fast_folder("model", folder))
        made = Counter[str]()
        machine = type("Machine", (RandomSteps,), {"folder": folder, "made": made})
        wanted = settings(
            max_examples=examples,
            stateful_step_count=_STEPS,
            derandomize=number is None,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        reported: list[object] = []
        violations: list[str] = []
        try:
            with with_reporter(reported.append):
                run_state_machine_as_test(
                    seed(number)(machine) if number is not None else machine, settings=wanted
                )
        except Exception as error:  # noqa: BLE001 - any other error is a violation too
            steps = [
                line
                for line in "\n".join([*map(str, reported), *getattr(error, "__notes__", ())]).splitlines()
                if "(" in line
            ]
            violations.append(f"{type(error).__name__}: {error}; seed {number}; after {' '.join(steps)}")
    found = f"{made['runs']} runs with {made['kills']} kills and {made['orders']} orders; seed {number or 'fixed'}"
    return Case(
        "steps of people, CA, C4, DNS, clock and kill -9, in any order", made["steps"], violations, found
    )
