"""When a job asks the CA again whether it has decided: soon at first, then every second, never before the time that the CA names.

certbot and acme sleep a second before they ask for the first time, and certbot three before each further time. That was nearly all the
time of an order. `job` puts the `Handler` in the place of certbot's; `Client` in `acme_client` extends the `PollingClient`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

import acme.client
import certbot.errors
import requests
from acme import errors, messages
from certbot._internal import auth_handler
from cryptography import x509

from sslctl.net import retry_after

_FIRST_SECONDS, _LONGEST_SECONDS = 0.1, 1.0
# As long as certbot, which asks 30 times.
_VALIDATION_SECONDS = 90.0
_NO_REASON = "The certificate order failed. No further information was provided by the server."


class Polls:
    """The polls for one decision of the CA, within `seconds`."""

    def __init__(
        self,
        seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._until = monotonic() + seconds
        self._pause = _FIRST_SECONDS

    def wait(self, *headers: str | None) -> bool:
        """Wait until the next poll, no shorter than the `Retry-After` `headers` of the last one name (RFC 8555, sections 7.4 and 7.5.1).

        Return False at once if the time is over by then.
        """
        now = datetime.now(UTC)
        named = [(until - now).total_seconds() for each in headers if (until := retry_after.read(each, now))]
        pause = max([self._pause, *named])
        self._pause = min(2 * self._pause, _LONGEST_SECONDS)
        if self._monotonic() + pause > self._until:
            return False
        self._sleep(pause)
        return True


class Handler(auth_handler.AuthHandler):
    """certbot's handler of authorizations, which polls at our times."""

    polls: ClassVar[type[Polls]] = Polls

    def _poll_authorizations(
        self,
        authzrs: list[messages.AuthorizationResource],
        _max_retries: int,
        _deadline_minutes: float,
        _best_effort: bool,  # noqa: FBT001 - certbot's parameters
    ) -> None:
        """Update `authzrs` until the CA has decided about each. Raise `AuthorizationError` if one failed, or stays undecided."""
        client: Any = self.acme
        pending = dict(enumerate(authzrs))
        headers: list[str | None] = []
        polls = self.polls(_VALIDATION_SECONDS)
        while pending:
            if not polls.wait(*headers):
                raise certbot.errors.AuthorizationError("All authorizations were not finalized by the CA.")
            found = {index: client.poll(each) for index, each in pending.items()}
            for index, (authzr, _) in found.items():
                authzrs[index] = authzr
            still = {i: pair for i, pair in found.items() if pair[0].body.status == messages.STATUS_PENDING}
            pending = {index: authzr for index, (authzr, _) in still.items()}
            headers = [_retry_after(response) for _, response in still.values()]
        if any(each.body.status == messages.STATUS_INVALID for each in authzrs):
            raise certbot.errors.AuthorizationError("Some challenges have failed.")


class PollingClient(acme.client.ClientV2):
    """acme's client, which polls orders at our times. `deadline` is in naive local time, as acme expects it."""

    polls: ClassVar[type[Polls]] = Polls

    def finalize_order(
        self,
        orderr: messages.OrderResource,
        deadline: datetime,
        fetch_alternative_chains: bool = False,  # noqa: FBT001, FBT002 - acme's parameters
    ) -> messages.OrderResource:
        """Ask the CA to issue the certificate, and return the order with it. Raise `TimeoutError`, or what the CA found wrong."""
        try:
            response = self._ask_for_certificate(orderr)
        except messages.Error as error:
            if error.code != "orderNotReady":
                raise
            response = None
        return self._await_certificate(orderr, response, deadline, alternatives=fetch_alternative_chains)

    def poll_finalization(
        self,
        orderr: messages.OrderResource,
        deadline: datetime,
        fetch_alternative_chains: bool = False,  # noqa: FBT001, FBT002 - acme's parameters
    ) -> messages.OrderResource:
        """Return the order with its certificate, for which the CA was asked before. Raise as `finalize_order` does."""
        return self._await_certificate(orderr, None, deadline, alternatives=fetch_alternative_chains)

    def _ask_for_certificate(self, order: messages.OrderResource) -> requests.Response:
        request = messages.CertificateRequest(csr=x509.load_pem_x509_csr(order.csr_pem))
        return self._post(order.body.finalize, request)

    def _await_certificate(
        self,
        order: messages.OrderResource,
        response: requests.Response | None,
        deadline: datetime,
        *,
        alternatives: bool,
    ) -> messages.OrderResource:
        """Poll until the CA has issued the certificate. `response` is the CA's last one with the order, None if there is none."""
        polls = self.polls((deadline - datetime.now()).total_seconds())  # noqa: DTZ005
        while True:
            if response is not None:
                order = order.update(body=messages.Order.from_json(response.json()))
                if order.body.status == messages.STATUS_INVALID:
                    raise (
                        errors.IssuanceError(order.body.error)
                        if order.body.error
                        else errors.Error(_NO_REASON)
                    )
                if order.body.status == messages.STATUS_VALID and order.body.certificate is not None:
                    return self._download(order, alternatives=alternatives)
            if not polls.wait(_retry_after(response)):
                raise errors.TimeoutError
            # `ready`: the CA has not taken a request for the certificate yet (RFC 8555, section 7.4).
            is_ready = response is not None and order.body.status == messages.STATUS_READY
            response = self._ask_for_certificate(order) if is_ready else self._post_as_get(order.uri)

    def _download(self, order: messages.OrderResource, *, alternatives: bool) -> messages.OrderResource:
        response = self._post_as_get(order.body.certificate)
        order = order.update(fullchain_pem=response.text)
        if alternatives:
            urls = self._get_links(response, "alternate")
            order = order.update(alternative_fullchains_pem=[self._post_as_get(url).text for url in urls])
        return order


def _retry_after(response: requests.Response | None) -> str | None:
    return None if response is None else response.headers.get("Retry-After")
