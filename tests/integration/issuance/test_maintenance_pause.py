"""A maintenance pause that is set in the middle of a pass or of a deletion stops the next change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sslctl.rules.model import Bundle, Domain
from sslctl.rules.reasons import Code
from sslctl.rules.revocation import RevocationReason
from tests.support.cdn import Cdn
from tests.support.fakes import FakeIssuer

NAME = "shop.example.com"
CHANGES = ("PUT", "DELETE")


class WatchedC4:
    """C4; calls `step` after the call number `number` of `domain`."""

    def __init__(self, real: Any, number: int, step: Callable[[], object]) -> None:
        self._real = real
        self._left = number
        self._step = step

    def domain(self, name: str) -> Any:
        """See `ControlPlane.domain`."""
        record = self._real.domain(name)
        self._left -= 1
        if self._left == 0:
            self._step()
        return record

    def __getattr__(self, method: str) -> Any:
        return getattr(self._real, method)


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    cdn.add_domain(NAME)
    return cdn


def pause(cdn: Cdn) -> None:
    assert cdn.sslctl("pause", "--until", "2h", "--reason", "C4").exit_code == 0


def changes(cdn: Cdn) -> list[str]:
    return [request.method for request in cdn.c4.requests if request.method in CHANGES]


def code_of(domain: Domain) -> Code | None:
    return None if domain.finding is None else domain.finding.code


@pytest.mark.parametrize(("step", "orders"), [("ordering a certificate", 0), ("uploading to C4", 1)])
def test_pause_that_is_set_at_the_last_moment_stops_the_order_and_the_upload(
    shop: Cdn, step: str, orders: int
) -> None:
    shop.sslctl("add", NAME, "--no-wait")
    app = shop.app()

    def on_step(_domain: Domain, what: str) -> None:
        if what == step:
            pause(shop)

    domain = app.pipeline(on_step).run(NAME)
    assert (code_of(domain), len(shop.issuer.orders), changes(shop)) == (Code.MAINTENANCE, orders, [])
    assert app.store.find_open_order(domain) is None, "an order that was not placed does not stay open"
    app.store.end_maintenance_pause()
    assert code_of(app.pipeline(lambda _domain, _step: None).run(NAME)) is None
    assert (len(shop.issuer.orders), changes(shop)) == (1, ["PUT"])
    app.close()


def test_pause_that_is_set_before_the_removal_of_a_text_certificate_leaves_it_installed(shop: Cdn) -> None:
    assert shop.sslctl("add", NAME, *shop.paste(shop.text_pair(NAME))).exit_code == 0
    text, before = shop.installed(NAME), len(changes(shop))
    app = shop.app()
    # The first look is that of the pass, the second one is made after C4 refused to replace the text certificate.
    app.control_plane = WatchedC4(app.control_plane, 2, lambda: pause(shop))
    assert shop.sslctl("add", NAME, app=app).exit_code == 3
    assert (shop.installed(NAME), changes(shop)[before:]) == (text, ["PUT"])
    shop.sslctl("resume")
    assert shop.sslctl("recheck", NAME).exit_code == 0
    assert (shop.installed(NAME) != text, len(shop.issuer.orders)) == (True, 1)


def test_replacement_that_began_is_finished_during_a_pause(shop: Cdn) -> None:
    """In between the edge serves nothing."""
    assert shop.sslctl("add", NAME, *shop.paste(shop.text_pair(NAME))).exit_code == 0
    app = shop.app()
    real = app.control_plane

    class RemovingC4(WatchedC4):
        def remove(self, name: str, expected: str | None = None) -> bool:
            """See `ControlPlane.remove`."""
            pause(shop)
            return real.remove(name, expected)

    app.control_plane = RemovingC4(real, 0, lambda: None)
    assert shop.sslctl("add", NAME, app=app).exit_code == 0
    assert changes(shop)[-2:] == ["DELETE", "PUT"]


def test_pause_that_is_set_after_a_revocation_does_not_stop_the_removal(shop: Cdn) -> None:
    """The edge would serve a revoked certificate until the end of the pause."""
    assert shop.sslctl("add", NAME).exit_code == 0
    real = shop.issuer

    class PausingIssuer(FakeIssuer):
        def revoke(self, bundle: Bundle, reason: RevocationReason | None = None) -> None:
            """See `Issuer.revoke`."""
            real.revoke(bundle, reason)
            pause(shop)

    app = shop.app()
    app.issuer = PausingIssuer(shop.clock)
    assert shop.sslctl("delete", NAME, "--yes", "--revoke", app=app).exit_code == 0
    assert (shop.installed(NAME), changes(shop)[-1]) == (None, "DELETE")


@pytest.mark.parametrize("options", [(), ("--revoke",)])
def test_pause_that_is_set_during_a_deletion_stops_the_revocation_and_the_removal(
    shop: Cdn, options: tuple[str, ...]
) -> None:
    assert shop.sslctl("add", NAME).exit_code == 0
    app, before = shop.app(), changes(shop)
    app.control_plane = WatchedC4(app.control_plane, 1, lambda: pause(shop))
    result = shop.sslctl("delete", NAME, "--yes", *options, app=app)
    assert (result.exit_code, changes(shop), shop.issuer.revoked) == (75, before, [])
    assert f"{NAME} stays managed" in result.stderr
    assert shop.sslctl("view", NAME, "--json").json["domain"]["status"] == "Success"


def test_edge_that_was_left_dark_by_a_kill_is_an_emergency_during_a_pause(shop: Cdn) -> None:
    """The pass was killed after it removed a text certificate that sslctl did not install."""
    pair = shop.text_pair(NAME)
    assert shop.sslctl("add", NAME, *shop.paste(pair)).exit_code == 0
    app = shop.app()
    real = app.control_plane

    class Killed(BaseException):
        """Stands for kill -9."""

    class KillingC4(WatchedC4):
        def remove(self, name: str, expected: str | None = None) -> bool:
            """See `ControlPlane.remove`."""
            real.remove(name, expected)
            raise Killed

    app.control_plane = KillingC4(real, 0, lambda: None)
    with pytest.raises(Killed):
        shop.sslctl("add", NAME, app=app)
    pause(shop)
    assert (shop.installed(NAME), shop.sslctl("daemon-tick").exit_code) == (None, 7)
    found = shop.sslctl("view", NAME, "--json").json["domain"]
    assert (found["status"], found["reason"]["code"]) == ("Emergency", "UPLOAD_PAUSED")
    shop.sslctl("resume")
    assert shop.sslctl("daemon-tick").exit_code == 0
    assert shop.installed(NAME) is not None
