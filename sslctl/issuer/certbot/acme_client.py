"""The ACME client: that of the `acme` library, extended.

It reports an order's URL, goes on with an order, sends `replaces`, keeps the problems of challenges, uses a directory that was
fetched before, and keeps to the CA's limits per IP address (`pacing`). `job` puts these classes in the place of the library's, where
certbot looks them up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import acme.challenges
import acme.client
import certbot.errors
import requests
from acme import errors, messages
from josepy.errors import DeserializationError
from josepy.json_util import field

from sslctl.issuer.certbot import authenticator, challenge_files, trusted_context
from sslctl.issuer.certbot.answers import Answers
from sslctl.issuer.certbot.challenge_files import TOKEN
from sslctl.issuer.certbot.pacing import Kind, Pace
from sslctl.issuer.certbot.polling import PollingClient
from sslctl.issuer.certbot.problems import is_account_refused
from sslctl.issuer.certbot.session import Session
from sslctl.net import retry_after
from sslctl.text import clean

# Each try uses the nonce of the last response. Pebble rejects 5 % of good nonces on purpose, and a CA with several front ends
# can reject more; certbot itself gives up after the second.
_NONCE_TRIES = 20
_POLL_SECONDS = 1
# Statuses of an authorization that can no longer become valid (RFC 8555, section 7.1.6). acme does not know `expired`.
_ENDED = (messages.STATUS_INVALID, messages.STATUS_DEACTIVATED, messages.STATUS_REVOKED)
# Errors of a CA that does not accept `replaces`. It is only a hint, so the order is placed without it.
_REPLACES_REFUSED = ("malformed", "unauthorized")


class Observer(acme.client.ClientNetwork):
    """acme's HTTP client, which also reports orders and keeps the CA's problems."""

    scheme: str
    on_order: Callable[[str], None]
    problems: list[dict[str, str]]
    # Of challenges that failed once and may still succeed (RFC 8555, section 8.2), by name. `status` is `processing` if the CA tries
    # again by itself, and `pending` if it does so only when it is asked again.
    retried: dict[str, dict[str, str]]
    retry_after: str
    status: int
    # Whether the CA has said that the order is valid: then it has issued the certificate.
    is_issued: bool
    new_order_url: str
    # Whether the CA accepted an order without its URL.
    is_order_lost: bool
    pace: Pace
    # The kinds of requests, by URL; all others are `Kind.OTHER`.
    kinds: dict[str, Kind]
    # How long this job may still wait, in seconds, because the CA is busy.
    patience: float
    # The nonces of all clients of this process: what an earlier job left over, and what is left for a later one.
    nonces: ClassVar[set[Any]] = set()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.session = Session()
        trusted_context.mount(self.session)
        self._nonces = Observer.nonces

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        """POST as acme does, and retry rejected nonces (RFC 8555, section 6.5)."""
        for _ in range(_NONCE_TRIES):
            try:
                return self._post_once(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return self._post_once(*args, **kwargs)

    def fetch(self, url: str) -> requests.Response:
        """GET `url` and return the response, whatever its status."""
        return self._send_request("GET", url)

    def _send_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        # The directory names the other URLs, and none of them may leave TLS.
        if not url.startswith(Observer.scheme):
            raise errors.ClientError(f"the CA names a URL that does not begin with {Observer.scheme}")
        response = self._send_in_turn(method, url, *args, **{**kwargs, "allow_redirects": False})
        Observer.status = response.status_code
        if not response.ok:
            Observer.retry_after = response.headers.get("Retry-After", "")
            # RFC 8555, section 6.5: errors carry a nonce too. acme would ask for another one.
            with suppress(errors.NonceError):
                self._add_nonce(response)
            return response
        body = _json_object(response)
        # Whatever the body is: with its URL the order can be collected later.
        is_new_order = method == "POST" and url == Observer.new_order_url
        if (is_new_order or "finalize" in body) and "Location" in response.headers:
            Observer.on_order(response.headers["Location"])
        elif is_new_order:
            Observer.is_order_lost = True
        if "finalize" in body and body.get("status") == "valid":
            Observer.is_issued = True
        Observer.problems.extend(_problems(body))
        _require_safe_tokens(body)
        _note_decision(body)
        return response

    def _send_in_turn(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request at the pace of all jobs.

        If the CA is busy for a moment (503 with a short `Retry-After`), hold back all requests of this kind, and try again. If it
        used up the nonce of a request that it refused, `post` signs another one.
        """
        kind = Observer.kinds.get(url, Kind.OTHER)
        while True:
            Observer.pace.wait(kind)
            response: requests.Response = super()._send_request(method, url, *args, **kwargs)
            seconds = _busy_seconds(response)
            if seconds is None or seconds > Observer.patience:
                return response
            Observer.patience -= seconds
            Observer.pace.hold(kind, seconds)


