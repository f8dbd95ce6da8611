"""A real browser, Debian's Chromium, driven by Playwright; and the page in a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.processes import with_default_signals
from tests.support.sandbox import SSLCTL

Scheme = Literal["light", "dark"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser for the block."""
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs privileges that containers do not have; it meets only pages of this project here.
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


class Site:
    """A running page: `origin`, and the link with which one browser can enter."""

    def __init__(self, link: str) -> None:
        self.link = link
        self.origin = link.partition("/enter")[0]

    def enter(self, context: BrowserContext) -> Page:
        """Begin a session in `context`, and return a tab that shows the overview."""
        page = context.new_page()
        page.goto(self.link)
        page.get_by_role("button", name="Enter").click()
        page.wait_for_url(f"{self.origin}/")
        return page


@contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[Site]:
    """Run `sslctl serve` on a free port for the block."""
    with subprocess.Popen(
        with_default_signals(*SSLCTL, "serve", "--port", "0"),
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield Site(process.stdout.readline().split()[-1])
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def find_violations(page: Page) -> list[Any]:
    """Return what axe-core finds wrong for people who cannot see the page, or use no mouse: the rule, and the first elements."""
    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["html"] for node in each["nodes"][:3]]) for each in found]


def is_too_wide(page: Page) -> bool:
    """Return whether the page must be scrolled sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))
