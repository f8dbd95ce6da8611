"""Real certbot and real Pebble, with a proxy between them that answers wrongly: what an order survives."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from sslctl.rules.reasons import Code
from tests.torture.acme_proxy import Answer, Question, problem
from tests.torture.faulty_ca import FaultyCa, Scene

pytestmark = pytest.mark.pebble

HTML = Answer(404, {"Content-Type": "text/html"}, b"<html>not found</html>")
LIST = Answer(200, {"Content-Type": "application/json"}, b"[]")
ORDER_LIST = Answer(201, {"Content-Type": "application/json"}, b"[]")
ORDER_HTML = Answer(201, {"Content-Type": "text/html"}, b"<html>made</html>")
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
    # The headers stay, with their nonce. Refusals of Pebble stay too: it rejects some good nonces.
    is_altered = question.kind == kind and right.status < 400
    return replace(wrong, headers={**right.headers, **wrong.headers}) if is_altered else right


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


def test_order_survives_an_unreadable_answer_to_its_challenge(scene: Scene) -> None:
    (name,) = scene.names(1)
    scene.proxy.altered = partial(_alter, "challenge", LIST)
    scene.add([name])
    assert (scene.code(name), _orders(scene, name)) == ("Success", 1), scene.finding(name)


@pytest.mark.parametrize("answer", [ORDER_LIST, ORDER_HTML], ids=["a list", "HTML"])
def test_order_whose_first_answer_is_unreadable_is_continued(scene: Scene, answer: Answer) -> None:
    (name,) = scene.names(1)
    scene.proxy.altered = partial(_alter, "new-order", answer)
    scene.add([name])
    assert scene.finding(name) is not None
    scene.tick(minutes=1)
    assert (scene.code(name), _orders(scene, name)) == ("Success", 1)
    assert scene.violations() == []


def _without_location(question: Question, right: Answer) -> Answer:
    headers = {name: value for name, value in right.headers.items() if name != "Location"}
    return (
        replace(right, headers=headers, body=b"[]")
        if question.kind == "new-order" and right.status < 400
        else right
    )


def _with_bad_location(question: Question, right: Answer) -> Answer:
    headers = {**right.headers, "Location": "http://plain.example/order"}
    return replace(right, headers=headers) if question.kind == "new-order" and right.status < 400 else right


def _bad_csr(question: Question, right: Answer) -> Answer:
    wrong = problem(400, "badCSR", "the CSR is not good")
    return _alter("finalize", wrong, question, right)


def _invalid(question: Question, right: Answer) -> Answer:
    if question.kind not in ("order", "finalize") or right.json.get("status") not in ("processing", "valid"):
        return right
    return right.with_json(
        status="invalid", certificate=None, error={"type": "urn:ietf:params:acme:error:serverInternal"}
    )


# An order that the CA called invalid by mistake is collected when it says so.
@pytest.mark.parametrize(
    ("altered", "orders"), [(_without_location, 2), (_with_bad_location, 2), (_bad_csr, 2), (_invalid, 1)]
)
def test_answer_that_no_order_survives_costs_one_order_a_day(
    scene: Scene, altered: Callable[[Question, Answer], Answer], orders: int
) -> None:
    (name,) = scene.names(1)
    scene.proxy.altered = altered
    scene.add([name])
    for minutes in (1, 10, 100, 720, 300):
        scene.tick(minutes=minutes)
    assert (scene.code(name) != "Success", _orders(scene, name)) == (True, 1), scene.finding(name)
    scene.proxy.altered = _behave
    scene.tick(days=1)
    assert (scene.code(name), _orders(scene, name)) == ("Success", orders)


@pytest.fixture
def narrow(ca: FaultyCa) -> Iterator[Scene]:
    with ca.scene("narrow", workers=2) as made:
        yield made


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"newNonce": 1, "newAccount": [], "newOrder": {}}'])
def test_answer_that_is_no_directory_is_an_outage_of_the_ca(scene: Scene, body: bytes) -> None:
    (name,) = scene.names(1)
    scene.proxy.altered = partial(
        _alter, "directory", Answer(200, {"Content-Type": "application/json"}, body)
    )
    scene.add([name])
    assert (scene.code(name), "and not with a directory" in scene.output) == (Code.CA_UNAVAILABLE, True)


def test_ca_that_is_slow_to_fail_at_registration_is_not_asked_for_one_domain_after_the_other(
    scene: Scene,
) -> None:
    def be_slow(question: Question) -> Answer | None:
        if question.kind != "account":
            return None
        time.sleep(1)
        return problem(500, "serverInternal", "sorry")

    scene.proxy.instead = be_slow
    scene.add(scene.names(12))
    assert 1 <= scene.proxy.count("account") <= 4


def test_deactivated_account_is_not_asked_about_for_each_domain(narrow: Scene) -> None:
    """The text is Boulder's."""
    scene = narrow
    first, *names = scene.names(6)
    scene.add([first])
    assert scene.code(first) == "Success"
    refusal = problem(403, "unauthorized", 'Account is not valid, has status "deactivated"')
    scene.proxy.altered = partial(_alter, "new-order", refusal)
    scene.add(names)
    codes = [scene.code(name) for name in names]
    assert set(codes) == {"CA_REFUSED", "BUDGET_HELD"}
    assert codes.count("CA_REFUSED") <= 2, "those that two workers asked about at the same moment"
    assert "the CA refuses all requests of the account" in scene.output


