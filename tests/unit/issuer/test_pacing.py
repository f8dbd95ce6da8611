"""The pace of requests: in one process, in several, and with a file that cannot be trusted."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from sslctl.issuer.certbot.pacing import LONGEST_HOLD, Kind, Pace


class Time:
    """A monotonic clock that passes only while somebody sleeps. It keeps when each request started."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.starts: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def pace(self, path: Path | None, rate: float) -> Pace:
        return Pace(path, {Kind.NEW_NONCE: rate}, monotonic=self.monotonic, sleep=self.sleep)

    def most_in_a_second(self) -> int:
        return max(sum(start <= other < start + 1 for other in self.starts) for start in self.starts)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["file", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "pace" if request.param == "file" else None


@pytest.mark.parametrize("rate", [1, 3, 20, 40, 250])
def test_requests_start_at_the_rate_after_a_burst_of_a_quarter_of_it(
    time: Time, path: Path | None, rate: int
) -> None:
    pace, burst = time.pace(path, rate), max(1, rate // 4)
    for _ in range(4 * rate):
        pace.wait(Kind.NEW_NONCE)
        time.starts.append(time.now)
    assert sum(start < 1000 + 1e-6 for start in time.starts) == burst
    assert time.starts[-1] == pytest.approx(1000 + (4 * rate - burst) / rate)
    assert time.most_in_a_second() <= rate + burst + 1


def test_burst_is_available_again_after_idle_time(time: Time, path: Path | None) -> None:
    pace = time.pace(path, 20)
    for _ in range(30):
        pace.wait(Kind.NEW_NONCE)
    time.now += 60
    at = time.now
    for _ in range(5):
        pace.wait(Kind.NEW_NONCE)
    assert time.now == at
    pace.wait(Kind.NEW_NONCE)
    assert time.now == pytest.approx(at + 1 / 20)


def test_processes_with_the_same_file_share_one_pace(time: Time, tmp_path: Path) -> None:
    paces = [time.pace(tmp_path / "pace", 20) for _ in range(3)]
    for number in range(65):
        paces[number % 3].wait(Kind.NEW_NONCE)
    assert time.now == pytest.approx(1000 + (65 - 5) / 20)


def test_kinds_have_buckets_of_their_own(time: Time, path: Path | None) -> None:
    pace = Pace(path, {Kind.NEW_NONCE: 4, Kind.OTHER: 4}, monotonic=time.monotonic, sleep=time.sleep)
    pace.wait(Kind.NEW_NONCE)
    pace.wait(Kind.OTHER)
    assert time.now == 1000.0


@pytest.mark.parametrize("rate", [0, 20])
def test_hold_lets_no_request_of_its_kind_start_before_its_end(
    time: Time, path: Path | None, rate: int
) -> None:
    pace = time.pace(path, rate)
    pace.hold(Kind.NEW_NONCE, 30)
    pace.hold(Kind.NEW_NONCE, 10)
    pace.wait(Kind.OTHER)
    assert time.now == 1000.0
    pace.wait(Kind.NEW_NONCE)
    assert time.now == 1030.0
    pace.wait(Kind.NEW_NONCE)
    assert time.now == 1030.0, "after a hold a burst starts at once again"


def test_hold_during_a_wait_delays_who_waits(time: Time, path: Path | None) -> None:
    held: list[bool] = []

    def sleep(seconds: float) -> None:
        if not held:
            held.append(True)
            pace.hold(Kind.NEW_NONCE, 20)
        time.now += seconds

    pace = Pace(path, {Kind.NEW_NONCE: 1}, monotonic=time.monotonic, sleep=sleep)
    pace.wait(Kind.NEW_NONCE)
    pace.wait(Kind.NEW_NONCE)
    assert time.now >= 1020.0


def test_hold_is_bounded_and_a_job_waits_for_no_more_than_two(time: Time, path: Path | None) -> None:
    def sleep(seconds: float) -> None:
        time.now += seconds
        pace.hold(Kind.NEW_NONCE, 1e9)

    pace = Pace(path, {}, monotonic=time.monotonic, sleep=sleep)
    pace.hold(Kind.NEW_NONCE, 1e9)
    pace.wait(Kind.NEW_NONCE)
    assert time.now == 1000.0 + 2 * LONGEST_HOLD


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        struct.pack("=6d", *[9e9] * 6),
        struct.pack("=6d", *[float("nan")] * 6),
        struct.pack("=6d", *[float("inf")] * 6),
        struct.pack("=6d", *[-9e9] * 6),
    ],
    ids=["empty", "short", "before a restart", "nan", "inf", "past"],
)
def test_file_that_cannot_be_right_is_ignored(time: Time, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pace").write_bytes(content)
    pace = time.pace(tmp_path / "pace", 4)
    pace.wait(Kind.NEW_NONCE)
    assert time.now == 1000.0
    pace.wait(Kind.NEW_NONCE)
    assert time.now == 1000.25


def test_pace_is_kept_in_this_process_when_the_file_cannot_be_written(time: Time, tmp_path: Path) -> None:
    pace = time.pace(tmp_path / "no folder" / "pace", 4)
    pace.wait(Kind.NEW_NONCE)
    pace.wait(Kind.NEW_NONCE)
    assert time.now == 1000.25


def test_file_is_not_written_through_a_symbolic_link(time: Time, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "pace").symlink_to(tmp_path / "target")
    time.pace(tmp_path / "pace", 4).wait(Kind.NEW_NONCE)
    assert (tmp_path / "target").read_bytes() == b""
