"""Routes of the configuration: their files of URLs, and what happens if one cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sslctl.errors import ConfigError
from sslctl.notify.urls import read_urls_file
from tests.support.cdn import Cdn
from tests.support.notifying import fail
from tests.support.webhook import Webhook

ACME, GLOBEX, OTHER = "shop.example.com", "www.example.org", "api.example.net"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as running:
        yield running


def configure(cdn: Cdn, *tables: str) -> None:
    cdn.config_path.write_text(cdn.config_path.read_text() + "\n".join(tables))


def urls_of(folder: Path, name: str, *urls: str) -> Path:
    path = folder / name
    path.write_text("\n".join(urls) + "\n")
    path.chmod(0o600)
    return path


def test_routes_of_the_configuration_are_sent_over_http_and_tested_by_notify(
    cdn: Cdn, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLCTL_NOTIFY_STATUSES", "Failure")
    with Webhook() as other:
        everything = urls_of(cdn.folder, "urls", webhook.url())
        acme = urls_of(cdn.folder, "acme", "# support", other.url())
        configure(
            cdn,
            f'[notify]\nurls_file = "{everything}"',
            f'[[notify.route]]\nowners = ["customer"]\ncustomers = ["acme"]\nurls_file = "{acme}"',
        )
        result = cdn.sslctl("notify")
        assert result.exit_code == 0
        assert result.stdout.splitlines() == [
            "URL 1 (json):                                  delivered",
            "owners=customer customers=acme, URL 1 (json):  delivered",
        ]
        assert "the route owners=customer customers=acme" in other.bodies[0]
        fail(cdn, ACME, "acme")
        fail(cdn, GLOBEX, "globex")
        result = cdn.sslctl("daemon-tick", "--json")
        assert [body.splitlines()[0] for body in (*webhook.bodies[1:], *other.bodies[1:])] == [
            "sslctl: 1 domain in Failure"
        ] * 2
        assert ACME in other.bodies[1]
        assert GLOBEX in webhook.bodies[1]
        assert [(each["route"], each["kind"]) for each in result.json["notices"]] == [
            (None, "trouble"), ("owners=customer customers=acme", "trouble"),
        ]  # fmt: skip
        assert "s3cret" not in result.stdout + result.stderr


def test_command_notify_ends_with_75_if_a_url_of_a_route_fails(cdn: Cdn, webhook: Webhook) -> None:
    everything = urls_of(cdn.folder, "urls", webhook.url())
    broken = urls_of(cdn.folder, "broken", "nosuch://s3cret")
    configure(
        cdn,
        f'[notify]\nurls_file = "{everything}"',
        f'[[notify.route]]\nowners = ["c4"]\nurls_file = "{broken}"',
    )
    result = cdn.sslctl("notify", "--json")
    assert result.exit_code == 75
    assert [(each["route"], each["delivered"]) for each in result.json["urls"]] == [
        (None, True),
        ("owners=c4", False),
    ]


@pytest.mark.parametrize(
    ("urls", "mode", "default", "message"),
    [
        ("# nothing\n", 0o600, True, "contains no URL"),
        ("json://a.test\n", 0o644, True, "everyone has access to"),
        ("json:/s3cret\n", 0o600, True, "line 1 must be a URL of apprise"),
        ("json://a.test\n", 0o600, False, "what no route matches would reach nobody"),
    ],
)
@pytest.mark.parametrize("command", ["notify", "doctor"])
def test_unusable_route_is_refused_by_commands_that_test_it(
    cdn: Cdn, urls: str, mode: int, message: str, command: str, *, default: bool
) -> None:
    path = cdn.folder / "route"
    path.write_text(urls)
    path.chmod(mode)
    everything = urls_of(cdn.folder, "urls", "json://a.test")
    configure(
        cdn,
        f'[notify]\nurls_file = "{everything}"' if default else "",
        f'[[notify.route]]\nowners = ["c4"]\nurls_file = "{path}"',
    )
    result = cdn.sslctl(command)
    assert result.exit_code == 8
    assert message in " ".join((result.stderr + result.stdout).split())
    assert "s3cret" not in result.stderr + result.stdout


def test_tick_without_urls_for_what_no_route_matches_ends_before_any_domain_is_touched(cdn: Cdn) -> None:
    route = urls_of(cdn.folder, "route", "json://a.test")
    configure(cdn, f'[[notify.route]]\nowners = ["c4"]\nurls_file = "{route}"')
    result = cdn.sslctl("daemon-tick")
    assert result.exit_code == 8
    assert "what no route matches would reach nobody" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("urls", "why"),
    [
        (None, "cannot be read: no such file or directory"),
        ("# nothing\n", "contains no URL"),
        ("json:/s3cret\n", "line 1 must be a URL of apprise"),
    ],
)
def test_tick_with_an_unusable_route_works_and_notifies_the_default(
    cdn: Cdn, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, urls: str | None, why: str
) -> None:
    monkeypatch.setenv("SSLCTL_NOTIFY_STATUSES", "Failure")
    monkeypatch.setenv("SSLCTL_NOTIFY_PING_URL", f"http://{webhook.address}/")
    everything = urls_of(cdn.folder, "urls", webhook.url())
    acme = cdn.folder / "acme"
    if urls is not None:
        urls_of(cdn.folder, "acme", urls)
    configure(
        cdn,
        f'[notify]\nurls_file = "{everything}"',
        f'[[notify.route]]\ncustomers = ["acme"]\nurls_file = "{acme}"',
    )
    fail(cdn, ACME, "acme")
    cdn.add_domain(OTHER)
    assert cdn.sslctl("add", "--no-wait", OTHER).exit_code == 0
    cdn.sslctl("daemon-tick")
    assert cdn.installed(OTHER)
    (body,) = webhook.bodies
    assert body.startswith("sslctl: the route customers=acme cannot be used, 1 domain in Failure\n")
    assert why in body
    assert ACME in body
    assert "s3cret" not in body
    assert len(webhook.pings) == 1
    with Webhook() as other:
        urls_of(cdn.folder, "acme", other.url())
        cdn.clock.move(hours=1)
        cdn.sslctl("daemon-tick")
        assert [each.splitlines()[0] for each in webhook.bodies[1:]] == [
            "sslctl: over: customers=acme (not usable)"
        ]
        assert [each.splitlines()[0] for each in other.bodies] == ["sslctl: 1 domain in Failure"]


def test_hint_for_a_file_of_urls_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read_urls_file(tmp_path / "gone", "notify.urls_file")
    assert raised.value.hint == "the file must contain only URLs of apprise, one a line, with mode 0600"
