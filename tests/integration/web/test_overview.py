"""The list of domains: the same domains as `sslctl list`, counts that are links, pages, and the notices at the top."""

from __future__ import annotations

import csv
import io
import itertools
import shutil
from contextlib import closing, redirect_stdout
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from sslctl.app import App
from sslctl.cli.main import run
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.model import Milestone
from sslctl.rules.notice import WHOLE_FLEET, Notice, NoticeKey
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.remarks import Remarks
from sslctl.store.interface.domains import Sort
from sslctl.web.recent_answers import RecentAnswers
from sslctl.web.running import RECENT, TURNS
from sslctl.web.turns import Turns
from tests.support.fakes import START, Clock
from tests.support.html_page import Page
from tests.support.site_cases import DEPARTED, ELSEWHERE, PAUSED, UNICODE, WELL, site_over, write_config
from tests.support.store_cases import open_store

_CODES = sorted(
    {*REASONS} & {Code.CNAME_ELSEWHERE, Code.DEPARTED, Code.CERT_EXPIRED, Code.NXDOMAIN, Code.C4_UNANSWERED}
)
_parameters = st.fixed_dictionaries(
    {},
    optional={
        "q": st.sampled_from(("example", "*.example.com", "bücher", "c4", "well[0-2].*", "中国", "x")),
        "status": st.lists(st.sampled_from(Status), max_size=2),
        "owner": st.lists(st.sampled_from(Owner), max_size=2),
        "reason": st.sampled_from(_CODES),
        "warning": st.sampled_from(_CODES),
        "customer": st.sampled_from(("Acme & <b>Söhne</b>", "Umbrella", "Nobody")),
        "no_customer": st.just("1"),
        "assignee": st.sampled_from(("<i>Mei</i>", "Nobody")),
        "no_assignee": st.just("1"),
        "source": st.sampled_from(("c4", "text")),
        "within": st.sampled_from(("1d", "12h", "4w", "90d")),
        "sort": st.sampled_from(Sort),
    },
)


def _get(
    client: FlaskClient, parameters: dict[str, str | list[str]] | None = None, status: int = 200
) -> Page:
    response = client.get(f"/?{urlencode(parameters or {}, doseq=True)}")
    assert response.status_code == status, response.text
    return Page(response.text)


def _listed(page: Page) -> list[str]:
    """Return the names in the list, in A-labels."""
    links = [each for each in page.elements if each.tag == "a" and "th" in each.inside]
    return [each.attributes["href"].removeprefix("/domains/") for each in links]


def _list_of_cli(folder: Path, parameters: dict[str, str | list[str]]) -> list[str]:
    arguments = ["list", "--csv", "--sort", str(parameters.get("sort", "urgency"))]
    for key, value in parameters.items():
        if key in ("no_customer", "no_assignee"):
            arguments.append(f"--{key.replace('_', '-')}")
        elif key not in ("q", "sort"):
            option = "--expiring-within" if key == "within" else f"--{key}"
            for each in [value] if isinstance(value, str) else value:
                arguments += [option, each]
    arguments += [str(parameters["q"])] if "q" in parameters else []
    output = io.StringIO()
    with redirect_stdout(output):
        assert run(arguments, App(write_config(folder), Clock())) == 0
    return [row["domain"] for row in csv.DictReader(io.StringIO(output.getvalue()))]


@given(parameters=_parameters)
@settings(max_examples=40, deadline=None)
def test_page_lists_what_the_command_lists(
    client: FlaskClient, filled: Path, parameters: dict[str, str | list[str]]
) -> None:
    expected = _list_of_cli(filled, parameters)
    page = _get(client, parameters)
    assert _listed(page) == expected[:50]
    assert page.text_of("p", class_="matching").startswith(f"{len(expected)} ")
    # Each count is the number of domains behind its link.
    for link in page.find("a"):
        label, _, number = link.text.rpartition(" ")
        if number.isdigit() and {"nav", "ul"} <= set(link.inside) and "label" not in link.attributes:
            shown = Page(client.get(link.attributes["href"]).text).text_of("p", class_="matching")
            assert shown.split()[0] == number, (label, parameters)


@pytest.mark.parametrize(
    ("key", "value", "label"),
    [
        ("status", "Failure", "By status"),
        ("owner", "customer", "By who must act"),
        ("reason", "CAA_FORBIDS", ""),
    ],
)
def test_numbers_of_a_filter_are_the_same_whatever_it_has_chosen(
    client: FlaskClient, key: str, value: str, label: str
) -> None:
    def choices(page: Page) -> list[str]:
        if label:
            nav = page.find("nav", **{"aria-label": label})
            return [each.text for each in nav]
        return [each.text for each in page.find("select", id=key)]

    free, chosen = choices(_get(client)), choices(_get(client, {key: value}))
    assert chosen == free
    assert free != []


