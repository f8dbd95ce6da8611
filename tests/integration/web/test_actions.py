"""Forms: add, recheck, delete, note, assign, snooze and download, with and without the role, over a test CDN."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sslctl.web.access import Person, Role
from sslctl.web.access.local_gate import LocalGate
from sslctl.web.jobs import Jobs
from sslctl.web.site import make_site
from tests.support.cdn import Cdn
from tests.support.fakes import Clock
from tests.support.html_page import Page
from tests.support.site_cases import WELL, OpenGate, site_over

ONE, TWO = "one.example.com", "two.example.com"
DOWNLOAD = {"format": "pem", "reason": "ticket 7", "version": ""}


class Site:
    """The site over the state of `cdn`, for a person with `roles`, or all of them."""

    def __init__(self, cdn: Cdn, *roles: Role) -> None:
        self.cdn = cdn
        self.jobs = Jobs(cdn.config_path, cdn.clock)
        site = make_site(cdn.app, OpenGate(*roles), self.jobs)
        site.testing = True
        self.client: FlaskClient = site.test_client()

    def events(self, name: str, kind: str) -> list[dict[str, Any]]:
        found = self.cdn.sslctl("view", name, "--json").json["domain"]["events"]
        return [event for event in found if event["kind"] == kind]

    def wait(self, response: TestResponse) -> str:
        """Wait for the job to which `response` leads, and return the address of its page."""
        assert response.status_code == 303
        address = response.headers["Location"]
        job = self.jobs.find(address.rpartition("/")[2])
        assert job is not None
        job.process.wait(timeout=60)
        return address

    def finish(self, response: TestResponse) -> TestResponse:
        """Wait for the job to which `response` leads, and return its page."""
        return self.client.get(self.wait(response))


@pytest.fixture
def served(cdn: Cdn) -> Cdn:
    """Two domains in Success."""
    for name in (ONE, TWO):
        cdn.add_domain(name)
    assert cdn.sslctl("add", ONE, TWO).exit_code == 0
    return cdn


@pytest.fixture
def site(served: Cdn) -> Iterator[Site]:
    made = Site(served)
    yield made
    made.jobs.close()


def test_delete_needs_the_typed_name_and_runs_as_a_job(site: Site) -> None:
    asked = site.client.get(f"/domains/{ONE}/delete").text
    assert "HTTPS stops working" in asked
    for typed in ("", TWO, "one.example", "yes"):
        wrong = site.client.post(f"/domains/{ONE}/delete", data={"typed": typed})
        assert (wrong.status_code, "Nothing was deleted" in wrong.text) == (400, True)
    page = site.finish(site.client.post(f"/domains/{ONE}/delete", data={"typed": " One.Example.com."}))
    assert "Done." in page.text
    assert site.cdn.installed(ONE) is None
    [event] = site.events(ONE, "deleted")
    assert event["actor"].startswith("tester (page of ")
    assert site.client.get(f"/domains/{ONE}").status_code == 200


def test_recheck_that_fails_shows_why_it_ended(site: Site) -> None:
    # A process of its own has no fake CA, and what C4 has is asked first.
    site.cdn.c4.stop()
    page = site.finish(site.client.post(f"/domains/{ONE}/recheck"))
    assert "Ended with exit code 75" in page.text
    assert f"{ONE}: querying C4" in page.text


def test_several_added_domains_are_no_consent_to_replace_what_c4_has(site: Site) -> None:
    started: list[tuple[object, ...]] = []
    start = site.jobs.start

    def note(action: str, domains: Any, *options: str, **more: Any) -> Any:
        started.append((action, list(domains), options, more["lines"]))
        return start("list", (), person="tester")

    site.jobs.start = note  # type: ignore[method-assign]
    for form in (
        {"domains": "new.example.com, other.example.com\n", "customer": "Acme"},
        {"domains": "new.example.com", "sans": "www.example.com"},
        {"domains": "new.example.com", "sans": "www.example.com", "replace": "1"},
    ):
        site.wait(site.client.post("/add", data=form))
    assert started == [
        (
            "add",
            ["new.example.com", "other.example.com"],
            ("--customer", "Acme"),
            ["new.example.com", "other.example.com"],
        ),
        ("add", ["new.example.com"], (), ["new.example.com www.example.com"]),
        ("add", ["new.example.com"], ("--san=www.example.com",), None),
    ]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"domains": " \n"}, "no domain was named"),
        ({"domains": "-h"}, "-h"),
        (
            {"domains": "a.example.com b.example.com", "sans": "c.example.com"},
            "other names are for one domain",
        ),
        (
            {"domains": "a.example.com b.example.com", "replace": "1"},
            "only the text certificate of one domain",
        ),
        ({"domains": "a.example.com", "customer": "x" * 101}, "the most is 100"),
        (
            {"domains": " ".join(f"d{number}.example.com" for number in range(1001))},
            "longer than 1,000 names",
        ),
    ],
)
def test_form_that_cannot_be_used_is_shown_again_with_its_problem(
    cdn: Cdn, form: dict[str, str], expected: str
) -> None:
    site = Site(cdn)
    response = site.client.post("/add", data=form)
    assert response.status_code == 400
    page = Page(response.text)
    [alert] = [each for each in page.elements if each.attributes.get("role") == "alert"]
    assert expected in alert.text
    [names] = page.find("textarea")
    assert names.text.strip() == form["domains"].strip()


def test_note_assignee_customer_and_snooze_are_recorded_and_removed(site: Site) -> None:
    for action, field, kind in (
        ("note", "note", "note"),
        ("assign", "assignee", "assigned"),
        ("customer", "customer", "customer"),
    ):
        for value, recorded in (("<b>mailed</b>", "<b>mailed</b>"), ("", None)):
            before = "" if value else "<b>mailed</b>"
            response = site.client.post(f"/domains/{ONE}/{action}", data={"value": value, "before": before})
            page = f"/domains/{ONE}?saved={action}"
            assert (response.status_code, response.headers["Location"]) == (303, page)
            assert "Saved: " in site.client.get(page).text
            assert site.cdn.sslctl("view", ONE, "--json").json["domain"][field] == recorded
        assert {event["actor"].split(" (")[0] for event in site.events(ONE, kind)} == {"tester"}
    assert (
        "nothing to snooze" in site.client.post(f"/domains/{ONE}/snooze", data={"until": "2026-12-01"}).text
    )
    for text in ("soon", "2026-11-01", "2036-01-01"):
        assert site.client.post(f"/domains/{ONE}/snooze", data={"until": text}).status_code == 400
    too_long = site.client.post(f"/domains/{ONE}/note", data={"value": "x" * 501, "before": ""})
    assert (too_long.status_code, "the most is 500" in too_long.text) == (400, True)


def test_download_is_recorded_with_its_reason_before_it_is_sent(site: Site) -> None:
    response = site.client.post(f"/domains/{ONE}/download", data=DOWNLOAD)
    assert response.headers["Content-Disposition"] == f"attachment; filename={ONE}.zip"
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        assert sorted(archive.namelist()) == ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"]
        assert b"PRIVATE KEY" in archive.read("privkey.pem")
    [event] = site.events(ONE, "key downloaded")
    assert (event["detail"], event["version"], event["actor"].split(" (")[0]) == (
        "pem: ticket 7",
        1,
        "tester",
    )
    packed = site.client.post(
        f"/domains/{ONE}/download", data={**DOWNLOAD, "format": "pkcs12", "password": "s3cret"}
    )
    assert pkcs12.load_pkcs12(packed.data, b"s3cret").key is not None


@pytest.mark.parametrize(
    "change",
    [
        {"reason": " "},
        {"reason": "\u200b"},
        {"reason": "x" * 301},
        {"format": "pkcs12"},
        {"format": "exe"},
        {"version": "9"},
        {"version": "x"},
        {"version": "9" * 5000},
        {"version": "\uff11"},
    ],
)
def test_download_without_what_it_needs_sends_and_records_nothing(site: Site, change: dict[str, str]) -> None:
    response = site.client.post(f"/domains/{ONE}/download", data={**DOWNLOAD, **change})
    assert response.status_code in (400, 404)
    assert "PRIVATE KEY" not in response.text
    assert site.events(ONE, "key downloaded") == []


def test_bulk_download_records_the_reason_for_each_domain_or_for_none(site: Site) -> None:
    chosen = Page(site.client.get("/download?status=Success").text)
    names = [
        each.attributes["value"] for each in chosen.find("input") if each.attributes.get("name") == "domain"
    ]
    assert sorted(names) == [ONE, TWO]
    response = site.client.post("/download", data={**DOWNLOAD, "format": "combined", "domain": names})
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        assert sorted(archive.namelist()) == [f"{name}/{name}.pem" for name in (ONE, TWO)]
    assert site.cdn.sslctl("add", "--no-wait", "bare.example.com").exit_code == 0
    wrong = site.client.post("/download", data={**DOWNLOAD, "domain": [*names, "bare.example.com"]})
    assert (wrong.status_code, "PRIVATE KEY" in wrong.text) == (404, False)
    assert [len(site.events(name, "key downloaded")) for name in (ONE, TWO)] == [1, 1]
    assert site.client.post("/download", data=DOWNLOAD).status_code == 400


VIEWS = [
    ("GET", "/add", Role.OPERATOR),
    ("POST", "/add", Role.OPERATOR),
    ("POST", f"/domains/{ONE}/recheck", Role.OPERATOR),
    ("GET", f"/domains/{ONE}/delete", Role.OPERATOR),
    ("POST", f"/domains/{ONE}/delete", Role.OPERATOR),
    ("POST", f"/domains/{ONE}/note", Role.OPERATOR),
    ("POST", f"/domains/{ONE}/assign", Role.OPERATOR),
    ("POST", f"/domains/{ONE}/customer", Role.OPERATOR),
    ("POST", f"/domains/{ONE}/snooze", Role.OPERATOR),
    ("GET", f"/domains/{ONE}/download", Role.KEYS),
    ("POST", f"/domains/{ONE}/download", Role.KEYS),
    ("GET", "/download", Role.KEYS),
    ("POST", "/download", Role.KEYS),
]


def test_every_action_needs_its_role(served: Cdn) -> None:
    for method, path, role in VIEWS:
        others = [each for each in Role if each is not role]
        response = Site(served, *others).client.open(
            path, method=method, data={**DOWNLOAD, "typed": ONE, "value": "x"}
        )
        assert response.status_code == 403, path
    site = Site(served, Role.VIEWER)
    listed = {
        rule.endpoint
        for rule in site.client.application.url_map.iter_rules()
        if "POST" in (rule.methods or ())
    }
    assert len(listed) == sum(method == "POST" for method, _, _ in VIEWS)
    page = site.client.get(f"/domains/{ONE}").text
    assert f"/domains/{ONE}/" not in page
    assert served.installed(ONE) is not None


def test_remark_that_somebody_else_changed_meanwhile_is_not_overwritten(site: Site) -> None:
    assert (
        site.client.post(f"/domains/{ONE}/note", data={"value": "do NOT delete", "before": ""}).status_code
        == 303
    )
    late = site.client.post(f"/domains/{ONE}/note", data={"value": "mailed", "before": ""})
    assert (late.status_code, "do NOT delete" in late.text) == (409, True)
    # A form without its field removes nothing.
    for form in ({}, {"before": "do NOT delete"}):
        assert site.client.post(f"/domains/{ONE}/note", data=form).status_code == 400
    assert site.client.post(f"/domains/{ONE}/snooze", data={}).status_code == 400
    assert site.cdn.sslctl("view", ONE, "--json").json["domain"]["note"] == "do NOT delete"


@pytest.mark.parametrize(
    ("form", "data", "problem"),
    [
        ("note", {"value": "x" * 501, "before": ""}, "the most is 500"),
        ("assign", {"value": "a\nb", "before": "somebody"}, "Somebody else changed this"),
        ("customer", {"value": "y" * 101, "before": ""}, "the most is 100"),
        ("snooze", {"until": "soon"}, "that is no day"),
    ],
)
def test_refused_remark_is_shown_in_its_form_with_what_was_typed(
    site: Site, form: str, data: dict[str, str], problem: str
) -> None:
    site.client.post(f"/domains/{ONE}/assign", data={"value": "Mei", "before": ""})
    response = site.client.post(f"/domains/{ONE}/{form}", data=data)
    assert response.status_code in (400, 409)
    page = Page(response.text)
    [alert] = [each for each in page.find("div", role="alert") if "details" in each.inside]
    assert problem in alert.text
    [typed] = [each for each in page.find("input") if each.attributes.get("aria-invalid") == "true"]
    assert typed.attributes["value"] == data.get("value", data.get("until"))
    assert "Saved" not in response.text


def test_every_name_that_cannot_be_added_is_reported_at_once(cdn: Cdn) -> None:
    sent = ["https://shop.example.com/path", "good.example.com", "<b>.example", *(f"-{n}" for n in range(20))]
    response = Site(cdn).client.post("/add", data={"domains": "\n".join(sent)})
    assert response.status_code == 400
    [alert] = Page(response.text).find("div", role="alert")
    assert alert.text.startswith("22 names cannot be used, so nothing was added:")
    assert "it is a URL; use the name alone, shop.example.com" in alert.text
    assert (alert.text.endswith("and 2 more"), "<b>" in response.text) == (True, False)


def test_typed_text_is_shown_to_be_copied_if_the_session_has_ended(filled: Path) -> None:
    gate = LocalGate("127.0.0.1", 8470, Person("tester", frozenset(Role)), lambda: 0.0)
    client = site_over(filled, Clock(), gate).test_client()
    headers = {"Host": "127.0.0.1:8470", "Origin": "http://127.0.0.1:8470"}
    data = {"value": "a long <i>note</i>", "password": "hush", "csrf_token": "old"}
    response = client.post(f"/domains/{WELL}/note", data=data, headers=headers)
    assert response.status_code == 401
    [shown] = Page(response.text).find("textarea")
    assert (shown.text, "hush" in response.text) == ("a long <i>note</i>", False)
    foreign = client.post(
        f"/domains/{WELL}/note", data=data, headers={**headers, "Origin": "http://evil.test"}
    )
    assert (foreign.status_code, "long" in foreign.text) == (403, False)


def test_name_that_is_not_managed_can_be_added_from_its_page(filled: Path) -> None:
    client = site_over(filled, Clock()).test_client()
    page = Page(client.get("/domains/new.example.org").text)
    [link] = page.find("a", class_="button")
    assert (link.text, link.attributes["href"]) == ("Add new.example.org", "/add?domains=new.example.org")
    viewer = site_over(filled, Clock(), OpenGate(Role.VIEWER)).test_client()
    assert "Add new.example.org" not in viewer.get("/domains/new.example.org").text


def test_link_proposes_one_name_and_chooses_nothing(cdn: Cdn) -> None:
    site = Site(cdn)
    [names] = Page(
        site.client.get("/add?domains=shop.example.com&replace=1&customer=Evil&sans=x.example").text
    ).find("textarea")
    assert names.text == "shop.example.com"
    page = Page(
        site.client.get(
            "/add?domains=a.example%0a%0a%0ab.example&replace=1&customer=Evil&sans=x.example"
        ).text
    )
    assert [each.text for each in page.find("textarea")] == [""]
    for each in page.find("input"):
        assert "checked" not in each.attributes
        assert each.attributes.get("value", "") in ("", "csrf", "1")


def test_text_certificate_stays_unless_its_replacement_is_chosen(cdn: Cdn) -> None:
    cdn.add_domain(ONE)
    assert cdn.sslctl("add", ONE, *cdn.paste(cdn.text_pair(ONE))).exit_code == 0
    site = Site(cdn)
    response = site.client.post("/add", data={"domains": f"{ONE} {TWO}"})
    assert (response.status_code, f"{ONE} is managed with a text certificate" in response.text) == (400, True)
    assert cdn.sslctl("view", ONE, "--json").json["domain"]["source"] == "text"


def test_domain_that_is_named_twice_is_downloaded_and_recorded_once(site: Site) -> None:
    response = site.client.post("/download", data={**DOWNLOAD, "format": "combined", "domain": [ONE] * 50})
    assert response.headers["Content-Disposition"] == f"attachment; filename={ONE}.pem"
    assert len(site.events(ONE, "key downloaded")) == 1
