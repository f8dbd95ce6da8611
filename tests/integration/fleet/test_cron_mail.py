"""What `daemon-tick -q` prints over many ticks: cron mails it, so lasting trouble is printed once, and again the next day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sslctl.rules.claim_names import TICK
from sslctl.rules.limits import LimitKind, Scope
from sslctl.sandbox.c4.faults import Fault, Operation
from sslctl.store.interface import Store
from tests.support.cdn import Cdn
from tests.support.fleet_ticks import serve, unknown
from tests.support.lying_c4 import LyingC4

NAME = "shop.example.com"
OTHER = "blog.example.com"


def nothing(_: int) -> None:
    """Do nothing before a tick."""


def mails(cdn: Cdn, number: int = 12, *, before_tick: Callable[[int], object] = nothing) -> list[str]:
    """Run `number` ticks, 5 minutes apart; return what cron would mail of each that prints anything."""
    found = []
    for tick in range(number):
        before_tick(tick)
        result = cdn.sslctl("daemon-tick", "-q")
        if result.stdout or result.stderr:
            found.append(result.stdout + result.stderr)
        cdn.clock.move(minutes=5)
    return found


def store(cdn: Cdn) -> Store:
    return cdn.app().store


def refuse_uploads(cdn: Cdn, *names: str) -> None:
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    for name in names:
        cdn.add_domain(name)
    cdn.sslctl("add", *names)


def test_emergency_is_one_mail_in_12_ticks_and_one_when_it_is_over(cdn: Cdn) -> None:
    refuse_uploads(cdn, NAME)
    (first,) = mails(cdn)
    assert f"{NAME}: Emergency C4_REJECTED" in first
    cdn.c4.set_faults()
    cdn.clock.move(hours=1)
    (over,) = mails(cdn, 24)
    assert over.splitlines()[1:] == [f"Well again: {NAME}"]


def test_emergency_of_another_domain_is_a_mail_about_that_one(cdn: Cdn) -> None:
    refuse_uploads(cdn, NAME)
    assert len(mails(cdn, 2)) == 1
    refuse_uploads(cdn, OTHER)
    (second,) = mails(cdn)
    assert f"{OTHER}: Emergency C4_REJECTED" in second
    assert NAME not in second
    assert "Not repeated, because it was printed in the last day: 1 more; see `sslctl list`" in second


def test_trouble_is_mailed_again_the_next_day_although_no_state_is_new(cdn: Cdn) -> None:
    refuse_uploads(cdn, NAME)
    assert len(mails(cdn)) == 1
    cdn.clock.move(hours=22)
    (again,) = mails(cdn)
    assert NAME in again
    assert "Not repeated" not in again


def test_pauses_are_one_mail_in_12_ticks_and_one_when_they_are_over(cdn: Cdn) -> None:
    store(cdn).pause(Scope(LimitKind.ACCOUNT), cdn.clock() + timedelta(hours=1), "the CA asked")
    assert cdn.sslctl("pause", "--until", "2026-11-23 13:00", "--reason", "C4 is upgraded").exit_code == 0
    (first,) = mails(cdn)
    assert "Orders and uploads are paused" in first
    assert "No requests are sent to the CA until" in first
    (over,) = mails(cdn, 24)
    assert over.splitlines()[1:] == ["Over since the last report: the maintenance pause; the pause account"]


def test_maintenance_pause_that_is_prolonged_is_a_second_mail(cdn: Cdn) -> None:
    cdn.sslctl("pause", "--until", "2026-11-23 14:00", "--reason", "C4 is upgraded")
    assert len(mails(cdn, 3)) == 1
    cdn.sslctl("pause", "--until", "2026-11-23 16:00", "--reason", "C4 is upgraded")
    (second,) = mails(cdn, 3)
    assert "16:00" in second


def test_answers_that_are_not_believed_are_one_mail_and_not_over_while_they_are_suspected(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"d{number:02}.example.com" for number in range(12)]
    serve(cdn, *names)
    cdn.clock.move(days=1)
    real = cdn.app

    def lying() -> Any:
        app = real()
        control_plane: Any = LyingC4(app.control_plane, unknown)
        app.control_plane = control_plane
        return app

    monkeypatch.setattr(cdn, "app", lying)
    (first,) = mails(cdn, 30)
    assert "C4_UNKNOWN_DOMAIN about 12 served domains of 12" in first


def test_tick_that_fails_is_one_mail_in_12_ticks_with_the_same_exit_code(cdn: Cdn) -> None:
    cdn.sslctl("daemon-tick")
    database = cdn.folder / "state" / "sslctl.db"
    content = database.read_bytes()
    database.write_text("no database")
    assert [cdn.sslctl("daemon-tick", "-q").exit_code for _ in range(3)] == [8, 8, 8]
    assert mails(cdn, 3) == []
    assert "sslctl: error: " in cdn.sslctl("daemon-tick").stderr
    database.write_bytes(content)
    (over,) = mails(cdn, 13)
    assert over.splitlines()[1:] == ["Over since the last report: the failed tick"]


def test_tick_beside_one_that_may_hang_is_one_mail_whatever_its_process_is(cdn: Cdn) -> None:
    other = store(cdn)

    def claim(tick: int) -> None:
        other.release([TICK])
        other._owner = f"elsewhere/{tick + 1}/1"  # type: ignore[attr-defined]  # stands for a tick of another host
        other.claim([TICK], timedelta(hours=12))

    (first,) = mails(cdn, before_tick=claim)
    assert first == "sslctl: error: another tick is running: process 1 on elsewhere\n"
    other.close()


def test_failed_ticks_forget_no_other_trouble(cdn: Cdn) -> None:
    refuse_uploads(cdn, NAME)
    assert len(mails(cdn, 2)) == 1
    database = cdn.folder / "state" / "sslctl.db"
    content = database.read_bytes()
    database.write_text("no database")
    assert len(mails(cdn, 15)) == 1
    database.write_bytes(content)
    assert mails(cdn, 2) == []


def test_tick_without_quiet_prints_all_and_leaves_the_mail_of_cron_as_it_is(cdn: Cdn) -> None:
    refuse_uploads(cdn, NAME)
    for _ in range(2):
        assert NAME in cdn.sslctl("daemon-tick").stdout
        assert cdn.sslctl("daemon-tick", "--json").json["domains"][0]["domain"] == NAME
    assert len(mails(cdn)) == 1
    assert NAME in cdn.sslctl("daemon-tick").stdout
    assert cdn.sslctl("daemon-tick", "-q", "--json").json["domains"][0]["domain"] == NAME


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "subjects": {}}',
        '{"version": 1, "subjects": {"a b": 5}}',
        '{"version": 1, "subjects": {"a b": {"kind": "x", "states": {}, "gone_since": null}}}',
        "[" * 100_000,
        "\xff",
    ],
    ids=["empty", "list", "no version", "other version", "number", "other kind", "deep", "not UTF-8"],
)
def test_file_that_cannot_be_read_hides_nothing_and_is_replaced(cdn: Cdn, content: str) -> None:
    refuse_uploads(cdn, NAME)
    path = cdn.folder / "state" / "reported.json"
    path.write_text(content, encoding="latin-1")
    assert len(mails(cdn, 3)) == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_folder_in_which_nothing_can_be_written_lets_each_tick_print_all(cdn: Cdn) -> None:
    refuse_uploads(cdn, NAME)
    (cdn.folder / "state" / "reported.json").mkdir()
    assert len(mails(cdn, 3)) == 3
    assert not [path for path in (cdn.folder / "state").iterdir() if path.name.startswith(".reported")]


def test_restored_state_repeats_nothing_that_was_mailed(cdn: Cdn) -> None:
    refuse_uploads(cdn, NAME)
    backup = cdn.folder / "backup.db"
    assert cdn.sslctl("backup", str(backup)).exit_code == 0
    assert len(mails(cdn, 2)) == 1
    (cdn.folder / "state" / "sslctl.db").unlink()
    assert cdn.sslctl("restore", str(backup)).exit_code == 0
    assert mails(cdn, 2) == []


def test_snoozed_domain_is_mailed_when_its_snooze_ends_and_counted_until_then(cdn: Cdn) -> None:
    refuse_uploads(cdn, NAME)
    assert cdn.sslctl("snooze", NAME, "--until", "3h").exit_code == 0
    assert mails(cdn) == []
    text = cdn.sslctl("daemon-tick").stdout
    assert text.splitlines()[-1] == "Left out: 1 snoozed."
    assert "C4_REJECTED" not in text
    cdn.clock.move(hours=3)
    (ended,) = mails(cdn)
    assert f"{NAME}: Emergency C4_REJECTED" in ended