def test_second_page_follows_the_first_and_a_page_beyond_the_end_leads_back(client: FlaskClient) -> None:
    first = _get(client, {"sort": "name"})
    assert [each.text for each in first.find("a", rel="next")] == ["Next"]
    assert first.find("a", rel="prev") == []
    second = Page(client.get(first.find("a", rel="next")[0].attributes["href"]).text)
    both = _listed(first) + _listed(second)
    assert (len(_listed(first)), sorted(both)) == (50, both)
    assert len(set(both)) == len(both) > 50
    assert second.find("a", rel="next") == []
    beyond = _get(client, {"sort": "name", "page": "9"}, 404)
    assert (_listed(beyond), "There is no page 9: the last page is 2." in beyond.text_of("main")) == (
        [],
        True,
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"q": "["}, "["),
        ({"q": "<b>"}, "<b>"),
        ({"status": "Fine"}, "'Fine' is no status"),
        ({"reason": "CNAME"}, "'CNAME' is no reason"),
        ({"within": "soon"}, "is not a duration"),
        ({"within": "99999w", "page": "0"}, "'0' is no number of a page"),
        ({"page": "٣"}, "is no number of a page"),
        ({"sort": "size"}, "'size' is no sort"),
    ],
)
def test_unusable_parameter_is_explained_and_the_form_keeps_what_was_typed(
    client: FlaskClient, parameters: dict[str, str | list[str]], message: str
) -> None:
    page = _get(client, parameters, 400)
    assert message in page.text_of("div", role="alert")
    assert page.find("input", id="q")[0].attributes["value"] == parameters.get("q", "")
    assert _listed(page) == []


def test_filters_in_force_are_shown_and_each_can_be_removed(client: FlaskClient) -> None:
    page = _get(client, {"q": "example", "status": ["Failure", "Expired"], "customer": "Umbrella"})
    removals = [each for each in page.find("a") if each.attributes.get("aria-label", "").startswith("Remove")]
    assert [each.text for each in removals] == [
        "Search names: example ×",  # noqa: RUF001
        "Status: Failure ×",  # noqa: RUF001
        "Status: Expired ×",  # noqa: RUF001
        "Customer: Umbrella ×",  # noqa: RUF001
    ]
    assert (
        removals[1].attributes["href"]
        == f"/?{urlencode({'q': 'example', 'status': 'Expired', 'customer': 'Umbrella'})}"
    )


def test_form_keeps_every_value_of_a_filter(client: FlaskClient) -> None:
    sent = {
        "status": ["Failure", "Expired"],
        "reason": ["CAA_FORBIDS", "CNAME_ELSEWHERE", "NXDOMAIN"],
        "customer": ["Acme & <b>Söhne</b>", "Umbrella"],
        "assignee": ["Mei", "Li"],
    }
    page = _get(client, {**sent})
    fields = [
        (each.attributes["name"], each.attributes.get("value", ""))
        for each in page.find("input")
        if each.attributes["name"] in sent
    ]
    fields += [
        ("reason", each.attributes["value"]) for each in page.find("option") if "selected" in each.attributes
    ][:2]
    kept = {key: sorted(value for name, value in fields if name == key and value) for key in sent}
    assert kept == {key: sorted(values) for key, values in sent.items()}


def test_values_of_filters_are_shown_in_words(client: FlaskClient) -> None:
    page = _get(client, {"within": "90d", "source": "c4", "reason": "CAA_FORBIDS", "no_customer": "1"})
    shown = [
        each.text for each in page.find("a") if each.attributes.get("aria-label", "").startswith("Remove")
    ]
    assert [each.removesuffix(" ×") for each in shown] == [  # noqa: RUF001
        "Reason: CAA record forbids the CA",
        "without a customer",
        "Source: C4",
        "Expires within: 90 days",
    ]


def test_row_shows_customer_remarks_deadline_and_unicode(client: FlaskClient) -> None:
    page = _get(client, {"q": "example.com"})
    rows = {
        name: each.text for name, each in zip(_listed(page), page.find("tr", role="row")[1:], strict=True)
    }
    assert "Acme & <b>Söhne</b> Failure CNAME points elsewhere" in rows[ELSEWHERE]
    assert "assigned to <i>Mei</i> note Customer" in rows[ELSEWHERE]
    assert rows[ELSEWHERE].endswith("2026-11-28 in 5 days act by 2026-11-28 00:00 SGT")
    assert rows[DEPARTED].endswith("snoozed until 2026-12-23 Customer 2026-11-23 2027-02-01 in 70 days")
    assert rows["suspected.example.com"].startswith(
        "suspected.example.com Success Suspected: Name does not exist"
    )
    assert "Not confirmed: C4 does not answer" in rows["suspected.example.com"]
    assert rows[PAUSED].endswith("no certificate yet")
    link = page.find("a", title=UNICODE)[0]
    assert (link.text, rows[UNICODE].startswith("bücher.example.com +1")) == ("bücher.example.com", True)
    assert rows[WELL] == "shop.example.com Umbrella Success 2026-11-23 2026-12-13 in 20 days"