def _busy_seconds(response: requests.Response) -> float | None:
    """Return for how many seconds the CA, or its load balancer, is busy, at least one; None if it named no time."""
    if response.status_code != requests.codes.service_unavailable:
        return None
    now = datetime.now(UTC)
    until = retry_after.read(response.headers.get("Retry-After"), now)
    return None if until is None else max(1.0, (until - now).total_seconds())


class NewOrder(messages.NewOrder):
    """An order with the certificate that it replaces (RFC 9773, section 5)."""

    replaces: str = field("replaces", omitempty=True)


class Client(PollingClient):
    """acme's client, which can also go on with an existing order and send `replaces`."""

    order_url: str
    replaces: str
    # The file that is made before the CA is asked to issue the certificate; None if this job does not ask for one.
    finalizing: Path | None
    # For how long a validation is awaited after it was requested, before it is requested again.
    decision_seconds: float
    # The directory that another job has fetched; None if this job is to fetch it.
    shared_directory: dict[str, Any] | None

    @classmethod
    def get_directory(cls, url: str, net: acme.client.ClientNetwork) -> messages.Directory:
        """Return the CA's directory: the shared one, or one that is fetched from `url`."""
        content = cls.shared_directory
        directory = messages.Directory.from_json(dict(net.get(url).json() if content is None else content))
        new_nonce_url = getattr(directory, "newNonce", None)
        if new_nonce_url is not None:
            Observer.kinds[new_nonce_url] = Kind.NEW_NONCE
        return directory

    def new_order(self, csr_pem: bytes, profile: str | None = None) -> messages.OrderResource:
        """Place the order, or go on with the one at `order_url` (RFC 8555, section 7.4: it exists until it expires)."""
        if not Client.order_url:
            Observer.new_order_url = self.directory["newOrder"]
            return super().new_order(csr_pem, profile)
        body = messages.Order.from_json(self._post_as_get(Client.order_url).json())
        authorizations = self._await_decisions(body.authorizations)
        return messages.OrderResource(
            body=body, uri=Client.order_url, authorizations=authorizations, csr_pem=csr_pem
        )

    def _await_decisions(self, urls: Sequence[str]) -> list[messages.AuthorizationResource]:
        """Return the authorizations at `urls`.

        If an earlier run asked the CA to validate a challenge, wait until it has decided: it may still be at it, and must not be
        asked a second time. A request that was lost is made again after that wait. Raise `AuthorizationError` if an
        authorization failed or ended: no challenge of it can be validated any more.
        """
        answers = authenticator.Authenticator.answers
        found = {url: self._authorization(url) for url in urls}
        until = time.monotonic() + Client.decision_seconds
        while under_way := [url for url in urls if _is_under_way(found[url], answers)]:
            if time.monotonic() >= until:
                break
            time.sleep(_POLL_SECONDS)
            found |= {url: self._authorization(url) for url in under_way}
        # The certificate counts; leftover challenge files are no secret.
        with suppress(OSError):
            answers.remove_final(authenticator.Authenticator.folder)
        for each in found.values():
            status = (
                messages.STATUS_INVALID if any(map(_is_lost, _http_challenges(each))) else each.body.status
            )
            if status in _ENDED:
                raise certbot.errors.AuthorizationError(
                    f"the authorization of {each.body.identifier.value} is {status.name}"
                )
        return [found[url] for url in urls]

    def _authorization(self, url: str) -> messages.AuthorizationResource:
        return self._authzr_from_response(self._post_as_get(url), uri=url)

    def answer_challenge(self, challb: Any, response: Any) -> Any:
        """Ask the CA to validate the challenge `challb`.

        Once the CA has accepted that, an answer that cannot be read must not end the run: the challenge file would be removed
        while the CA validates. The authorization is polled afterwards.
        """
        if challb.status == messages.STATUS_PROCESSING:
            # An earlier run asked for it, and the CA is at it: it would refuse another request.
            return None
        Observer.status = 0
        authenticator.Authenticator.answers.note_asked(challb.chall.encode("token"))
        try:
            return super().answer_challenge(challb, response)
        except (errors.ClientError, errors.UnexpectedUpdate, DeserializationError):
            if Observer.status != requests.codes.ok:
                raise
        return None

    def poll(
        self, authzr: messages.AuthorizationResource
    ) -> tuple[messages.AuthorizationResource, requests.Response]:
        """Poll as acme does.

        With a failed challenge the authorization is invalid for certbot. At step-ca it stays pending, but waiting for it is in vain.
        """
        found, response = super().poll(authzr)
        if any(_is_lost(each) or _has_failed_for_now(each) for each in _http_challenges(found)):
            found = found.update(body=found.body.update(status=messages.STATUS_INVALID))
        return found, response

    def remove_challenge_files(self, order: messages.Order) -> None:
        """Remove the files that a killed run wrote for the challenges of `order`."""
        webroot = authenticator.Authenticator.folder
        if webroot is None:
            return
        challenges = [
            challenge
            for url in order.authorizations
            for challenge in _json_object(self._post_as_get(url)).get("challenges", ())
        ]
        with challenge_files.opened(webroot) as folder:
            for challenge in challenges:
                if challenge.get("type") == "http-01":
                    challenge_files.clear(folder, challenge["token"])

    def _post(self, url: str, obj: Any = None, *args: Any, **kwargs: Any) -> requests.Response:
        if isinstance(obj, messages.NewOrder) and Client.replaces and renewal_info_url(self.directory):
            extended = NewOrder(identifiers=obj.identifiers, profile=obj.profile, replaces=Client.replaces)
            try:
                return super()._post(url, extended, *args, **kwargs)
            except errors.ConflictError:
                pass  # `alreadyReplaced` comes with status 409, which acme takes for this
            except messages.Error as error:
                if error.code not in _REPLACES_REFUSED:
                    raise
        if isinstance(obj, messages.CertificateRequest) and Client.finalizing is not None:
            # Without the folder of the run it is not known anyway whether the CA was asked.
            with suppress(FileNotFoundError):
                Client.finalizing.touch()
        return super()._post(url, obj, *args, **kwargs)


