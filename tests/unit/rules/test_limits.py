"""Rate limits of the CA: their text form, the known CAs, and the configuration."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslctl.config.settings import load
from sslctl.rules.limits import (
    LETS_ENCRYPT,
    NO_LIMITS,
    Limit,
    LimitKind,
    Scope,
    for_directory,
    limit_of,
    scope_of,
    set_key,
)

PRODUCTION = "https://acme-v02.api.letsencrypt.org/directory"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


def test_limits_of_lets_encrypt_are_the_published_ones() -> None:
    """https://letsencrypt.org/docs/rate-limits/, read in November 2026."""
    written = [LETS_ENCRYPT.orders, LETS_ENCRYPT.certificates, LETS_ENCRYPT.duplicates, LETS_ENCRYPT.failures]
    assert list(map(str, written)) == ["300/3h", "50/7d", "5/7d", "5/1h"]
    assert for_directory(PRODUCTION) is LETS_ENCRYPT


@pytest.mark.parametrize("url", [STAGING, "https://ca.test/directory", f"{PRODUCTION}/"])
def test_for_directory_returns_no_limits_for_any_other_ca(url: str) -> None:
    assert for_directory(url) is NO_LIMITS


@pytest.mark.parametrize(
    ("text", "limit", "period"),
    [
        ("300/3h", Limit(300, timedelta(hours=3)), "3 hours"),
        ("50/7d", Limit(50, timedelta(days=7)), "7 days"),
        ("5/1h", Limit(5, timedelta(hours=1)), "1 hour"),
        ("1/90m", Limit(1, timedelta(minutes=90)), "90 minutes"),
        ("2/1s", Limit(2, timedelta(seconds=1)), "1 second"),
        ("7/48h", Limit(7, timedelta(days=2)), "2 days"),
        ("7/366d", Limit(7, timedelta(days=366)), "366 days"),
    ],
    ids=str,
)
def test_limit_of_reads_a_limit_and_period_describes_it(text: str, limit: Limit, period: str) -> None:
    assert limit_of(text) == limit
    assert limit.period == period


@pytest.mark.parametrize(("text", "a_day"), [("300/3h", 2400), ("50/7d", 7), ("7/7d", 1), ("1/30d", 1)])
def test_limit_per_day_is_rounded_down_and_at_least_one(text: str, a_day: int) -> None:
    limit = limit_of(text)
    assert limit is not None
    assert limit.per_day == a_day


def test_limit_of_none_is_no_limit() -> None:
    assert limit_of("none") is None


@given(st.integers(1, 10**9 - 1), st.integers(1, 366 * 86_400))
def test_limit_of_reads_what_str_writes(count: int, seconds: int) -> None:
    limit = Limit(count, timedelta(seconds=seconds))
    written = str(limit)
    if len(written.rpartition("/")[2]) <= 8:
        assert limit_of(written) == limit


@pytest.mark.parametrize(
    "text", ["", "300", "/3h", "0/3h", "3/0h", "3/3w", "3 / 3h", "1e9/3h", "3/367d", "3/3h\n", "None"]
)
def test_limit_of_raises_value_error_for_invalid_text(text: str) -> None:
    with pytest.raises(ValueError, match="a limit is written like 300/3h, or none"):
        limit_of(text)


def test_configured_limits_override_single_limits_of_the_ca(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[limits]\norders = "1000/3h"\nfailures = "none"\n')
    limits = load(file, {"SSLCTL_LIMITS_CERTIFICATES": " 500/7d "}).ca_limits
    assert list(map(str, (limits.orders, limits.certificates, limits.duplicates, limits.failures))) == [
        "1000/3h",
        "500/7d",
        "5/7d",
        "None",
    ]


def test_ca_without_known_limits_has_only_the_configured_ones(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[acme]\ndirectory_url = "{STAGING}"\n[limits]\norders = "1500/3h"\n')
    assert load(file, {}).ca_limits == NO_LIMITS.__class__(orders=Limit(1500, timedelta(hours=3)))


@pytest.mark.parametrize(
    "scope",
    [
        Scope(LimitKind.ORDERS),
        Scope(LimitKind.BREAKER),
        Scope(LimitKind.CERTIFICATES, "a.b"),
        Scope(LimitKind.DUPLICATES, '["a:b"]'),
    ],
    ids=str,
)
def test_scope_of_reads_what_str_writes(scope: Scope) -> None:
    assert scope_of(str(scope)) == scope


def test_set_key_is_equal_for_equal_sets_of_names() -> None:
    assert set_key(("b.test", "a.test")) == set_key(("a.test", "b.test", "a.test"))
    assert set_key(("a.test",)) != set_key(("a.test", "b.test"))