def test_doctor_reports_an_account_that_the_ca_deactivated(scene: Scene) -> None:
    (name,) = scene.names(1)
    scene.add([name])
    scene.sslctl("doctor", "--json")
    assert _account_check(scene)["grade"] == "ok", scene.output
    refusal = problem(403, "unauthorized", "Account has been deactivated")
    scene.proxy.altered = partial(_alter, "other", refusal)
    assert scene.sslctl("doctor", "--json") != 0
    found = _account_check(scene)
    assert (found["grade"], "deactivated" in found["detail"]) == ("bad", True)
    scene.proxy.altered = lambda question, right: (
        right.with_json(status="revoked") if question.kind == "other" else right
    )
    scene.sslctl("doctor", "--json")
    assert _account_check(scene)["detail"] == "its status is revoked"


def _account_check(scene: Scene) -> dict[str, str]:
    (found,) = (each for each in json.loads(scene.output)["checks"] if each["check"] == "account at the CA")
    return dict(found)


def test_paused_name_shows_the_link_and_is_asked_about_once_a_day(scene: Scene) -> None:
    paused, well = scene.names(2)
    link = "https://sfe.example/sfe/v1/unpause?jwt=" + "abcdefghijklmnopqrst" * 19
    text = f"Your account is temporarily prevented from requesting certificates for {paused} and possibly others. "
    refusal = problem(429, "rateLimited", f"{text}Please visit: {link}", Retry_After="60")
    scene.proxy.instead = lambda question: (
        refusal if question.kind == "new-order" and question.name == paused else None
    )
    scene.add([paused, well])
    assert (scene.code(paused), scene.code(well)) == ("CA_PAUSED", "Success")
    before = scene.proxy.count("new-order", paused)
    for _ in range(4):
        scene.tick(hours=1)
    assert scene.proxy.count("new-order", paused) - before <= 1, "at midnight in Singapore"
    assert scene.sslctl("pauses", "--json") == 0
    assert {pause["kind"] for pause in json.loads(scene.output)["pauses"]} <= {"renewal_info"}
    scene.sslctl("view", paused, "--json")
    reason = json.loads(scene.output)["domain"]["reason"]
    assert (reason["link"], reason["owner"]) == (link, "operator")
    assert "…" not in reason["sentence"]
    scene.sslctl("view", paused)
    assert link in scene.output
    scene.proxy.instead = lambda _question: None
    assert scene.sslctl("recheck", paused) == 0


def test_compromised_key_is_revoked_by_the_account_at_a_ca_that_refuses_the_key_itself(scene: Scene) -> None:
    """acme2certifier looks for an account that has the certificate's key."""
    (name,) = scene.names(1)
    scene.add([name])
    refused: list[Question] = []

    def refuse_first(question: Question) -> Answer | None:
        if refused or question.path != "/revoke-cert":
            return None
        refused.append(question)
        return problem(400, "accountDoesNotExist", "no account has this key")

    scene.proxy.instead = refuse_first
    assert scene.sslctl("revoke", name, "--reason", "keyCompromise", "--yes") == 0, scene.output
    (serial,) = scene.rows("SELECT serial FROM certificate")[0]
    status = json.loads(scene.ca.world.pebble.certificate_status(serial))
    assert (len(refused), status["Status"], status["Reason"]) == (1, "Revoked", 1)


def test_revocation_by_a_key_is_reported_as_failed_if_the_account_is_refused_too(scene: Scene) -> None:
    (name,) = scene.names(1)
    scene.add([name])
    scene.proxy.instead = lambda question: (
        problem(403, "unauthorized", "not yours") if question.path == "/revoke-cert" else None
    )
    assert scene.sslctl("revoke", name, "--reason", "keyCompromise", "--yes") != 0
    assert "unauthorized: not yours" in scene.output
    assert [one.path for one in scene.proxy.asked].count("/revoke-cert") == 2
