"""Real certbot and real Pebble, with a proxy between them that answers wrongly: what an order survives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from sslctl.rules.reasons import Code
from tests.torture.acme_proxy import Answer, Question, problem
from tests.torture.faulty_ca import FaultyCa, Scene

pytestmark = pytest.mark.pebble

HTML = Answer(404, {"Content-Type": "text/html"}, b"<html>not found</html>")
LIST = Answer(200, {"Content-Type": "application/json"}, b"[]")
CUT_OFF = Answer(
    200, {"Content-Type": "application/pem-certificate-chain"}, b"-----BEGIN CERTIFICATE-----\nMIIB"
)
# (kind of the request, the answer, the code of the finding)
WRONG = (
    pytest.param("certificate", problem(403, "unauthorized", "no"), Code.CA_UNAVAILABLE, id="403"),
    pytest.param("certificate", problem(404, "malformed", "none"), Code.CA_UNAVAILABLE, id="404"),
    pytest.param("certificate", HTML, Code.CA_UNAVAILABLE, id="404 in HTML"),
    pytest.param("certificate", problem(410, "malformed", "gone"), Code.CA_UNAVAILABLE, id="410"),
    pytest.param("certificate", problem(500, "serverInternal", "sorry"), Code.CA_UNAVAILABLE, id="500"),
    pytest.param("certificate", Answer(503, {}, b"busy"), Code.CA_UNAVAILABLE, id="503"),
    pytest.param("certificate", CUT_OFF, Code.ISSUER_FAILED, id="cut off"),
    pytest.param("certificate", Answer(200), Code.ISSUER_FAILED, id="empty"),
    pytest.param("certificate", LIST, Code.ISSUER_FAILED, id="a list"),
    pytest.param("order", problem(404, "malformed", "none"), Code.CA_REFUSED, id="order 404"),
    pytest.param("order", LIST, Code.CA_VALIDATING, id="order a list"),
)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyCa]:
    with FaultyCa(tmp_path_factory.mktemp("ca") / "faulty") as running:
        yield running


@pytest.fixture
def scene(ca: FaultyCa, request: pytest.FixtureRequest) -> Iterator[Scene]:
    number = request.node.callspec.indices if hasattr(request.node, "callspec") else {}
    name = request.function.__name__.removeprefix("test_").replace("_", "-")[:30].strip("-")
    with ca.scene(f"{name}-{sum(number.values())}", timeout_seconds=10) as made:
        yield made


def _alter(kind: str, wrong: Answer, question: Question, right: Answer) -> Answer:
    # The headers stay, with their nonce.
    return replace(wrong, headers={**right.headers, **wrong.headers}) if question.kind == kind else right


def _behave(_question: Question, answer: Answer) -> Answer:
    return answer


def _orders(scene: Scene, name: str) -> int:
    return scene.proxy.orders()[name]


@pytest.mark.parametrize(("kind", "answer", "code"), WRONG)
def test_order_survives_an_hour_of_wrong_answers(scene: Scene, kind: str, answer: Answer, code: Code) -> None:
    (name,) = scene.names(1)
    scene.proxy.altered = partial(_alter, kind, answer)
    scene.add([name])
    assert scene.finding(name) is not None
    for minutes in (1, 10):
        scene.tick(minutes=minutes)
        assert (scene.code(name), _orders(scene, name)) == (code, 1), scene.finding(name)
    scene.proxy.altered = _behave
    scene.tick(minutes=100)
    assert (scene.code(name), _orders(scene, name)) == ("Success", 1)
    assert scene.violations() == []
