"""The page in a real browser: over a sandbox with a real CA, and over a state in which everything is wrong."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Dialog, Page, StorageState, expect

from tests.support import environment_without_settings
from tests.support.browser import Scheme, Site, chromium, find_violations, is_too_wide, serving
from tests.support.sandbox import RunningSandbox, sandbox_up
from tests.support.site_cases import ELSEWHERE, HOSTILE, WELL, fill, write_config
from tests.support.store_cases import open_store

pytestmark = [pytest.mark.pebble, pytest.mark.chromium]

SHOP, OTHER = "shop.example.test", "other.example.test"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with sandbox_up(tmp_path_factory.mktemp("sandbox")) as running:
        running.do("domain", SHOP)
        running.do("domain", OTHER, "--points-at", "parking.elsewhere.test")
        yield running


@pytest.fixture(scope="module")
def site(sandbox: RunningSandbox) -> Iterator[Site]:
    with serving(sandbox.environment) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, site: Site) -> Page:
    """A tab of a person who has entered; the tests of the sandbox share it, in their order."""
    return site.enter(browser.new_context())


def test_domain_is_added_found_rechecked_downloaded_and_deleted(
    page: Page, site: Site, sandbox: RunningSandbox
) -> None:
    expect(page.get_by_text("No domains are managed yet")).to_be_visible()
    page.get_by_role("link", name="+ Add").click()
    page.locator("#domains").fill(f"{SHOP}\n{OTHER}")
    page.get_by_role("button", name="Add", exact=True).click()
    # The script follows the job.
    expect(page.locator("#job")).to_have_attribute("data-state", "ended", timeout=60_000)
    expect(page.get_by_text(f"{SHOP}: ordering a certificate")).to_be_visible()
    expect(page.locator(".outcomes")).to_contain_text("Failure")

    page.goto(f"{site.origin}/")
    page.locator("input[name=q]").fill("sho")
    expect(page.locator(".domains tbody tr")).to_have_count(1)
    assert page.url.endswith("q=sho")
    page.locator("input[name=q]").fill("nothing")
    expect(page.get_by_text("No domains match")).to_be_visible()
    page.goto(f"{site.origin}/")
    page.get_by_role("navigation", name="By status").get_by_role("link", name="Failure").click()
    expect(page.locator(".domains tbody tr")).to_have_count(1)
    page.get_by_role("link", name=OTHER).click()
    expect(page.locator(".records")).to_contain_text(f"{OTHER}.")

    page.goto(f"{site.origin}/domains/{SHOP}")
    page.get_by_role("button", name="Recheck now").click()
    expect(page.get_by_text("Done.")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name=SHOP).click()
    page.get_by_text("Note, assignee, customer, snooze").click()
    page.locator("#note").fill("<b>mailed</b> Tuesday")
    page.get_by_role("button", name="Save: Note").click()
    expect(page.get_by_text("<b>mailed</b> Tuesday").first).to_be_visible()

    page.get_by_role("link", name="Download").click()
    page.locator("#reason").fill("ticket 7")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        assert "privkey.pem" in archive.namelist()

    page.goto(f"{site.origin}/domains/{SHOP}/delete")
    page.locator("#typed").fill(OTHER)
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was deleted")
    page.locator("#typed").fill(SHOP)
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Done.")).to_be_visible(timeout=60_000)
    events = sandbox.view(SHOP)["events"]
    assert {event["actor"].partition(" (")[2] for event in events[-3:]} <= {"page)", "page of root)"}
    assert [event["detail"] for event in events if event["kind"] == "key downloaded"] == ["pem: ticket 7"]
    assert json.loads(sandbox.run("list", "--json").stdout)["domains"][0]["domain"] == OTHER


def test_page_works_without_its_script(browser: Browser, page: Page, site: Site) -> None:
    state = page.context.storage_state()
    plain = browser.new_context(java_script_enabled=False, storage_state=state).new_page()
    plain.goto(f"{site.origin}/domains/{OTHER}")
    plain.get_by_role("button", name="Recheck now").click()
    # A browser without scripts loads the page of a job again and again.
    expect(plain.get_by_text("Ended with exit code 4")).to_be_visible(timeout=60_000)
    plain.goto(f"{site.origin}/?q=other")
    expect(plain.locator(".domains tbody tr")).to_have_count(1)
    plain.context.close()


def test_foreign_page_cannot_act_through_the_browser(browser: Browser, page: Page, site: Site) -> None:
    """A page of another site sends a form with the person's cookie, or has its own name pointed at this server."""
    context = browser.new_context(storage_state=page.context.storage_state())
    evil = context.new_page()
    evil.route("http://evil.example/", lambda route: route.fulfill(content_type="text/html", body=f"""
        <form method="post" action="{site.origin}/domains/{OTHER}/note"><input name="value" value="forged"><button>go</button></form>
    """))  # fmt: skip
    evil.goto("http://evil.example/")
    with evil.expect_response(re.compile("/note$")) as answered:
        evil.get_by_role("button").click()
    assert answered.value.status == 403
    assert requests.get(site.origin, headers={"Host": "evil.example"}, timeout=10).status_code == 421
    context.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page over a state with every reason, and hostile names and texts."""
    folder = tmp_path_factory.mktemp("filled")
    store = open_store(folder / "state")
    fill(store)
    store.close()
    with serving(environment_without_settings(SSLCTL_CONFIG=str(write_config(folder)))) as running:
        yield running


ADDRESSES = ["/", "/?status=Failure&lang=zh", "/?q=%5B", "/?q=missing", f"/domains/{ELSEWHERE}", f"/domains/{WELL}", f"/domains/{WELL}/delete",
             f"/domains/{WELL}/download", "/download", "/add", "/charts", "/missing"]  # fmt: skip


@pytest.fixture(scope="module")
def session(browser: Browser, filled: Site) -> StorageState:
    return filled.enter(browser.new_context()).context.storage_state()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_no_violations_of_accessibility(
    browser: Browser, filled: Site, session: StorageState, scheme: Scheme
) -> None:
    tab = browser.new_context(color_scheme=scheme, storage_state=session).new_page()
    problems: list[str] = []
    tab.on(
        "console",
        lambda message: problems.append(message.text) if "Content Security" in message.text else None,
    )
    tab.on("pageerror", lambda error: problems.append(str(error)))
    for address in ADDRESSES:
        tab.goto(filled.origin + address)
        assert find_violations(tab) == [], address
    assert problems == []
    tab.context.close()


def test_pages_fit_a_phone(browser: Browser, filled: Site, session: StorageState) -> None:
    tab = browser.new_context(viewport={"width": 320, "height": 700}, storage_state=session).new_page()
    for address in ADDRESSES:
        tab.goto(filled.origin + address)
        assert not is_too_wide(tab), address
    tab.context.close()


def test_hostile_names_and_texts_are_shown_as_text(
    browser: Browser, filled: Site, session: StorageState
) -> None:
    tab = browser.new_context(storage_state=session).new_page()
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    tab.on("dialog", note)
    for address in ("/", f"/domains/{ELSEWHERE}"):
        tab.goto(filled.origin + address)
        assert tab.locator("script:not([src])").count() == 0
        assert tab.locator("img").count() == 0
    expect(tab.get_by_text(HOSTILE).first).to_be_visible()
    assert dialogs == []
    tab.context.close()
