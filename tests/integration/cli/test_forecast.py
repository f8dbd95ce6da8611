"""`sslctl forecast`: the renewals to come of the domains in the store, as text, JSON and CSV."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support import words
from tests.support.cdn import Cdn

NAMES = [f"d{number}.example.com" for number in range(6)]


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    """Six domains whose certificates were issued at noon of 23 November 2026 in Singapore."""
    for name in NAMES:
        cdn.add_domain(name)
    assert cdn.sslctl("add", *NAMES).exit_code == 0
    return cdn


def ask(cdn: Cdn, *options: str) -> Any:
    result = cdn.sslctl("forecast", "--json", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.json


def renewals(answer: Any) -> dict[str, int]:
    return {day["day"]: day["renewals"] for day in answer["days"] if day["renewals"]}


def test_forecast_reports_that_there_is_nothing_to_forecast_when_the_store_is_empty(cdn: Cdn) -> None:
    result = cdn.sslctl("forecast")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("Nothing to forecast: no certificate of source c4 is managed here.")
    assert ask(cdn)["certificates"] == 0
    assert cdn.sslctl("forecast", "--csv").stdout.count("\r\n") == 91


def test_forecast_names_the_day_on_which_the_tick_renews_a_cohort(fleet: Cdn) -> None:
    assert renewals(ask(fleet)) == {"2027-02-14": 6}
    fleet.clock.at = datetime(2027, 2, 13, 15, 59, tzinfo=UTC)
    assert fleet.sslctl("daemon-tick", "--json").json["domains"] == []
    for _ in range(24):
        fleet.clock.move(hours=1)
        fleet.sslctl("daemon-tick")
    assert len(fleet.issuer.orders) == 12
    assert renewals(ask(fleet)) == {"2027-05-08": 6}


def test_forecast_spreads_by_the_configured_budget_unless_the_option_overrides_it(
    fleet: Cdn,
) -> None:
    fleet.config_path.write_text(fleet.config_path.read_text() + "[renewal]\nmax_per_day = 2\n")
    answer = ask(fleet)
    assert renewals(answer) == {"2027-02-12": 2, "2027-02-13": 2, "2027-02-14": 2}
    assert (answer["fits"], answer["max_per_day"], answer["breaks_on"]) == (True, 2, None)
    assert [day["unspread"] for day in answer["days"] if day["unspread"]] == [6]
    assert renewals(ask(fleet, "--max-per-day", "3")) == {"2027-02-13": 3, "2027-02-14": 3}
    assert renewals(ask(fleet, "--max-per-day", "0")) == {"2027-02-14": 6}


def test_forecast_counts_renewals_of_today_against_the_budget_of_today(fleet: Cdn) -> None:
    fleet.clock.at = datetime(2027, 2, 13, 4, 0, tzinfo=UTC)
    before = renewals(ask(fleet, "--days", "2", "--max-per-day", "4"))
    assert before == {"2027-02-13": 2, "2027-02-14": 4}
    assert fleet.sslctl("recheck", "--force-renew", *NAMES[:2]).exit_code == 0
    assert renewals(ask(fleet, "--days", "2", "--max-per-day", "4")) == {"2027-02-14": 4}


def test_forecast_applies_the_lifetime_option_to_future_certificates(fleet: Cdn) -> None:
    answer = ask(fleet, "--lifetime", "45d", "--days", "160")
    assert renewals(answer) == {"2027-02-14": 6, "2027-03-24": 6, "2027-05-01": 6}


def test_forecast_counts_the_domains_of_the_add_option(fleet: Cdn) -> None:
    answer = ask(fleet, "--add", "5000")
    assert (answer["days"][0]["new"], answer["queued"]) == (5000, 0)
    assert renewals(answer) == {"2027-02-14": 5006}


@pytest.mark.parametrize(
    ("limit", "a_day", "taken"),
    [
        ("300/3h", 2400, [2400, 2400, 200]),
        ("10000/7d", 1428, [1428, 1428, 1428]),
        ("none", None, [5000, 0, 0]),
    ],
    ids=words,
)
def test_forecast_adds_new_domains_as_fast_as_the_order_limit_allows(
    fleet: Cdn, limit: str, a_day: int | None, taken: list[int]
) -> None:
    fleet.config_path.write_text(fleet.config_path.read_text() + f'[limits]\norders = "{limit}"\n')
    answer = ask(fleet, "--add", "5000")
    assert answer["new_per_day"] == a_day
    assert [day["new"] for day in answer["days"][:3]] == taken
    # Renewals are exempt.
    assert answer["days"][83]["renewals"] == 6 + taken[0]


def test_forecast_counts_queued_domains_as_new_and_excludes_failing_ones(cdn: Cdn) -> None:
    cdn.add_domain("elsewhere.example.com", points_at="parking.elsewhere.test")
    cdn.sslctl("add", "elsewhere.example.com")
    cdn.sslctl("add", "queued.example.com", "--no-wait")
    answer = ask(cdn)
    assert (answer["queued"], answer["failing"], answer["days"][0]["new"]) == (1, 1, 1)
    output = cdn.sslctl("forecast").stdout
    assert "Not counted: 1 failing domain" in output


def test_forecast_prints_bars_and_a_verdict(fleet: Cdn) -> None:
    output = fleet.sslctl("forecast", "--max-per-day", "2", "--days", "90").stdout.splitlines()
    assert output[0] == "Orders a day, 90 days from 2026-11-23: 6 certificates, 0 new domains"
    assert "2027-02-08       6            2  " + "█" * 44 + "│" in output
    assert "It fits: no day has more than 2 renewals, and renewal.max_per_day is 2." in output
    assert "Without spreading, 2027-02-14 would have 6." in output


def test_forecast_names_the_breaking_day_and_a_sufficient_budget_when_it_does_not_fit(fleet: Cdn) -> None:
    fleet.clock.at = datetime(2027, 2, 18, 4, 0, tzinfo=UTC)
    answer = ask(fleet, "--max-per-day", "1")
    assert (answer["fits"], answer["breaks_on"], answer["enough"]) == (False, "2027-02-20", 6)
    assert answer["verdict"].startswith("It does not fit: from 2027-02-20 on, ")


def test_forecast_csv_has_one_row_per_day(fleet: Cdn) -> None:
    result = fleet.sslctl("forecast", "--csv", "--max-per-day", "2")
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [row["day"] for row in rows[:2]] == ["2026-11-23", "2026-11-24"]
    assert rows[83] == {
        "day": "2027-02-14", "orders": "2", "renewals": "2", "early": "0", "late": "0", "over": "0", "new": "0",
        "waiting": "0", "unspread": "6",
    }  # fmt: skip
    assert [list(map(str, row.values())) for row in ask(fleet, "--max-per-day", "2")["days"]] == [
        list(row.values()) for row in rows
    ]


@pytest.mark.parametrize(
    "options",
    [
        ["--days", "0"],
        ["--days", "731"],
        ["--lifetime", "23h"],
        ["--lifetime", "401d"],
        ["--lifetime", "45"],
        ["--add", "-1"],
        ["--max-per-day", "-1"],
    ],
    ids=" ".join,
)
def test_forecast_rejects_invalid_options_with_a_usage_error(cdn: Cdn, options: list[str]) -> None:
    result = cdn.sslctl("forecast", *options)
    assert (result.exit_code, result.stdout) == (2, "")


def test_forecast_sends_no_request_and_changes_nothing(fleet: Cdn) -> None:
    fleet.clock.move(days=80)
    before = (len(fleet.c4.requests), len(fleet.zone.queries), fleet.sslctl("list", "--json").stdout)
    fleet.sslctl("forecast", "--add", "10")
    assert (len(fleet.c4.requests), len(fleet.zone.queries), fleet.sslctl("list", "--json").stdout) == before
