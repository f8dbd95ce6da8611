"""Signed messages for the endpoint of `notify.webhook_url`, as Standard Webhooks describes them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme".
`http.client` sends them: it follows no redirect, uses no proxy of the environment and logs no URL.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import certifi

from sslctl import __version__
from sslctl.config.secret_file import read_secret
from sslctl.config.settings import NotifySection
from sslctl.errors import ConfigError
from sslctl.text import clean, instant

# Each tick imports this, and few send anything.
if TYPE_CHECKING:
    import http.client

SECONDS = 10.0
"""The longest silence of the endpoint."""

_PREFIX = "whsec_"
_SECRET_BYTES = range(24, 65)
_MOST_SECRETS = 5
_GOOD = range(200, 300)
_LARGEST_ANSWER = 1 << 16
_FAILURES = 3
_HINT = f"a new secret: echo {_PREFIX}$(openssl rand -base64 32)"


class WebhookMessage(NamedTuple):
    """A message; `message_id` is the same for each attempt to deliver it."""

    message_id: str
    body: bytes


@dataclass(slots=True)
class Delivery:
    """What became of messages: the ids of those `accepted`, and `why` the last of the others was not, empty if none failed.

    `is_over` is true if the endpoint did not answer in time, or failed several times in a row: more messages are no use now.
    """

    accepted: list[str] = field(default_factory=list)
    why: str = ""
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class UnusableWebhook:
    """A configured webhook that delivers nothing, and `why` (cleaned)."""

    why: str


class HttpWebhook:
    """The endpoint at `url`, for which each of `secrets` signs the messages."""

    def __init__(self, url: str, secrets: Sequence[bytes]) -> None:
        self._parts = urlsplit(url)
        self._secrets = tuple(secrets)

    def deliver(
        self, messages: Sequence[WebhookMessage], timestamp: Callable[[], int], seconds: float
    ) -> Delivery:
        """Send `messages` in order, each with the `timestamp` of the attempt (Unix time), for at most `seconds`.

        Stop after 3 failures in a row. Raise nothing, whatever the endpoint does.
        """
        found, ended = Delivery(), threading.Event()

        def send_all() -> None:
            failures = 0
            with closing(connection):
                for message in messages:
                    why = self._try(connection, message, timestamp())
                    if ended.is_set():
                        return
                    if not why:
                        failures = 0
                        found.accepted.append(message.message_id)
                        continue
                    failures += 1
                    found.why, found.is_over = why, failures == _FAILURES
                    if found.is_over:
                        return

        # A server that sends a byte now and then never exceeds a socket timeout. So the thread is abandoned after `seconds`.
        thread = threading.Thread(target=send_all, daemon=True)
        try:
            connection = self._connect(min(seconds, SECONDS))
            thread.start()
        except (RuntimeError, OSError) as error:
            return Delivery(why=f"got nothing: sslctl failed ({type(error).__name__})", is_over=True)
        thread.join(seconds)
        is_late = thread.is_alive()
        ended.set()
        late = f"did not answer within {seconds:.0f} seconds" if is_late and not found.accepted else ""
        return Delivery(list(found.accepted), found.why or late, found.is_over or is_late)

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        import http.client  # noqa: PLC0415 - see above
        import ssl  # noqa: PLC0415 - likewise

        parts = self._parts
        if parts.scheme != "https":
            return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
        # The endpoint may have a certificate of a CA that only this machine trusts.
        tls = ssl.create_default_context()
        tls.load_verify_locations(certifi.where())
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=seconds, context=tls)

    def _try(self, connection: http.client.HTTPConnection, message: WebhookMessage, at: int) -> str:
        """Send one message; return why that failed, or an empty string for a 2xx response."""
        parts = self._parts
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", target, message.body, _headers(message, at, self._secrets))
            response = connection.getresponse()
            is_read = len(response.read(_LARGEST_ANSWER)) < _LARGEST_ANSWER
        except Exception as error:  # noqa: BLE001 - a thread that dies would look like success
            connection.close()
            # The message of an error may hold the URL.
            return f"could not be reached ({type(error).__name__})"
        if not is_read or response.status not in _GOOD:
            # The next request opens it again.
            connection.close()
        return "" if response.status in _GOOD else f"answered {response.status}"


def _headers(message: WebhookMessage, at: int, secrets: Sequence[bytes]) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": f"sslctl/{__version__}",
        "webhook-id": message.message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(sign(message, at, secret) for secret in secrets),
    }


def sign(message: WebhookMessage, at: int, secret: bytes) -> str:
    """Return the signature `v1` of `message`, sent at the Unix time `at`."""
    content = f"{message.message_id}.{at}.".encode() + message.body
    return f"v1,{base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()}"


def make_webhook(section: NotifySection) -> HttpWebhook | None:
    """Return the webhook that is configured, None without a URL. Raise `ConfigError` if it cannot be used."""
    if not section.webhook_url:
        return None
    if section.webhook_secret_file is None:
        raise ConfigError(
            "notify.webhook_url is set, but notify.webhook_secret_file is not: messages could not be signed",
            hint=_HINT,
        )
    return HttpWebhook(section.webhook_url, _read_secrets(section.webhook_secret_file))


def make_tick_webhook(section: NotifySection) -> HttpWebhook | UnusableWebhook | None:
    """Return the webhook of a tick, None without a URL. One that cannot be used must not stop the tick."""
    try:
        return make_webhook(section)
    except ConfigError as error:
        return UnusableWebhook(error.message)


def send_test(webhook: HttpWebhook, at: datetime) -> str:
    """Send a message of type `test` at `at`; return why it was not accepted, or an empty string."""
    body = {"type": "test", "timestamp": instant(at), "data": {}}
    message = WebhookMessage(uuid4().hex, json.dumps(body).encode())
    return webhook.deliver([message], lambda: int(at.timestamp()), SECONDS).why


def _read_secrets(path: Path) -> list[bytes]:
    """Return the secrets in the file `path`, one a line. Raise `ConfigError`, which names a line and never a secret."""
    key, shown = "notify.webhook_secret_file", clean(path)
    lines = [line.strip() for line in read_secret(path, key, "a secret of Standard Webhooks").split("\n")]
    secrets = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            secret = base64.b64decode(line.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if len(secret) not in _SECRET_BYTES:
            raise ConfigError(
                f"{key}: {shown}, line {number} is not {_PREFIX} and the base64 of 24 to 64 bytes", hint=_HINT
            )
        secrets.append(secret)
    if not 0 < len(secrets) <= _MOST_SECRETS:
        raise ConfigError(f"{key}: {shown} must contain 1 to {_MOST_SECRETS} secrets, one a line", hint=_HINT)
    return secrets