def _is_under_way(authorization: messages.AuthorizationResource, answers: Answers) -> bool:
    """Return whether the CA may be validating a challenge of `authorization` at this moment."""
    if authorization.body.status != messages.STATUS_PENDING:
        return False
    return any(
        answers.seconds_since_asked(each.chall.encode("token")) < Client.decision_seconds
        for each in _http_challenges(authorization)
        if not _is_lost(each) and not _has_failed_for_now(each)
    )


def _http_challenges(authorization: messages.AuthorizationResource) -> list[messages.ChallengeBody]:
    return [each for each in authorization.body.challenges if isinstance(each.chall, acme.challenges.HTTP01)]


def _is_lost(challenge: messages.ChallengeBody) -> bool:
    """Return whether `challenge` failed for good.

    Its authorization is invalid then (RFC 8555, section 7.1.6); at step-ca it stays pending, for the other challenges, which we do not answer.
    """
    return bool(challenge.status == messages.STATUS_INVALID)


def _has_failed_for_now(challenge: messages.ChallengeBody) -> bool:
    """Return whether the CA waits for another request to validate `challenge`, after one in vain.

    While a CA still tries by itself, the challenge is `processing` (RFC 8555, section 8.2).
    """
    return bool(challenge.status == messages.STATUS_PENDING and challenge.error is not None)


