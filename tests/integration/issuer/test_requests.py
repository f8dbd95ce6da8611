"""Real certbot and real Pebble: how many requests an order makes, and what it does if the CA is busy or has moved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.torture.acme_proxy import Answer, Question, problem
from tests.torture.faulty_ca import FaultyCa, Scene

pytestmark = pytest.mark.pebble

BUSY = problem(503, "rateLimited", "Service busy; retry later.", Retry_After="1")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyCa]:
    with FaultyCa(tmp_path_factory.mktemp("ca") / "faulty") as running:
        yield running


def test_orders_of_one_command_share_the_directory_and_need_one_nonce_each(ca: FaultyCa) -> None:
    with ca.scene("shared") as scene:
        names = scene.names(6)
        scene.add(names)
        assert [scene.code(name) for name in names] == ["Success"] * 6
        assert scene.proxy.count("directory") == 1
        # One more is for the registration. Rejected nonces come with a fresh one.
        assert scene.proxy.count("nonce") <= len(names) + 1


def test_orders_one_after_the_other_go_on_with_the_nonce_that_was_left(ca: FaultyCa) -> None:
    with ca.scene("nonce-left", workers=1) as scene:
        names = scene.names(3)
        scene.add(names)
        assert [scene.code(name) for name in names] == ["Success"] * 3
        assert scene.proxy.count("nonce") == 1, "the one for the registration"


def test_nonce_that_the_ca_forgot_costs_no_order(ca: FaultyCa) -> None:
    with ca.scene("nonce-forgotten", workers=1) as scene:
        names = scene.names(3)
        refused: list[str] = []

        def forget(asked: Question) -> Answer | None:
            # The first request of each order.
            if asked.kind != "new-order" or asked.name in refused:
                return None
            refused.append(asked.name)
            return problem(400, "badNonce", "unknown")

        scene.proxy.instead = forget
        scene.add(names)
        assert (sorted(refused), [scene.code(name) for name in names]) == (names, ["Success"] * 3)
        assert scene.violations() == []


@pytest.mark.parametrize(
    "kind", ["nonce", "new-order", "authorization", "challenge", "finalize", "certificate"]
)
def test_order_waits_for_a_ca_that_is_busy_for_a_moment(ca: FaultyCa, kind: str) -> None:
    with ca.scene(f"busy-{kind}") as scene:
        (name,) = scene.names(1)
        left = [BUSY, BUSY]
        scene.proxy.instead = lambda asked: left.pop() if left and asked.kind == kind else None
        scene.add([name])
        assert (left, scene.code(name)) == ([], "Success"), scene.finding(name)
        assert scene.proxy.orders()[name] == 1
        assert scene.violations() == []


def test_ca_that_stays_busy_costs_no_order_and_pauses_nothing(ca: FaultyCa) -> None:
    with ca.scene("stays-busy", timeout_seconds=12) as scene:
        (name,) = scene.names(1)
        scene.proxy.instead = lambda asked: BUSY if asked.kind == "finalize" else None
        scene.add([name])
        assert scene.code(name) == "CA_UNAVAILABLE", scene.finding(name)
        scene.proxy.instead = lambda _asked: None
        scene.tick(minutes=2)
        assert (scene.code(name), scene.proxy.orders()[name]) == ("Success", 1)
        assert scene.violations() == []


@pytest.mark.parametrize("gone", [404, 405, 410])
def test_directory_is_fetched_again_when_the_ca_has_moved(ca: FaultyCa, gone: int) -> None:
    with ca.scene(f"moved-{gone}") as scene:
        missed = _move_after_the_registration(scene, gone)
        names = scene.names(3)
        scene.add(names)
        assert missed != [], "a job met the old URL"
        assert [scene.code(name) for name in names] == ["Success"] * 3
        assert all(scene.proxy.orders()[name] == 1 for name in names)


def _move_after_the_registration(scene: Scene, gone: int) -> list[str]:
    """Move new nonces to another URL after the first one was served. Return a list of the requests for the old URL."""
    proxy, missed = scene.proxy, list[str]()

    def altered(asked: Question, answer: Answer) -> Answer:
        if asked.kind == "directory":
            number = proxy.count("directory")
            return answer.with_json(newNonce=f"{answer.json['newNonce']}?{number}")
        return answer

    def instead(asked: Question) -> Answer | None:
        if asked.kind != "nonce" or proxy.count("nonce") == 1 or not asked.path.endswith("?1"):
            return None
        missed.append(asked.path)
        return problem(gone, "malformed", "not here")

    proxy.altered, proxy.instead = altered, instead
    return missed
