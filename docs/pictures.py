"""Take the pictures of the page for the documentation, over an invented fleet: `make pictures`.

They show the page as a browser draws it. Look at them before they are committed.
"""

from __future__ import annotations

import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, ViewportSize  # noqa: E402

from sslctl.app import App  # noqa: E402
from sslctl.rules.dns_record import DnsRecord  # noqa: E402
from sslctl.rules.model import Caution, Finding, Milestone, PassResult, Source  # noqa: E402
from sslctl.rules.reasons import Code  # noqa: E402
from sslctl.rules.remarks import Remarks  # noqa: E402
from sslctl.store.interface import Store  # noqa: E402
from sslctl.web.access import Person, Role  # noqa: E402
from sslctl.web.access.local_gate import LocalGate  # noqa: E402
from sslctl.web.jobs import Jobs  # noqa: E402
from sslctl.web.listeners import TcpListener  # noqa: E402
from sslctl.web.server import serve  # noqa: E402
from sslctl.web.site import make_site  # noqa: E402
from tests.support.browser import Site, chromium  # noqa: E402
from tests.support.fakes import START, Clock  # noqa: E402
from tests.support.site_cases import served, write_config  # noqa: E402
from tests.support.store_cases import open_store  # noqa: E402

_DOCS = ROOT / "docs"
_MOVED = "shop.acme.example"
_DAYS = 70
_CUSTOMERS = ("acme", "globex", "initech", "umbrella", "hooli")
_LABELS = ("www", "shop", "blog", "api", "pay", "img", "docs", "status", "media")

# Name, certificate's days left (None: never had one), reason, what was found, what is wanted.
_TROUBLED = (
    (_MOVED, 4, Code.CNAME_ELSEWHERE, "shop.acme.example → parking.example.net", "shop.acme.example.cdn.example"),
    ("pay.globex.example", 6, Code.CAA_FORBIDS, 'globex.example CAA 0 issue "other-ca.example"', "letsencrypt.org"),
    ("old.hooli.example", -3, Code.NXDOMAIN, "NXDOMAIN for old.hooli.example", "old.hooli.example.cdn.example"),
    ("new.initech.example", None, Code.CNAME_MISSING, "no CNAME", "new.initech.example.cdn.example"),
    ("beta.umbrella.example", None, Code.QUEUED, "", ""),
    ("cdn.umbrella.example", None, Code.CA_RATE_LIMITED, "429 too many requests", ""),
    ("login.globex.example", 20, Code.C4_REJECTED, "422 bad_pair", ""),
    ("gone.acme.example", None, Code.C4_UNKNOWN_DOMAIN, "404 unknown_domain", ""),
    ("edge.hooli.example", None, Code.PORT_443_CLOSED, "203.0.113.7 port 443: connection refused", "an open port"),
)  # fmt: skip


def main() -> None:
    """Fill a state, and take each picture."""
    with TemporaryDirectory() as folder:
        clock = Clock()
        clock.move(days=-_DAYS)
        store = open_store(Path(folder) / "state", clock=clock)
        _fill(store, clock)
        store.close()
        config = write_config(Path(folder))
        listener = TcpListener("127.0.0.1", 0)
        gate = LocalGate("127.0.0.1", listener.port, Person("mei", frozenset(Role)), time.monotonic)
        site = make_site(lambda: App(config, clock), gate, Jobs(config, clock))
        threading.Thread(target=serve, args=(site, listener.socket), daemon=True).start()
        with chromium() as browser:
            _take(browser, Site(gate.make_url()))


def _fill(store: Store, clock: Clock) -> None:
    """Add the fleet over some weeks, so that the charts have a past; at the end `clock` is at its start."""
    names = [f"{label}.{customer}.example" for label in _LABELS for customer in _CUSTOMERS]
    troubled = {name for name, *_ in _TROUBLED}
    well = [name for name in names if name not in troubled]
    for day in range(_DAYS):
        for name in well[day * len(well) // _DAYS : (day + 1) * len(well) // _DAYS]:
            served(store, store.add_domain(name, (), Source.C4), 90 - _DAYS + day)
        store.record_status_counts(clock())
        clock.move(days=1)
    for name, days, code, found, wanted in _TROUBLED:
        domain = store.add_domain(name, (), Source.C4)
        if days is not None:
            domain = served(store, domain, days)
        records = (
            (DnsRecord("CNAME", name, ("parking.example.net",), (wanted,)),)
            if code is Code.CNAME_ELSEWHERE
            else ()
        )
        finding = Finding(code, found, wanted, START, START + timedelta(hours=12), records=records)
        domain = store.record_finding(domain, finding)
        if name == _MOVED:
            store.record_remarks(domain, Remarks(note="mailed the customer on Tuesday", assignee="mei"))
    leaving = served(store, store.add_domain("www.leaving.example", (), Source.C4), 40)
    caution = Caution(
        Code.CNAME_MISSING, "no CNAME", "www.leaving.example.cdn.example", START - timedelta(days=2)
    )
    store.record_result(leaving, PassResult(caution=caution))
    store.record_customers({name: name.split(".")[1].capitalize() for name in (*names, *troubled)})
    store.record_status_counts(clock())
    store.record_milestone(Milestone.TICK, "")


def _take(browser: Browser, site: Site) -> None:
    session = site.enter(browser.new_context()).context.storage_state()
    wide = ViewportSize(width=1180, height=860)
    usual = browser.new_context(storage_state=session, viewport=wide)
    dark = browser.new_context(storage_state=session, viewport=wide, color_scheme="dark")
    chinese = browser.new_context(storage_state=session, viewport=wide, locale="zh-CN")
    phone = browser.new_context(storage_state=session, viewport=ViewportSize(width=390, height=844))
    low = browser.new_context(storage_state=session, viewport=ViewportSize(width=800, height=460))
    for name, context, address in (
        ("page", usual, "/"),
        ("page-domain", usual, f"/domains/{_MOVED}"),
        ("page-dark", dark, "/charts"),
        ("page-phone", phone, "/"),
        ("page-chinese", chinese, f"/domains/{_MOVED}"),
        ("page-delete", low, f"/domains/{_MOVED}/delete"),
    ):
        tab = context.new_page()
        tab.goto(site.origin + address)
        tab.screenshot(path=_DOCS / f"{name}.png")


if __name__ == "__main__":
    main()