def _require_safe_tokens(body: dict[str, Any]) -> None:
    """Raise `ClientError` if the token of an HTTP challenge is not safe as a file name.

    acme drops unknown characters from a token and would go on with another one.
    """
    for challenge in body.get("challenges", ()):
        token = challenge.get("token")
        is_safe = isinstance(token, str) and TOKEN.fullmatch(token)
        if challenge.get("type") == "http-01" and not is_safe:
            raise errors.ClientError(f"the CA gave a token that RFC 8555 does not allow: {clean(token, 60)}")


def _json_object(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _problems(authorization: dict[str, Any]) -> list[dict[str, str]]:
    """Return the problems of a failed authorization (RFC 8555, section 7.1.4), one for each failed challenge.

    The `error` of a challenge is optional (section 8): that it failed is a problem too.
    """
    if "challenges" not in authorization or not _has_failed(authorization):
        return []
    challenges = authorization["challenges"]
    found = [
        _problem(authorization, one["error"]) for one in challenges if isinstance(one.get("error"), dict)
    ]
    return found or [_problem(authorization, {"detail": "the CA gave no reason"})]


def _has_failed(authorization: dict[str, Any]) -> bool:
    """Return whether the authorization is invalid, or is no more use to us (see `_is_lost`)."""
    status = authorization.get("status")
    return status == "invalid" or (
        status == "pending"
        and any(
            (each.get("type"), each.get("status")) == ("http-01", "invalid")
            for each in authorization["challenges"]
        )
    )


def _problem(authorization: dict[str, Any], problem: dict[str, Any]) -> dict[str, str]:
    return {
        "name": str(authorization["identifier"]["value"]),
        "type": str(problem.get("type", "")),
        "detail": str(problem.get("detail", "")),
    }


def _note_decision(authorization: dict[str, Any]) -> None:
    """Note the tokens of an authorization that the CA has decided about, or the error of one that it tries again."""
    challenges, identifier = authorization.get("challenges"), authorization.get("identifier")
    if not isinstance(challenges, list) or not isinstance(identifier, dict):
        return
    name, status = str(identifier.get("value")), authorization.get("status")
    Observer.retried.pop(name, None)
    if status != "pending" or _has_failed(authorization):
        tokens = (str(challenge.get("token")) for challenge in challenges)
        authenticator.Authenticator.answers.final.update(tokens)
        return
    for challenge in challenges:
        if isinstance(challenge.get("error"), dict):
            status = str(challenge.get("status"))
            Observer.retried[name] = {**_problem(authorization, challenge["error"]), "status": status}


def renewal_info_url(directory: messages.Directory) -> str | None:
    """Return the CA's URL for renewal information, None if it has no ARI (RFC 9773, section 3)."""
    # acme's directory does not support `in`.
    url = getattr(directory, "renewalInfo", None)
    return None if url is None else str(url)


def is_gone(error: Exception) -> bool:
    """Return whether the CA's last response means that it does not have the resource.

    A gateway's 503 does not: it comes from no CA, whatever its body is.
    """
    if Observer.status in (requests.codes.not_found, requests.codes.gone):
        return True
    return (
        isinstance(error, messages.Error)
        and Observer.status < requests.codes.server_error
        and error.code in ("malformed", "unauthorized")
        and not is_account_refused(error.code, error.detail or "")
    )
