"""Signed messages for an endpoint that misbehaves."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from sslctl.config.settings import NotifySection
from sslctl.errors import ConfigError
from sslctl.notify.webhook import Delivery, HttpWebhook, WebhookMessage, make_webhook, sign
from tests.support.webhook import Webhook

SECRET, OTHER = b"s" * 32, b"t" * 24
MESSAGES = [WebhookMessage(f"id{number}", b'{"number": %d}' % number) for number in range(6)]


@pytest.fixture
def endpoint() -> Iterator[Webhook]:
    with Webhook() as running:
        yield running


def deliver(
    endpoint: Webhook, *messages: WebhookMessage, seconds: float = 5, scheme: str = "http"
) -> Delivery:
    """Send `messages` to the endpoint."""
    webhook = HttpWebhook(f"{scheme}://{endpoint.address}/hook?team=1", [SECRET, OTHER])
    return webhook.deliver(messages, lambda: 1_700_000_000, seconds)


def write_secret(folder: Path, text: str, mode: int = 0o600) -> NotifySection:
    """Write a file of secrets; return the section that names it."""
    path = folder / "secret"
    path.write_text(text)
    path.chmod(mode)
    return NotifySection(webhook_url="https://hook.test/", webhook_secret_file=path)


def test_messages_are_sent_in_order_and_signed_with_each_secret(endpoint: Webhook) -> None:
    assert deliver(endpoint, *MESSAGES) == Delivery([each.message_id for each in MESSAGES])
    assert [body for _, body in endpoint.requests] == [each.body for each in MESSAGES]
    assert endpoint.connections == 1
    headers, body = endpoint.requests[0]
    assert headers["Content-Type"] == "application/json"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("id0", "1700000000")
    signed = b"id0.1700000000." + body
    expected = [
        base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in (SECRET, OTHER)
    ]
    assert headers["webhook-signature"] == f"v1,{expected[0]} v1,{expected[1]}"


def test_signature_is_that_of_the_example_of_standard_webhooks() -> None:
    """The example of the section "Verifying webhook authenticity" and the reference libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    message = WebhookMessage("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    assert sign(message, 1_614_265_330, secret) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_refused_message_does_not_stop_the_others(endpoint: Webhook) -> None:
    endpoint.refused = (MESSAGES[1].body,)
    accepted = [each.message_id for each in MESSAGES if each is not MESSAGES[1]]
    assert deliver(endpoint, *MESSAGES) == Delivery(accepted, "answered 400")


@pytest.mark.parametrize("status", [301, 410, 429, 500])
def test_three_failures_in_a_row_end_the_attempts_and_no_redirect_is_followed(
    endpoint: Webhook, status: int
) -> None:
    endpoint.status = status
    assert deliver(endpoint, *MESSAGES) == Delivery([], f"answered {status}", is_over=True)
    assert (len(endpoint.requests), endpoint.pings) == (3, [])


def test_endpoint_that_never_finishes_its_answer_is_left_after_the_time_limit(endpoint: Webhook) -> None:
    endpoint.hangs = True
    found = deliver(endpoint, *MESSAGES, seconds=0.3)
    assert found == Delivery([], "did not answer within 0 seconds", is_over=True)
    assert len(endpoint.requests) == 1


def test_large_answer_is_not_read_to_its_end_and_the_next_message_is_sent(endpoint: Webhook) -> None:
    endpoint.body = b"x" * (1 << 20)
    assert deliver(endpoint, *MESSAGES[:2]) == Delivery(["id0", "id1"])
    assert endpoint.connections == 2


def test_endpoint_that_is_down_fails_without_its_url() -> None:
    with Webhook() as gone:
        pass
    found = deliver(gone, *MESSAGES)
    assert (found.accepted, found.is_over) == ([], True)
    assert found.why == "could not be reached (ConnectionRefusedError)"


def test_proxy_of_the_environment_is_not_used(endpoint: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert deliver(endpoint, MESSAGES[0]).accepted == ["id0"]


def test_endpoint_over_https_needs_a_certificate_of_a_trusted_ca(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Webhook(context) as endpoint:
        assert deliver(endpoint, MESSAGES[0], scheme="https").why == (
            "could not be reached (SSLCertVerificationError)"
        )
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert deliver(endpoint, MESSAGES[0], scheme="https").accepted == ["id0"]


# The configuration


def test_webhook_is_made_of_secrets_one_a_line(tmp_path: Path) -> None:
    text = "".join(f"whsec_{base64.b64encode(each).decode()}\n" for each in (SECRET, OTHER))
    webhook = make_webhook(write_secret(tmp_path, text))
    assert webhook is not None
    assert webhook._secrets == (SECRET, OTHER)


def test_no_webhook_without_a_url() -> None:
    assert make_webhook(NotifySection()) is None


@pytest.mark.parametrize(
    "text",
    ["", "\n", "whsec_", "hunter2", "whsec_" + "A" * 28, "whsec_" + "A" * 88, f"whsec_{'A' * 32}\nx"],
    ids=["empty", "blank", "no secret", "a password", "too short", "too long", "second line"],
)
def test_file_without_usable_secrets_is_refused_without_showing_them(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_webhook(write_secret(tmp_path, text))
    assert "notify.webhook_secret_file" in caught.value.message
    assert "hunter2" not in caught.value.message


def test_secret_that_everyone_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="everyone has access"):
        make_webhook(write_secret(tmp_path, "whsec_" + "A" * 32, 0o644))


def test_url_without_a_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="webhook_secret_file is not"):
        make_webhook(NotifySection(webhook_url="https://hook.test/"))
