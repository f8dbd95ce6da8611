"""The list of C4's domains: no server can hang, flood or mislead the client that reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from requests import PreparedRequest

from sslctl.control_plane import NoInventory, Unanswered, Unauthorized
from sslctl.control_plane.c4 import client as c4_client
from sslctl.control_plane.c4.client import C4Client
from tests.support.fakes import Clock
from tests.support.misbehaving import PROBLEM

URL = "http://127.0.0.1/v1/domains"
INSTALLED = {
    "source": "c4",
    "fingerprint_sha256": "0f" * 32,
    "not_after": "2026-05-30T00:00:00Z",
    "state": "active",
}

Page = Callable[[str | None], tuple[list[object], object]]


@pytest.fixture
def client(tmp_path: Path, clock: Clock) -> Iterator[C4Client]:
    token = tmp_path / "token"
    token.write_text("a-token\n")
    token.chmod(0o600)
    with closing(C4Client("http://127.0.0.1", token, None, 5, clock, sleep=lambda _seconds: None)) as made:
        yield made


@pytest.fixture
def c4() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def _item(name: str = "shop.example.com", **changes: object) -> dict[str, object]:
    return {
        "domain": name,
        "cname_target": f"{name}.cdn.example.net",
        "ports": [80, 443],
        "certificate": INSTALLED,
    } | changes


def _serve(c4: responses.RequestsMock, page: Page) -> None:
    """Let C4 answer each request with what `page` returns for its cursor."""

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        cursor = parse_qs(urlsplit(str(request.url)).query).get("cursor", [None])[0]
        domains, after = page(cursor)
        return 200, {}, json.dumps({"domains": domains, "next": after})

    c4.add_callback(responses.GET, URL, answer, content_type="application/json")


def test_inventory_passes_the_cursor_on_as_it_is(client: C4Client, c4: responses.RequestsMock) -> None:
    cursors: list[str | None] = []

    def page(cursor: str | None) -> tuple[list[object], object]:
        cursors.append(cursor)
        return [_item(f"{len(cursors)}.example.com")], "a/b&c=%2F?#+" if cursor is None else None

    _serve(c4, page)
    assert [record.name for record in client.inventory()] == ["1.example.com", "2.example.com"]
    assert cursors == [None, "a/b&c=%2F?#+"]


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("code", ["not_found", "unknown_domain"])
def test_inventory_raises_no_inventory_only_for_the_first_page(
    client: C4Client, c4: responses.RequestsMock, status: int, code: str
) -> None:
    problem = {"status": status, "body": json.dumps({"code": code}), "content_type": PROBLEM}
    c4.get(URL, **problem)
    with pytest.raises(NoInventory, match=f"^answered {status}"):
        next(client.inventory())
    c4.reset()
    c4.get(URL, json={"domains": [_item()], "next": "more"})
    c4.get(URL, **problem)
    records = client.inventory()
    next(records)
    with pytest.raises(Unanswered, match=f"^answered {status}"):
        next(records)


@pytest.mark.parametrize("status", [400, 408, 409, 429, 500, 502, 503, 301, 206])
def test_inventory_raises_unanswered_after_a_status_that_decides_nothing(
    client: C4Client, c4: responses.RequestsMock, status: int
) -> None:
    c4.get(URL, status=status)
    with pytest.raises(Unanswered, match=f"^answered {status}"):
        next(client.inventory())


@pytest.mark.parametrize("status", [401, 403])
def test_inventory_raises_unauthorized_when_the_token_is_refused(
    client: C4Client, c4: responses.RequestsMock, status: int
) -> None:
    c4.get(URL, status=status)
    with pytest.raises(Unauthorized):
        next(client.inventory())


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "{",
        "[" * 200_000,
        json.dumps({"domains": [_item()]}),
        json.dumps({"next": None}),
        json.dumps({"domains": {}, "next": None}),
        json.dumps({"domains": None, "next": None}),
        json.dumps({"domains": [_item()], "next": ""}),
        json.dumps({"domains": [_item()], "next": 7}),
        json.dumps({"domains": [_item()], "next": False}),
        json.dumps({"domains": [_item()], "next": "two words"}),
        json.dumps({"domains": [_item()], "next": "a\r\nHost: elsewhere"}),
        json.dumps({"domains": [_item()], "next": "a" * 1025}),
        json.dumps({"domains": [1] * 1001, "next": None}),
    ],
)
def test_inventory_raises_unanswered_for_a_page_that_violates_the_contract(
    client: C4Client, c4: responses.RequestsMock, body: str
) -> None:
    c4.get(URL, body=body, content_type="application/json")
    with pytest.raises(Unanswered, match=r"^answered 200"):
        list(client.inventory())


@pytest.mark.parametrize(
    "broken",
    [
        None,
        7,
        "shop.example.com",
        [],
        {},
        _item(domain=None),
        _item("Shop.example.com"),
        _item("shop.example.com\n"),
        _item("../health"),
        _item("\u202eshop.example.com"),
        _item("a." * 130 + "example.com"),
        _item(cname_target="edge\x1b[31m.example.net"),
        _item(cname_target=None),
        _item(ports=[0]),
        _item(ports="443"),
        _item(certificate=False),
        _item(certificate=INSTALLED | {"fingerprint_sha256": "?"}),
        {key: value for key, value in _item().items() if key != "certificate"},
    ],
    ids=ascii,
)
def test_inventory_leaves_out_an_item_that_violates_the_contract(
    client: C4Client, c4: responses.RequestsMock, broken: object
) -> None:
    c4.get(URL, json={"domains": [_item("a.example.com"), broken, _item("b.example.com")], "next": None})
    assert [record.name for record in client.inventory()] == ["a.example.com", "b.example.com"]


@pytest.mark.parametrize(
    "page",
    [
        lambda _cursor: ([_item()], "again"),
        lambda cursor: ([_item()], f"{len(cursor or '') * 'x'}y"),
        lambda cursor: ([], f"{cursor or ''}x"),
        lambda cursor: ([7], f"{cursor or ''}x"),
        lambda cursor: (
            [_item("a.test") if cursor == "b" else _item("b.test")],
            "a" if cursor == "b" else "b",
        ),
    ],
    ids=["same cursor", "other cursor, same page", "empty pages", "unreadable pages", "circle of two"],
)
def test_inventory_raises_unanswered_for_a_list_that_does_not_go_on(
    client: C4Client, c4: responses.RequestsMock, page: Page
) -> None:
    _serve(c4, page)
    with pytest.raises(Unanswered, match="no domain that is new"):
        list(client.inventory())
    assert len(c4.calls) < 5


def test_inventory_raises_unanswered_for_a_list_without_end(
    client: C4Client, c4: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c4_client, "_MAX_PAGES", 20)
    pages = count()
    _serve(c4, lambda _cursor: ([_item(f"{next(pages)}.test")], f"after-{next(pages)}"))
    with pytest.raises(Unanswered, match="after 20 pages"):
        list(client.inventory())


def test_inventory_raises_unanswered_when_the_list_takes_too_long(
    client: C4Client, c4: responses.RequestsMock, clock: Clock
) -> None:
    pages = count()

    def page(_cursor: str | None) -> tuple[list[object], object]:
        clock.move(minutes=4)
        return [_item(f"{next(pages)}.test")], f"after-{next(pages)}"

    _serve(c4, page)
    with pytest.raises(Unanswered, match="in time"):
        list(client.inventory())
    assert len(c4.calls) == 4


def test_inventory_yields_a_domain_once_when_c4_lists_it_twice(
    client: C4Client, c4: responses.RequestsMock
) -> None:
    c4.get(URL, json={"domains": [_item(), _item()], "next": "more"})
    c4.get(URL, json={"domains": [_item(), _item("b.example.com")], "next": None})
    assert [record.name for record in client.inventory()] == ["shop.example.com", "b.example.com"]


def test_inventory_ignores_members_that_it_does_not_know(
    client: C4Client, c4: responses.RequestsMock
) -> None:
    more: dict[str, Any] = {"domains": [_item(more=1)], "next": None, "total": 1}
    c4.get(URL, json=more)
    (record,) = client.inventory()
    assert record.certificate is not None
    assert record.certificate.not_after == datetime(2026, 5, 30, tzinfo=UTC)
