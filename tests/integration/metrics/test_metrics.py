"""`sslctl metrics` and `daemon-tick --metrics-file`: what they print, and when the file is written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sslctl import __version__
from sslctl.errors import StateBusy, StateError
from sslctl.metrics.collecting import collect
from sslctl.metrics.exposition import render
from sslctl.metrics.families import METRICS, Sample
from sslctl.rules.claim_names import TICK
from sslctl.rules.limits import LimitKind, Limits, Scope
from sslctl.rules.reasons import FINDINGS, Status
from sslctl.rules.renewal import RenewalRule
from sslctl.sandbox.c4.faults import Fault, Operation
from sslctl.store.sqlite.store import SqliteStore
from sslctl.system.locks import locked
from tests.support.cdn import Cdn
from tests.support.fakes import Clock
from tests.support.programs import find_program

NAME, OTHER = "shop.example.com", "blog.example.com"
Series = dict[tuple[str, ...], float]


def parse(text: str) -> Series:
    """Return the value of each series by its name and the values of its labels."""
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels) if sample.labels[label])): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }  # fmt: skip


def metrics(cdn: Cdn) -> Series:
    result = cdn.sslctl("metrics")
    assert (result.exit_code, result.stderr) == (0, "")
    return parse(result.stdout)


def names_of(series: Series) -> set[str]:
    return {key[0] for key in series}


def test_empty_state_has_known_zeros_and_no_unknown_figures(cdn: Cdn) -> None:
    found = metrics(cdn)
    domains = {key: value for key, value in found.items() if key[0] == "sslctl_domains"}
    assert set(domains.values()) == {0}
    assert len(domains) == len(FINDINGS) + 1
    assert {key for key in domains if Status.FAILURE in key} >= {
        ("sslctl_domains", "customer", "NXDOMAIN", "Failure")
    }
    assert found["sslctl_build_info", __version__] == 1
    assert found["sslctl_orders_total", "issued"] == found["sslctl_uploads_total", "accepted"] == 0
    assert found["sslctl_uploads_owed",] == found["sslctl_renewals_overdue",] == 0
    assert names_of(found).isdisjoint(
        {
            "sslctl_tick_last_success_timestamp_seconds",
            "sslctl_tick_duration_seconds",
            "sslctl_soonest_not_after_timestamp_seconds",
            "sslctl_certificate_not_after_timestamp_seconds",
            "sslctl_ca_pause_until_timestamp_seconds",
        }
    )


def test_figures_follow_an_upload_that_c4_refuses_and_then_takes(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    cdn.sslctl("add", NAME)
    found = metrics(cdn)
    assert found["sslctl_domains", "c4", "C4_REJECTED", "Emergency"] == 1
    assert found["sslctl_uploads_owed",] == 1
    assert found["sslctl_uploads_total", "C4_REJECTED"] == 1
    assert found["sslctl_orders_total", "issued"] == 1
    cdn.c4.set_faults()
    cdn.sslctl("daemon-tick")
    found = metrics(cdn)
    expiry = cdn.app().store.domain(NAME).in_service
    assert expiry is not None
    assert found["sslctl_domains", "Success"] == 1
    assert found["sslctl_domains", "c4", "C4_REJECTED", "Emergency"] == 0
    assert (found["sslctl_uploads_owed",], found["sslctl_uploads_total", "accepted"]) == (0, 1)
    assert found["sslctl_certificate_not_after_timestamp_seconds", NAME] == expiry.not_after.timestamp()
    assert found["sslctl_soonest_not_after_timestamp_seconds", "c4"] == expiry.not_after.timestamp()
    assert found["sslctl_tick_last_success_timestamp_seconds",] == cdn.clock().timestamp()
    assert found["sslctl_tick_duration_seconds",] >= 0


def test_pauses_are_labelled_by_kind_and_not_by_name(cdn: Cdn) -> None:
    store, now = cdn.app().store, cdn.clock()
    for hours, scope in enumerate((Scope(LimitKind.FAILURES, NAME), Scope(LimitKind.FAILURES, OTHER)), 1):
        store.pause(scope, now.replace(hour=now.hour + hours), "refused")
    found = {key: value for key, value in metrics(cdn).items() if key[0].startswith("sslctl_ca_pause")}
    until = now.replace(hour=now.hour + 2).timestamp()
    assert found == {("sslctl_ca_pause_until_timestamp_seconds", "failures"): until}


def test_metrics_without_a_state_is_an_error(new_cdn: Cdn) -> None:
    result = new_cdn.sslctl("metrics")
    assert (result.exit_code, result.stdout) == (8, "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sslctl.prom"


def test_tick_writes_the_file_for_everybody_and_leaves_nothing_beside_it(cdn: Cdn, file: Path) -> None:
    before = set(file.parent.iterdir())
    assert cdn.sslctl("daemon-tick", "--metrics-file", str(file)).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o644
    assert set(file.parent.iterdir()) == before | {file}
    assert "sslctl_tick_last_success_timestamp_seconds" in names_of(parse(file.read_text()))


def test_file_is_written_beside_another_tick(cdn: Cdn, file: Path) -> None:
    app = cdn.app()
    app.store._owner = "elsewhere/1/1"  # type: ignore[attr-defined]  # stands for another tick
    app.store.claim([TICK], timedelta(hours=12))
    with locked(app.config.state.tick_lock_path):
        result = cdn.sslctl("daemon-tick", "--metrics-file", str(file))
    assert "nothing was done" in result.stdout
    assert parse(file.read_text())["sslctl_metrics_unread",] == 0


def test_file_of_a_tick_without_a_usable_state_has_what_is_known(new_cdn: Cdn, file: Path) -> None:
    file.write_text("# HELP sslctl_domains of the last tick\n")
    result = new_cdn.sslctl("daemon-tick", "--metrics-file", str(file))
    assert result.exit_code == 8
    found = parse(file.read_text())
    assert names_of(found) == {"sslctl_build_info", "sslctl_metrics_unread"}
    assert found["sslctl_metrics_unread",] > 0


@pytest.mark.parametrize("content", ["[acme]\n", None], ids=["a configuration", "a missing folder"])
def test_file_that_cannot_be_written_is_printed_once_a_day_and_the_tick_is_done(
    cdn: Cdn, file: Path, content: str | None
) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, "--no-wait")
    if content is None:
        file = file.parent / "missing" / file.name
    else:
        file.write_text(content)
    first = cdn.sslctl("daemon-tick", "-q", "--metrics-file", str(file))
    assert first.exit_code == 8
    assert "the metrics were not written" in first.stderr
    assert cdn.installed(NAME) is not None
    assert content is None or file.read_text() == content
    for _ in range(3):
        cdn.clock.move(minutes=70)
        again = cdn.sslctl("daemon-tick", "-q", "--metrics-file", str(file))
        assert (again.exit_code, again.stdout, again.stderr) == (8, "", "")
    cdn.clock.move(hours=25)
    assert "not written" in cdn.sslctl("daemon-tick", "-q", "--metrics-file", str(file)).stderr


def test_tick_without_prometheus_client_is_done_and_says_what_to_install(
    cdn: Cdn, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.exposition", None)
    result = cdn.sslctl("daemon-tick", "--metrics-file", str(file))
    assert (result.exit_code, file.exists()) == (8, False)
    assert "nothing due" in result.stdout
    assert "prometheus_client, which is not installed" in result.stderr
    hint = f"hint: in the folder of sslctl's source: {sys.executable} -m pip install '.[metrics]'"
    assert hint in result.stderr
    assert hint in cdn.sslctl("metrics").stderr
    quiet = [cdn.sslctl("daemon-tick", "-q", "--metrics-file", str(file)).stderr for _ in range(2)]
    assert [hint in text for text in quiet] == [True, False]


def test_group_that_cannot_be_read_is_absent_and_the_others_are_there(
    store: SqliteStore, clock: Clock
) -> None:
    calls = count(1)

    def open_store() -> SqliteStore:
        if next(calls) == 2:
            raise StateError("damaged")
        return store

    found = collect(open_store, clock(), RenewalRule, Limits)
    names = {sample.metric.name for sample in found.samples}
    assert "sslctl_renewals_overdue" not in names
    assert {"sslctl_domains", "sslctl_uploads_owed", "sslctl_orders_total"} <= names
    assert [sample.value for sample in found.samples if sample.metric.name == "sslctl_metrics_unread"] == [1]
    assert [error.message for error in found.errors] == ["damaged"]


def test_database_that_stays_locked_is_waited_for_once(clock: Clock) -> None:
    calls = count(1)

    def open_store() -> SqliteStore:
        raise StateBusy(f"locked {next(calls)}")

    found = collect(open_store, clock(), RenewalRule, Limits)
    assert {sample.metric.name for sample in found.samples} == {"sslctl_build_info", "sslctl_metrics_unread"}
    assert {error.message for error in found.errors} == {"locked 1"}


def test_symbolic_link_is_not_replaced(cdn: Cdn, file: Path) -> None:
    file.symlink_to(file.parent / "other")
    result = cdn.sslctl("daemon-tick", "--metrics-file", str(file))
    assert (result.exit_code, file.is_symlink()) == (8, True)


def _spell_plainly(state: Path, _folder: Path) -> Path:
    return state / "sslctl.prom"


def _spell_below(state: Path, _folder: Path) -> Path:
    (state / "acme").mkdir(exist_ok=True)
    return state / "acme" / ".." / "acme" / "sslctl.prom"


def _spell_by_link(state: Path, folder: Path) -> Path:
    (folder / "link").symlink_to(state)
    return folder / "link" / "sslctl.prom"


def _empty_lock(state: Path, _folder: Path) -> Path:
    return state / "tick.lock"


def _hard_link(state: Path, folder: Path) -> Path:
    (folder / "hard").hardlink_to(state / "tick.lock")
    return folder / "hard"


def _empty_token(_state: Path, folder: Path) -> Path:
    return folder / "token"


@pytest.mark.parametrize(
    "find",
    [_spell_plainly, _spell_below, _spell_by_link, _empty_lock, _hard_link, _empty_token],
    ids=lambda find: find.__name__,
)
def test_file_of_sslctl_is_no_metrics_file(
    cdn: Cdn, tmp_path: Path, find: Callable[[Path, Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cdn.sslctl("daemon-tick")
    (tmp_path / "token").touch()
    monkeypatch.setenv("SSLCTL_NOTIFY_WEBHOOK_SECRET_FILE", str(tmp_path / "token"))
    state = cdn.folder / "state"
    path = find(state, tmp_path)
    before = path.stat() if path.exists() else None
    result = cdn.sslctl("daemon-tick", "--metrics-file", str(path))
    assert (result.exit_code, "the metrics were not written" in result.stderr) == (8, True)
    assert (path.stat() if path.exists() else None) == before


@pytest.mark.parametrize("spell", ["sslctl.db", "master.key", "tick.lock"])
def test_own_file_is_neither_a_report_nor_an_export(cdn: Cdn, spell: str) -> None:
    cdn.sslctl("daemon-tick")
    path = cdn.app().config.state.dir / spell
    if spell == "master.key":
        path = cdn.app().config.state.master_key_path
    before = path.read_bytes()
    for command in (["report", str(path)], ["export", "inventory", "--format", "csv", "-o", str(path)]):
        result = cdn.sslctl(*command, "--force")
        assert (result.exit_code, "so nothing was written" in result.stderr) == (2, True)
    assert path.read_bytes() == before


def test_empty_file_is_not_replaced_while_the_configuration_cannot_be_read(
    cdn: Cdn, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_STATE_DIRR", "x")
    file.touch()
    assert cdn.sslctl("daemon-tick", "--metrics-file", str(file)).exit_code == 8
    assert file.read_bytes() == b""
    file.write_text("# HELP sslctl_domains of the last tick\n")
    assert cdn.sslctl("daemon-tick", "--metrics-file", str(file)).exit_code == 8
    assert "sslctl_build_info" in file.read_text()


def test_metrics_file_does_not_go_with_dry_run(cdn: Cdn, file: Path) -> None:
    assert cdn.sslctl("daemon-tick", "--dry-run", "--metrics-file", str(file)).exit_code == 2
    assert not file.exists()


@pytest.mark.promtool
def test_text_of_every_metric_passes_promtool() -> None:
    samples = [Sample(metric, 1, tuple(f'a"\\{label}' for label in metric.labels)) for metric in METRICS]
    text = render(samples)
    assert names_of(parse(text.decode())) == {metric.name for metric in METRICS}
    checked = subprocess.run(
        [find_program("promtool") or "", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
