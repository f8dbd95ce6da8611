"""How often ticks every 5 minutes repeat an upload that C4 refuses."""

from __future__ import annotations

from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn
from tests.support.fleet_ticks import serve

NAME = "shop.example.com"
THREE_HOURS = 36


def uploads(cdn: Cdn) -> list[int]:
    """Run ticks of three hours, and return those that sent an upload of NAME."""
    sent = []
    for tick in range(THREE_HOURS):
        before = len(cdn.uploads(NAME))
        cdn.sslctl("daemon-tick")
        if len(cdn.uploads(NAME)) > before:
            sent.append(tick)
        cdn.clock.move(minutes=5)
    return sent


def test_upload_is_repeated_12_times_then_hourly_while_the_old_certificate_is_valid(cdn: Cdn) -> None:
    serve(cdn, NAME)
    cdn.clock.move(days=84)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    assert uploads(cdn) == [*range(12), 22, 33]
    assert len(cdn.issuer.orders) == 2
    cdn.clock.move(days=5, hours=4)
    assert uploads(cdn) == list(range(THREE_HOURS))


def test_upload_is_repeated_by_each_tick_while_nothing_is_served(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    assert cdn.sslctl("add", NAME).exit_code == 7
    assert uploads(cdn) == list(range(THREE_HOURS))
