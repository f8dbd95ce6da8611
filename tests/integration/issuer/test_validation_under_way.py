"""Real certbot and real Pebble, whose validation takes seconds: what a run leaves behind, and what the next one does."""

from __future__ import annotations

import os
import socket
import time
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sslctl.app import App
from sslctl.rules.reasons import Code
from sslctl.sandbox.listeners import ADDRESS
from tests.torture.acme_proxy import SILENCE, Answer, Question
from tests.torture.faulty_ca import FaultyCa, Scene

pytestmark = pytest.mark.pebble

# Pebble picks up to 4 seconds: of eight validations, some take longer than the run that asked for them.
_COUNT = 8


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyCa]:
    folder = tmp_path_factory.mktemp("ca") / "faulty"
    with FaultyCa(folder, PEBBLE_VA_NOSLEEP="0", PEBBLE_VA_SLEEPTIME="5") as running:
        yield running


def _lose(kind: str, question: Question, answer: Answer) -> Answer:
    return (
        SILENCE if question.kind == kind and question.payload is not None and answer.status < 400 else answer
    )


def _behave(_question: Question, answer: Answer) -> Answer:
    return answer


def _left(ca: FaultyCa, scene: Scene) -> list[Path]:
    """Return the challenge files and the notes about them that are left."""
    webroot = ca.world.folder / "webroot" / ".well-known" / "acme-challenge"
    return [*webroot.glob("*"), *scene.state.glob("acme/answers/*")]


def test_lost_answer_to_a_challenge_costs_neither_an_order_nor_a_second_validation(ca: FaultyCa) -> None:
    with ca.scene("lost") as scene:
        names = scene.names(_COUNT)
        scene.proxy.altered = partial(_lose, "challenge")
        scene.add(names)
        assert {scene.code(name) for name in names} == {Code.CA_UNAVAILABLE}
        assert len(_left(ca, scene)) == 2 * _COUNT
        scene.proxy.altered = _behave
        scene.tick(minutes=1)
        assert {scene.code(name) for name in names} == {"Success"}, scene.output
        assert {scene.proxy.orders()[name] for name in names} == {1}
        assert {scene.proxy.validations(name) for name in names} == {1}
        assert _left(ca, scene) == []
        assert scene.violations() == []


def test_second_validation_does_not_end_the_order_that_the_first_one_made_ready(ca: FaultyCa) -> None:
    with ca.scene("again") as scene:
        names = scene.names(_COUNT)
        scene.proxy.altered = partial(_lose, "challenge")
        scene.add(names)
        scene.proxy.altered = _behave
        # As if the CA needed longer than the next run waits.
        long_ago = time.time() - 3600
        for note in scene.state.glob("acme/answers/*/*"):
            os.utime(note, (long_ago, long_ago))
        scene.tick(minutes=1)
        assert {scene.code(name) for name in names} == {"Success"}, scene.output
        assert {scene.proxy.orders()[name] for name in names} == {1}
        assert max(scene.proxy.validations(name) for name in names) == 2
        assert _left(ca, scene) == []


def _await_decision(ca: FaultyCa, *, after: int) -> None:
    """Wait until Pebble has accepted one more authorization than `after`."""
    deadline = time.monotonic() + 60
    while _accepted(ca) <= after:
        assert time.monotonic() < deadline, "Pebble did not decide"
        time.sleep(0.05)


def _accepted(ca: FaultyCa) -> int:
    return (ca.world.folder / "pebble" / "pebble.log").read_text(errors="replace").count("set VALID by")


def test_certificate_is_collected_although_the_port_for_answers_is_in_use(ca: FaultyCa) -> None:
    """Once the CA has decided, nobody needs to answer it."""
    with ca.scene("port") as scene:
        (name,), before = scene.names(1), _accepted(ca)
        scene.proxy.altered = partial(_lose, "challenge")
        scene.add([name])
        scene.proxy.altered = _behave
        _await_decision(ca, after=before)
        scene.settings["mode"] = "standalone"
        scene.configure()
        port = tomllib.loads(scene.config.read_text())["acme"]["http01_port"]
        with socket.create_server((ADDRESS, port)):
            scene.tick(minutes=1)
        assert scene.code(name) == "Success", scene.output
        assert scene.violations() == []


def test_lost_answer_in_stateless_mode_leaves_nothing_and_costs_no_order(ca: FaultyCa) -> None:
    """The edge answers before, during and after each run, so a second validation is right, too."""
    with ca.scene("stateless", mode="stateless") as scene, pytest.MonkeyPatch.context() as patch:
        app = App(scene.config)
        app.make_state()
        thumbprint = app.stateless.keys().current.thumbprint
        app.close()
        patch.setattr(ca.world.edge, "find_thumbprint", lambda: thumbprint)
        names, earlier = scene.names(_COUNT), _left(ca, scene)
        scene.proxy.altered = partial(_lose, "challenge")
        scene.add(names)
        assert {scene.code(name) for name in names} == {Code.CA_UNAVAILABLE}
        assert _left(ca, scene) == earlier
        scene.proxy.altered = _behave
        scene.tick(minutes=1)
        assert {scene.code(name) for name in names} == {"Success"}, scene.output
        assert {scene.proxy.orders()[name] for name in names} == {1}
        assert scene.violations() == []
