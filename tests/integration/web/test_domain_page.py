"""The page of one domain."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from sslctl.fleet.similar_names import find_similar
from sslctl.rules.customer_message import find_needs, write_messages
from sslctl.rules.customer_texts import Language
from sslctl.store.sqlite.store import SqliteStore
from tests.support.archive_cases import prune, write_years
from tests.support.fakes import START, Clock
from tests.support.html_page import Page
from tests.support.site_cases import (
    ALIAS,
    DELETED,
    DEPARTED,
    ELSEWHERE,
    EXPIRED,
    UNICODE,
    WELL,
    fill,
    site_over,
)
from tests.support.store_cases import open_store


def _get(client: FlaskClient, name: str, query: str = "", status: int = 200) -> Page:
    response = client.get(f"/domains/{name}{query}")
    assert response.status_code == status, response.text
    return Page(response.text)


def _facts(page: Page) -> dict[str, str]:
    labels, texts = page.find("dt"), page.find("dd")
    return {label.text: text.text for label, text in zip(labels, texts, strict=True)}


def test_reason_is_shown_with_owner_next_step_deadline_and_record(client: FlaskClient) -> None:
    page = _get(client, ELSEWHERE)
    facts = _facts(page)
    assert page.text_of("h1") == ELSEWHERE
    assert page.find("h2")[0].text == "Reason: CNAME points elsewhere"
    assert facts["Who acts"] == "Customer"
    assert facts["Next step"] == "The customer must point the CNAME at the CDN."
    assert facts["Deadline"] == "2026-11-28 00:00 SGT in 4 days"
    assert facts["Next try"] == "at the next tick"
    assert facts["Serving"] == "valid, 5 days left"
    assert facts["Assigned to"] == "<i>Mei</i>"
    row = [each.text for each in page.find("td") if "table" in each.inside][:4]
    assert row == ["CNAME", f"{ELSEWHERE} Copy", "parking.example.net", "elsewhere.cdn.test Copy"]
    copied = [each.attributes["data-copy"] for each in page.find("button", class_="copy")]
    assert copied[:2] == [ELSEWHERE, "elsewhere.cdn.test"]


def test_message_for_the_customer_is_that_of_the_command_in_both_languages(
    client: FlaskClient, filled: Path
) -> None:
    store = open_store(filled / "state")
    needs = find_needs(store.domain(ELSEWHERE), START)
    store.close()
    expected = [write_messages(needs, language, START)[0] for language in Language]
    page = _get(client, ELSEWHERE)
    assert [each.text for each in page.find("pre")] == [" ".join(each.body.split()) for each in expected]
    assert page.find("button", class_="copy")[-1].attributes["data-copy"].endswith(expected[-1].body)
    assert _get(client, WELL).find("pre") == []


def test_expired_domain_shows_what_must_be_solved_first(client: FlaskClient) -> None:
    page = _get(client, EXPIRED)
    assert page.find("h2")[0].text == "Reason: Certificate expired · CAA record forbids the CA"
    assert _facts(page)["Next step"].startswith("The customer must allow the CA")
    assert "Deadline" not in _facts(page)


def test_chinese_page_translates_labels_owner_and_next_step_and_keeps_the_detail(client: FlaskClient) -> None:
    page = _get(client, EXPIRED, "?lang=zh")
    facts = _facts(page)
    assert page.find("h2")[0].text == "原因：证书已过期 · CAA 记录禁止 CA 签发"  # noqa: RUF001
    assert (facts["处理方"], facts["下一步"][:4]) == ("客户", "客户须在")
    assert "The certificate expired on" in facts["技术详情"]


def test_warning_suspicion_and_step_without_answer_have_a_card_each(client: FlaskClient) -> None:
    suspected = _get(client, "suspected.example.com")
    assert [each.text for each in suspected.find("h2")[:2]] == [
        "Not confirmed since 2026-11-23 12:00 SGT: C4 does not answer",
        "Suspected: Name does not exist in DNS",
    ]
    departed = _get(client, DEPARTED)
    assert departed.find("h2")[0].text == "Warning: Domain has left the CDN"
    assert _facts(departed)["Snoozed"] == "until 2026-12-23 12:00 SGT (2026-12-23 04:00 UTC)"
    assert "Nothing to do." in _get(client, WELL).text_of("main")


def test_versions_are_listed(client: FlaskClient) -> None:
    table = _get(client, WELL).find("table", class_="versions")[0]
    assert "1 serving C4 2026-11-23 12:00 SGT 2026-12-13 12:00 SGT abababababababab" in table.text


def test_deleted_domain_is_shown_with_its_history(client: FlaskClient) -> None:
    page = _get(client, DELETED)
    assert "This domain was deleted 2026-11-23 12:00 SGT" in page.text_of("main")
    assert page.find("section", class_="card") == []


@pytest.mark.parametrize(
    ("typed", "location"),
    [
        ("SHOP.Example.com.", f"/domains/{WELL}"),
        ("bücher.example.com", f"/domains/{UNICODE}"),
        (ALIAS, f"/domains/{ELSEWHERE}?alias={ALIAS}"),
    ],
)
def test_other_spelling_or_other_name_leads_to_the_domain(
    client: FlaskClient, typed: str, location: str
) -> None:
    response = client.get(f"/domains/{typed}")
    assert response.status_code in (301, 302)
    assert response.headers["Location"] == location


def test_alias_is_explained_only_if_the_certificate_has_it(client: FlaskClient) -> None:
    assert f"{ALIAS} is another name" in _get(client, ELSEWHERE, f"?alias={ALIAS}").text_of("main")
    assert "is another name" not in _get(client, ELSEWHERE, "?alias=evil.example").text_of("main")


@pytest.mark.parametrize(
    ("typed", "similar"),
    [
        ("shpo.example.com", WELL),
        ("depatred.example.com", DEPARTED),
        ("elsewere.example.com", ELSEWHERE),
    ],
)
def test_unknown_name_is_404_with_similar_names(client: FlaskClient, typed: str, similar: str) -> None:
    page = _get(client, typed, status=404)
    assert similar in [each.text for each in page.find("a") if "li" in each.inside]


@pytest.mark.parametrize(
    "typed", ["*.example.com", "1.2.3.4", "com", "a_b.example", "x" * 300, "%00.example"]
)
def test_text_that_is_no_name_is_404(client: FlaskClient, typed: str) -> None:
    _get(client, typed, status=404)


@pytest.mark.parametrize("typed", ["hsop.example.com", "shpo.example.com", "shop.exmaple.com"])
def test_similar_name_is_found_among_many_of_one_customer(store: SqliteStore, typed: str) -> None:
    store.add_domains([WELL, *(f"a{number:03}.example.com" for number in range(400))])
    assert WELL in find_similar(store, typed, START)


def test_history_has_pages_with_the_newest_first(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state")
    fill(store)
    domain = store.domain(WELL)
    for number in range(60):
        store.record_event(domain, "found", f"event {number}")
    store.close()
    client = site_over(tmp_path, Clock()).test_client()
    first = _get(client, WELL)
    rows = [each.text for each in first.find("td", class_="detail")]
    assert (rows[0], rows[-1], len(rows)) == ("event 59", "event 10", 50)
    second = Page(client.get(first.find("a", rel="next")[0].attributes["href"]).text)
    assert second.find("td", class_="detail")[0].text == "event 9"
    assert second.find("a", rel="prev")[0].attributes["href"] == f"/domains/{WELL}#history"
    _get(client, WELL, "?page=3", 404)
    _get(client, WELL, "?page=x", 400)


def test_history_in_archives_is_named(tmp_path: Path) -> None:
    clock, folder = Clock(), tmp_path / "site"
    folder.mkdir()
    store = open_store(folder / "state", clock)
    write_years(store, clock)
    client = site_over(folder, clock).test_client()
    assert _archived(_get(client, "a.test")) == []
    prune(store, clock, tmp_path / "archive")
    clock.move(days=1000)
    assert _archived(_get(client, "a.test")) == ["History older than 2028-05-16 12:00 SGT is in archives."]
    prune(store, clock, tmp_path / "archive")
    page = _get(client, "a.test")
    assert _archived(page) == ["History older than 2031-02-10 12:00 SGT is in archives."]
    assert page.find("table", class_="history") == []
    store.close()


def _archived(page: Page) -> list[str]:
    return [each.text for each in page.find("p") if "archives" in each.text]
