"""Token buckets."""

from __future__ import annotations

from sslctl.web.access.limits import Limited, Limiter


def test_bucket_lets_a_burst_pass_and_then_one_at_a_time() -> None:
    now = 50.0
    limiter = Limiter(lambda: now)
    assert [limiter.take(Limited.KEYS, "bob") for _ in range(20)] == [0] * 20
    assert limiter.take(Limited.KEYS, "bob") == 15
    # Others, and other limits, have buckets of their own.
    assert (limiter.take(Limited.KEYS, "eve"), limiter.take(Limited.CHANGE, "bob")) == (0, 0)
    now += 14
    assert limiter.take(Limited.KEYS, "bob") == 1
    now += 1
    assert (limiter.take(Limited.KEYS, "bob"), limiter.take(Limited.KEYS, "bob")) == (0, 15)


def test_refused_requests_do_not_lengthen_the_wait() -> None:
    now = 0.0
    limiter = Limiter(lambda: now)
    for _ in range(100):
        limiter.take(Limited.ENTER, "")
    now += 6
    assert limiter.take(Limited.ENTER, "") == 0


def test_many_at_once_count_as_many() -> None:
    now = 0.0
    limiter = Limiter(lambda: now)
    assert [limiter.take(Limited.BULK_KEYS, "bob", 200) for _ in range(3)] == [0, 0, 2000]
    now += 2000
    assert limiter.take(Limited.BULK_KEYS, "bob", 200) == 0


def test_buckets_of_many_persons_are_bounded() -> None:
    limiter = Limiter(lambda: 0.0)
    for number in range(10_500):
        assert limiter.take(Limited.CHANGE, str(number)) == 0
    assert len(limiter._buckets) == 10_000
