"""The webhook announces each change of a domain's status or reason, whatever happens to its endpoint."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sslctl.errors import Exit
from sslctl.fleet.transitions import announce
from sslctl.notify.webhook import HttpWebhook
from sslctl.rules.model import Source
from sslctl.rules.transition import Transition
from sslctl.sandbox.c4.faults import Fault, Operation
from sslctl.store.sqlite.store import SqliteStore
from tests.support.cdn import Cdn
from tests.support.fakes import Clock
from tests.support.notifying import NotifyingCdn
from tests.support.store_cases import finding
from tests.support.webhook import Webhook

NAME, OTHER = "shop.example.com", "www.example.org"
ROOT = Path(__file__).parents[3]
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def endpoint(cdn: Cdn) -> Iterator[Webhook]:
    """The endpoint that the configuration names."""
    with Webhook() as running:
        configure(cdn, running)
        yield running


def configure(cdn: Cdn, endpoint: Webhook) -> None:
    secret = cdn.folder / "webhook.secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    with cdn.config_path.open("a", encoding="utf-8") as file:
        file.write(
            f'\n[notify]\nwebhook_url = "http://{endpoint.address}/hook"\nwebhook_secret_file = "{secret}"\n'
        )
    cdn.config_path.chmod(0o600)


def tick(cdn: Cdn, **moved: float) -> Any:
    cdn.clock.move(**moved or {"minutes": 5})
    return cdn.sslctl("daemon-tick", "--json").json


def announced(endpoint: Webhook) -> list[tuple[str, str | None, str | None]]:
    """Return the name of each message, with the statuses before and after."""
    return [
        (
            each["data"]["domain"],
            each["data"]["previous"] and each["data"]["previous"]["status"],
            each["data"]["current"] and each["data"]["current"]["status"],
        )
        for each in endpoint.messages
    ]


def add(cdn: Cdn, *names: str) -> None:
    for name in names:
        cdn.add_domain(name, customer="acme")
        cdn.sslctl("add", name)


def documented(mark: str) -> str:
    """Return the block of docs/monitoring.md after the comment `mark`."""
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    return text.partition(f"<!-- {mark} -->\n```")[2].partition("\n")[2].partition("```")[0]


def shape(value: Any) -> Any:
    """Return the keys of a JSON object, in order and at each depth."""
    return [(key, shape(each)) for key, each in value.items()] if isinstance(value, dict) else None


def verify(headers: dict[str, str], body: bytes, now: float) -> bool:
    """Check the signature as the documentation does."""
    found: dict[str, Any] = {}
    exec(documented("webhook verify"), found)  # noqa: S102 - our own page
    return bool(found["verify"](headers, body, SECRET, now))


def test_change_is_announced_once_with_a_signature_that_can_be_checked(cdn: Cdn, endpoint: Webhook) -> None:
    add(cdn, NAME, OTHER)
    assert tick(cdn)["webhook_error"] is None
    assert endpoint.requests == []
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=400))
    cdn.add_domain("new.example.net", customer="acme")
    assert cdn.sslctl("add", "new.example.net").exit_code == Exit.EMERGENCY
    assert tick(cdn)["webhook_error"] is None
    tick(cdn)
    assert announced(endpoint) == [("new.example.net", None, "Emergency")]
    headers, body = endpoint.requests[0]
    assert verify(headers, body, cdn.clock().timestamp())
    assert not verify(headers, body.replace(b"Emergency", b"Success"), cdn.clock().timestamp())
    message = endpoint.messages[0]
    example = json.loads(documented("webhook message"))
    assert message["type"] == example["type"]
    assert message["data"]["previous"] is None
    example["data"]["previous"] = None
    assert shape(message) == shape(example)
    assert (message["data"]["customer"], message["data"]["changes"]) == ("acme", 1)
    reason = cdn.sslctl("list", "--json", "new.example.net").json["domains"][0]
    current = message["data"]["current"]
    for key in ("code", "owner", "sentence", "next_step", "records"):
        assert current[key] == reason["reason"][key]
    assert current["expires_at"] == reason["expires_at"]


def test_expiry_and_deletion_are_announced_and_the_id_stays_the_same_while_the_endpoint_is_down(
    cdn: Cdn, endpoint: Webhook
) -> None:
    add(cdn, NAME)
    tick(cdn)
    cdn.clear_dns(NAME).add(NAME, "CNAME", "parking.elsewhere.test")
    endpoint.status = 500
    assert tick(cdn, days=100)["webhook_error"] == "answered 500"
    endpoint.status = 200
    assert tick(cdn)["webhook_error"] is None
    assert announced(endpoint) == [(NAME, "Success", "Expired")] * 2
    assert len({headers["webhook-id"] for headers, _ in endpoint.requests}) == 1
    assert cdn.sslctl("delete", "--yes", "--keep-on-c4", NAME).exit_code == Exit.OK
    tick(cdn)
    tick(cdn)
    assert announced(endpoint)[2:] == [(NAME, "Expired", None)]


def test_webhook_that_cannot_be_used_stops_no_tick_and_loses_nothing(cdn: Cdn, endpoint: Webhook) -> None:
    tick(cdn)
    secret = cdn.folder / "webhook.secret"
    secret.chmod(0o644)
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME, "--no-wait").exit_code == Exit.OK
    result = cdn.sslctl("daemon-tick")
    assert (result.exit_code, endpoint.requests) == (Exit.OK, [])
    assert (
        "The webhook of notify.webhook_url failed: it cannot be used: notify.webhook_secret_file"
        in result.stdout
    )
    assert cdn.installed(NAME) is not None
    assert cdn.sslctl("doctor").stdout.count("everyone has access") == 1
    secret.chmod(0o600)
    tick(cdn)
    assert announced(endpoint) == [(NAME, None, "Success")]
    assert "signed (http)" in cdn.sslctl("doctor").stdout


def test_people_hear_of_an_endpoint_that_fails_for_an_hour_and_of_its_recovery(
    cdn: Cdn, endpoint: Webhook
) -> None:
    notifying = NotifyingCdn(cdn)
    tick(notifying)
    add(notifying, NAME)
    endpoint.status = 503
    for _ in range(3):
        notifying.tick(minutes=25)
    assert notifying.sent == []
    notifying.tick(minutes=25)
    assert [title for title, _ in notifying.sent] == ["sslctl: the webhook does not accept all messages"]
    assert (
        "it answered 503. Domains whose last change it does not know: 1."
        in notifying.notifier.sent[-1][0].body
    )
    endpoint.status = 200
    notifying.tick(minutes=5)
    notifying.tick(minutes=5)
    assert len(notifying.sent) == 2
    assert announced(endpoint)[-1] == (NAME, None, "Success")


def test_notify_command_tests_the_webhook(cdn: Cdn, endpoint: Webhook) -> None:
    result = cdn.sslctl("notify")
    assert (result.exit_code, result.stdout) == (Exit.OK, "webhook:  delivered\n")
    headers, body = endpoint.requests[0]
    assert verify(headers, body, cdn.clock().timestamp())
    assert endpoint.messages[0]["type"] == "test"
    endpoint.status = 401
    failed = cdn.sslctl("notify", "--json")
    assert failed.exit_code == Exit.TRY_LATER
    assert failed.json["webhook"] == {"delivered": False, "why": "answered 401"}
    assert "not delivered to 1 of 1 URLs" in failed.stderr


def test_doctor_warns_of_a_secret_without_a_url_and_refuses_a_url_without_a_secret(
    cdn: Cdn, endpoint: Webhook
) -> None:
    text = cdn.config_path.read_text()
    cdn.config_path.write_text(text.replace("webhook_url", "# webhook_url"))
    assert "notify.webhook_url is not: nothing is sent" in " ".join(cdn.sslctl("doctor").stdout.split())
    cdn.config_path.write_text(text.replace("webhook_secret_file", "# webhook_secret_file"))
    assert "messages could not be signed" in " ".join(cdn.sslctl("doctor").stdout.split())
    assert (
        cdn.sslctl("daemon-tick", "--json")
        .json["webhook_error"]
        .startswith("cannot be used: notify.webhook_url")
    )
    assert endpoint.requests == []


def test_webhook_that_is_turned_off_is_forgotten_and_begins_with_nothing_old(
    cdn: Cdn, endpoint: Webhook
) -> None:
    tick(cdn)
    text = cdn.config_path.read_text()
    cdn.config_path.write_text(text.partition("[notify]")[0])
    tick(cdn)
    add(cdn, NAME)
    cdn.config_path.write_text(text)
    tick(cdn)
    assert endpoint.requests == []
    assert cdn.sslctl("delete", "--yes", "--keep-on-c4", NAME).exit_code == Exit.OK
    tick(cdn)
    assert announced(endpoint) == [(NAME, "Success", None)]


class _ChangingStore:
    """A store in which another process finds that NAME points elsewhere, after the tick has compared."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def take_transitions(self, now: datetime, most: int) -> list[Transition]:
        taken = self._store.take_transitions(now, most)
        self._store.record_finding(self._store.domain(NAME), finding())
        return taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_domain_that_changes_while_the_tick_announces_is_announced_by_the_next_one_as_it_is_then(
    store: SqliteStore, clock: Clock
) -> None:
    with Webhook() as endpoint:
        webhook = HttpWebhook(f"http://{endpoint.address}/", [b"k" * 32])
        changing: Any = _ChangingStore(store)
        assert announce(store, webhook, clock, time.monotonic) == ""
        store.add_domain(NAME, (), Source.C4)
        assert announce(changing, webhook, clock, time.monotonic) == ""
        assert endpoint.messages == []
        clock.move(minutes=5)
        assert announce(store, webhook, clock, time.monotonic) == ""
        assert announced(endpoint) == [(NAME, None, "Failure")]
        assert endpoint.messages[0]["data"]["changes"] == 2


def test_more_changes_than_one_batch_are_announced_in_one_tick_and_none_without_time(
    store: SqliteStore, clock: Clock
) -> None:
    with Webhook() as endpoint:
        webhook = HttpWebhook(f"http://{endpoint.address}/", [b"k" * 32])
        announce(store, webhook, clock, time.monotonic)
        for number in range(101):
            store.add_domain(f"d{number:03}.test", (), Source.C4)
        assert announce(store, webhook, clock, time.monotonic, seconds=0) == ""
        assert endpoint.messages == []
        assert announce(store, webhook, clock, time.monotonic) == ""
        assert [name for name, _, _ in announced(endpoint)] == [f"d{number:03}.test" for number in range(101)]