def test_empty_state_says_where_it_is_and_how_to_add(tmp_path: Path) -> None:
    open_store(tmp_path / "state").close()
    page = _get(site_over(tmp_path, Clock()).test_client())
    assert page.text_of("div", class_="empty") == (
        f"No domains are managed yet. State: {tmp_path / 'state'}. Add the first domain with: sslctl add DOMAIN"
    )


def test_notices_at_the_top_name_pauses_silent_ticks_and_trouble_of_the_fleet(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path / "state", clock)
    client = site_over(tmp_path, clock).test_client()
    store.add_domains(["a.test"])
    assert _get(client).find("section", class_="notices") == []
    clock.move(hours=27)
    assert "No tick has ended yet" in _get(client).text_of("section", class_="notices")
    store.record_milestone(Milestone.TICK, "done")
    assert _get(client).find("section", class_="notices") == []
    clock.move(hours=27)
    trouble = Notice(START, frozenset({(Code.C4_UNANSWERED.value, WHOLE_FLEET), ("a.test", "Failure")}))
    missed = Notice(START, frozenset(), missed=(0,), missed_since=START, why="<b>timeout</b>")
    store.record_notices({NoticeKey(): trouble, NoticeKey("mail"): missed})
    store.set_maintenance_pause(clock() + timedelta(hours=1), "new release")
    page = _get(client)
    store.close()
    assert [each.text for each in page.find("li") if "section" in each.inside] == [
        "No tick has ended since 2026-11-24 15:00 SGT: nothing is renewed. Check that cron or the timer runs sslctl daemon-tick",
        "The whole fleet is affected: C4 does not answer (C4_UNANSWERED)",
        "Orders and uploads are paused until 2026-11-25 19:00 SGT: new release (set by tester (test))",
        "The last notification to the route mail has not been delivered since 2026-11-23 12:00 SGT: <b>timeout</b>",
    ]


def test_notices_name_what_the_ca_asked_for(tmp_path: Path) -> None:
    clock = Clock()
    app = App(write_config(tmp_path), clock)
    app.make_state()
    app.store.pause(Scope(LimitKind.ORDERS), START + timedelta(hours=3), "too many orders")
    app.store.pause(Scope(LimitKind.FAILURES, "a.test"), START + timedelta(hours=1), "too many failures")
    app.close()
    page = _get(site_over(tmp_path, clock).test_client())
    assert [each.text for each in page.find("li") if "section" in each.inside] == [
        "No new orders are placed until 2026-11-23 15:00 SGT: too many orders",
        "One name or set of names gets no new order until 2026-11-23 13:00 SGT at the latest, as the CA requested",
    ]


@pytest.mark.parametrize("path", ["/", "/charts", "/download", "/domains/wel1.example.com"])
def test_page_is_refused_while_others_read_all_domains_for_too_long(filled: Path, path: str) -> None:
    site = site_over(filled, Clock())
    turns = site.extensions[TURNS]
    turns.wait_seconds = 0
    with site.test_client() as client:
        with turns.take():
            refused = client.get(path)
        assert (refused.status_code, "many requests read the list" in refused.text) == (503, True)
        assert client.get(path).status_code in (200, 404)
        # A request that failed gave its turn back.
        with turns.take():
            assert client.get("/add").status_code == 200


def test_list_shows_a_change_of_this_page_at_once(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled / "state", tmp_path / "state")
    site = site_over(tmp_path, Clock())
    # Each query seems to take a second, so its answer is given for ten more.
    seconds = itertools.count()
    site.extensions[RECENT] = RecentAnswers(Turns(), lambda: next(seconds))
    client = site.test_client()
    query = "/?assignee=Grace"
    assert WELL not in client.get(query).text
    with closing(open_store(tmp_path / "state")) as store:
        store.record_remarks(store.domain(WELL), Remarks(assignee="Grace"))
    assert WELL not in client.get(query).text, "an answer of a moment ago"
    assert client.post(f"/domains/{UNICODE}/assign", data={"value": "Grace", "before": ""}).status_code == 303
    shown = client.get(query).text
    assert (WELL in shown, UNICODE in shown) == (True, True)
