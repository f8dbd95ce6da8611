"""The CA's limits: how they are written and told, whose they are, and what the configuration makes of them."""

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


def test_lets_encrypts_own() -> None:
    """https://letsencrypt.org/docs/rate-limits/, read in November 2026."""
    written = [LETS_ENCRYPT.orders, LETS_ENCRYPT.certificates, LETS_ENCRYPT.duplicates, LETS_ENCRYPT.failures]
    assert list(map(str, written)) == ["300/3h", "50/7d", "5/7d", "5/1h"]
    assert for_directory(PRODUCTION) is LETS_ENCRYPT


@pytest.mark.parametrize("url", [STAGING, "https://ca.test/directory", f"{PRODUCTION}/"])
def test_of_no_other_ca_limits_are_known(url: str) -> None:
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
)
def test_a_limit_is_written_and_told(text: str, limit: Limit, period: str) -> None:
    assert limit_of(text) == limit
    assert limit.period == period


def test_none_is_no_limit() -> None:
    assert limit_of("none") is None


@given(st.integers(1, 10**9 - 1), st.integers(1, 366 * 86_400))
def test_what_is_told_can_be_read_again(count: int, seconds: int) -> None:
    limit = Limit(count, timedelta(seconds=seconds))
    written = str(limit)
    if len(written.rpartition("/")[2]) <= 8:
        assert limit_of(written) == limit


@pytest.mark.parametrize(
    "text", ["", "300", "/3h", "0/3h", "3/0h", "3/3w", "3 / 3h", "1e9/3h", "3/367d", "3/3h\n", "None"]
)
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match="a limit is written like 300/3h, or none"):
        limit_of(text)


def test_the_configuration_wins_over_the_cas_own_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[limits]\norders = "1000/3h"\nfailures = "none"\n')
    limits = load(file, {"SSLCTL_LIMITS_CERTIFICATES": " 500/7d "}).ca_limits
    assert list(map(str, (limits.orders, limits.certificates, limits.duplicates, limits.failures))) == [
        "1000/3h",
        "500/7d",
        "5/7d",
        "None",
    ]


def test_a_ca_without_known_limits_has_those_of_the_configuration_alone(tmp_path: Path) -> None:
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
def test_a_scope_is_read_as_it_was_written(scope: Scope) -> None:
    assert scope_of(str(scope)) == scope


def test_equal_sets_of_names_have_equal_keys() -> None:
    assert set_key(("b.test", "a.test")) == set_key(("a.test", "b.test", "a.test"))
    assert set_key(("a.test",)) != set_key(("a.test", "b.test"))
