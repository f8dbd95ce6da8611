"""One job in a process of its own, in which certbot runs: a forked child of the warm one (`issuer.warm`).

It reads the job, a JSON object, from the first line of its channel and writes JSON lines back: perhaps
`{"order": URL}`, then one last `{"result": …}`. After an order's URL it waits for a line, so that the URL is stored
before the order goes on. certbot's own display goes nowhere; what the CA said is taken from the ACME messages
themselves, since certbot's exceptions leave out the problems of the single challenges.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import acme.client
import certbot.errors
import certbot.main
import requests
from acme import errors, messages
from certbot._internal import account, cli, constants
from certbot._internal import client as certbot_client
from certbot._internal.plugins.disco import PluginsRegistry
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.json_util import field
from josepy.jwa import ES256, RS256
from josepy.jwk import JWK, JWKEC
from josepy.util import ComparableECKey

from sslctl.issuer import answers, authenticator, suggestions
from sslctl.issuer.answers import TOKEN
from sslctl.text import clean

# Between two tries a fresh nonce is fetched. Pebble rejects 5 % of good nonces on purpose, and a CA behind several
# front ends can reject more; certbot itself gives up after the second.
_NONCE_TRIES = 20
_MOST_MEMORY = 1 << 30
# What a CA may answer to a `replaces` that it does not like; a hint must not cost the certificate.
_REPLACES_REFUSED = ("malformed", "unauthorized")
# For an answer that is looked up, not made.
_SUGGESTION_SECONDS = 10


class Observer(acme.client.ClientNetwork):
    """acme's HTTP client, which also tells of orders and remembers the CA's problems."""

    scheme: str
    on_order: Callable[[str], None]
    problems: list[dict[str, str]]
    retry_after: str
    status: int

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        """POST as acme does, but stay patient with rejected nonces (RFC 8555, section 6.5)."""
        for _ in range(_NONCE_TRIES):
            try:
                return self._post_once(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return self._post_once(*args, **kwargs)

    def look_at(self, url: str) -> requests.Response:
        """GET `url` and give the answer, whatever its status."""
        return self._send_request("GET", url)

    def _send_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        # The directory names the other URLs, and none of them may lead away from TLS.
        if not url.startswith(Observer.scheme):
            raise errors.ClientError(f"the CA names a URL that does not begin with {Observer.scheme}")
        response: requests.Response = super()._send_request(
            method, url, *args, **{**kwargs, "allow_redirects": False}
        )
        Observer.status = response.status_code
        if not response.ok:
            Observer.retry_after = response.headers.get("Retry-After", "")
            return response
        body = _json_object(response)
        if "finalize" in body and "Location" in response.headers:
            Observer.on_order(response.headers["Location"])
        Observer.problems.extend(_problems(body))
        _require_safe_tokens(body)
        return response


class NewOrder(messages.NewOrder):
    """An order that says which certificate it replaces (RFC 9773, section 5)."""

    replaces: str = field("replaces", omitempty=True)


class Client(acme.client.ClientV2):
    """acme's client, which can go on with the order that the CA has already, and say what an order replaces."""

    order_url: str
    replaces: str

    def new_order(self, csr_pem: bytes, profile: str | None = None) -> messages.OrderResource:
        """Place the order or, where one is given, go on with it (RFC 8555, section 7.4: it stays until it expires)."""
        if not Client.order_url:
            return super().new_order(csr_pem, profile)
        body = messages.Order.from_json(self._post_as_get(Client.order_url).json())
        authorizations = [
            self._authzr_from_response(self._post_as_get(url), uri=url) for url in body.authorizations
        ]
        return messages.OrderResource(
            body=body, uri=Client.order_url, authorizations=authorizations, csr_pem=csr_pem
        )

    def clear_answers(self, order: messages.Order) -> None:
        """Remove what a killed run answered to the challenges of `order`."""
        challenges = [
            challenge
            for url in order.authorizations
            for challenge in _json_object(self._post_as_get(url)).get("challenges", ())
        ]
        with answers.opened(authenticator.Authenticator.folder) as folder:
            for challenge in challenges:
                if challenge.get("type") == "http-01":
                    answers.clear(folder, challenge["token"])

    def _post(self, url: str, obj: Any = None, *args: Any, **kwargs: Any) -> requests.Response:
        if isinstance(obj, messages.NewOrder) and Client.replaces and _renewal_info_url(self.directory):
            told = NewOrder(identifiers=obj.identifiers, profile=obj.profile, replaces=Client.replaces)
            try:
                return super()._post(url, told, *args, **kwargs)
            except errors.ConflictError:
                pass  # `alreadyReplaced` comes with status 409, which acme takes for this
            except messages.Error as error:
                if error.code not in _REPLACES_REFUSED:
                    raise
        return super()._post(url, obj, *args, **kwargs)


def _require_safe_tokens(body: dict[str, Any]) -> None:
    """Raise `ClientError` where an authorization has an HTTP challenge whose token must not become a path.

    acme drops what it does not know from a token, and would go on with another one.
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


def _problems(authorization: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Give the problems of a failed authorization (RFC 8555, section 7.1.4), one for each failed challenge."""
    if authorization.get("status") != "invalid" or "challenges" not in authorization:
        return
    for challenge in authorization["challenges"]:
        problem = challenge.get("error")
        if isinstance(problem, dict):
            yield {
                "name": str(authorization["identifier"]["value"]),
                "type": str(problem.get("type", "")),
                "detail": str(problem.get("detail", "")),
            }


def run(job: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Do `job` and give its result: `{"done": true}`, what the job gives, or what went wrong.

    `tell` is called with `{"order": URL}` when the CA has accepted an order.
    """
    Observer.scheme = job["directory_url"].partition("://")[0] + "://"
    Observer.on_order = staticmethod(_once(lambda url: tell({"order": url})))
    Observer.problems = []
    Observer.retry_after = ""
    # A cli.ini of the machine's could bring in hooks or other names: all that counts is in the job.
    constants.CLI_DEFAULTS["config_files"] = []
    # certbot looks the classes up in the module whenever it makes a client.
    setattr(acme.client, "ClientNetwork", Observer)  # noqa: B010 - mypy takes a class for a type, not a variable
    setattr(acme.client, "ClientV2", Client)  # noqa: B010
    Client.order_url, Client.replaces = job.get("order_url", ""), job.get("replaces", "")
    authenticator.install(Path(job.get("webroot", "")))
    try:
        if job["do"] in _OURS:
            return {"done": True, **_OURS[job["do"]](job)}
        trouble = certbot.main.main(job["argv"])
        return {"failed": "certbot", "detail": str(trouble)} if trouble else {"done": True}
    except messages.Error as error:
        return _failure("acme", error.detail or error.description or "", error.typ or "")
    except errors.IssuanceError as error:
        return _failure("acme", error.error.detail or "", error.error.typ or "")
    except (errors.TimeoutError, certbot.errors.SignalExit) as error:
        return _failure("undecided", str(error))
    except (requests.exceptions.RequestException, errors.ClientError, errors.NonceError) as error:
        return _failure("network", _short(error))
    except certbot.errors.AuthorizationError as error:
        return _failure("authorization", str(error))
    except (certbot.errors.Error, errors.Error, OSError) as error:
        return _failure("certbot", str(error))
    except Exception as error:  # noqa: BLE001 - an answer of the CA that nobody thought of
        return _failure("certbot", f"{type(error).__name__}: {error}")


def _failure(kind: str, detail: str, typ: str = "") -> dict[str, Any]:
    return {
        "failed": kind,
        "type": typ,
        "detail": detail,
        "problems": Observer.problems,
        "retry_after": Observer.retry_after,
    }


def _once(function: Callable[[str], None]) -> Callable[[str], None]:
    seen: set[str] = set()

    def call(url: str) -> None:
        if url not in seen:
            seen.add(url)
            function(url)

    return call


def _short(error: Exception) -> str:
    """Give the innermost cause of a network error, without the object addresses that requests puts around it."""
    innermost: BaseException = error
    while (cause := getattr(innermost, "reason", None) or innermost.__context__) is not None:
        if not isinstance(cause, BaseException):
            break
        innermost = cause
    return f"{type(innermost).__name__}: {innermost}"


def _register(job: dict[str, Any]) -> dict[str, Any]:
    """Make certbot's account, with a P-256 key: its own RSA key costs every later run its loading and six signatures."""
    config = cli.prepare_and_parse_args(PluginsRegistry.find_all(), job["argv"])
    key = JWKEC(key=ComparableECKey(ec.generate_private_key(ec.SECP256R1())))
    client = certbot_client.create_acme_client(config, key)
    registration = certbot_client.perform_registration(client, config, None)
    account.AccountFileStorage(config).save(account.Account(registration, key), client)
    return {}


def _register_again(job: dict[str, Any]) -> dict[str, Any]:
    """Register the key of the account that the CA said it does not know; where it does, learn what it calls it."""
    config = cli.prepare_and_parse_args(PluginsRegistry.find_all(), job["argv"])
    key = JWK.json_loads((Path(job["account"]) / "private_key.json").read_text())
    client = certbot_client.create_acme_client(config, key)
    try:
        registration = certbot_client.perform_registration(client, config, None)
    except errors.ConflictError as error:
        registration = messages.RegistrationResource(body=messages.Registration(), uri=error.location)
    account.AccountFileStorage(config).update_regr(account.Account(registration, key))
    return {}


def _ask_renewal_info(job: dict[str, Any]) -> dict[str, Any]:
    """Give the CA's `answers` to what it suggests for each of `ids` (`suggestions.ask`), None where it has no ARI."""
    directory = acme.client.ClientV2.get_directory(
        job["directory_url"], Observer(timeout=_SUGGESTION_SECONDS)
    )
    url = _renewal_info_url(directory)
    if url is None:
        return {"answers": None}
    return suggestions.ask(
        url, job["ids"], job["seconds"], lambda: Observer(timeout=_SUGGESTION_SECONDS).look_at
    )


def _renewal_info_url(directory: messages.Directory) -> str | None:
    """Give the URL at which the CA tells when to renew, None where it has no ARI (RFC 9773, section 3)."""
    # acme's directory cannot be asked with `in`.
    url = getattr(directory, "renewalInfo", None)
    return None if url is None else str(url)


def _collect(job: dict[str, Any]) -> dict[str, Any]:
    """Give the `fullchain` of the order at `job["order_url"]`, or that it is `pending`; nothing when it is dead."""
    client = _client(job["directory_url"], Path(job["account"]))
    try:
        response = client.net.post(job["order_url"], None, new_nonce_url=client.directory["newNonce"])
    except (messages.Error, errors.ClientError) as error:
        if _is_gone(error):
            return {}  # the CA no longer knows the order, or us
        raise
    body = messages.Order.from_json(response.json())
    if body.status == messages.STATUS_PENDING:
        return {"pending": True}
    found = {} if body.status == messages.STATUS_INVALID else _fetch(client, body, job)
    # The certificate counts; the answers are nobody's secret, only litter.
    with suppress(Exception):
        client.clear_answers(body)
    return found


def _fetch(client: Any, body: messages.Order, job: dict[str, Any]) -> dict[str, Any]:
    order = messages.OrderResource(body=body, uri=job["order_url"], csr_pem=job["csr_pem"].encode())
    # acme counts its deadline in naive local time.
    deadline = datetime.now() + timedelta(seconds=job["wait_seconds"])  # noqa: DTZ005
    try:
        return {"fullchain": client.poll_finalization(order, deadline).fullchain_pem}
    except (messages.Error, errors.ClientError) as error:
        if body.status == messages.STATUS_VALID and _is_gone(error):
            return {}  # it issued, and has the certificate no more
        raise


def _is_gone(error: Exception) -> bool:
    """Say whether the CA's last answer says that it does not know what was asked for; a gateway's 503 says nothing."""
    if Observer.status in (requests.codes.not_found, requests.codes.gone):
        return True
    return (
        isinstance(error, messages.Error)
        and Observer.status < requests.codes.server_error
        and error.code in ("malformed", "unauthorized")
    )


def _client(directory_url: str, account: Path) -> Any:
    """Make an ACME client for certbot's own account, kept in the folder `account`."""
    key = JWK.json_loads((account / "private_key.json").read_text())
    registration = messages.RegistrationResource.json_loads((account / "regr.json").read_text())
    network = Observer(key, account=registration, alg=ES256 if key.typ == "EC" else RS256)
    return Client(acme.client.ClientV2.get_directory(directory_url, network), network)


_OURS = {
    "collect": _collect,
    "register": _register,
    "register_again": _register_again,
    "renewal_info": _ask_renewal_info,
}


def serve(connection: socket.socket) -> None:
    """Read the job from `connection`, do it, tell its result."""
    lines = connection.makefile("r", encoding="utf-8")
    job = json.loads(lines.readline())
    # Its default action ends the process whatever it is at: nothing waits longer for it.
    signal.setitimer(signal.ITIMER_REAL, job["deadline_seconds"])
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    # certbot leaves empty folders for its log there.
    tempfile.tempdir = job["scratch"]
    acknowledged: queue.SimpleQueue[str] = queue.SimpleQueue()

    def tell(message: dict[str, Any]) -> None:
        connection.sendall(json.dumps(message).encode() + b"\n")
        if "order" in message:
            acknowledged.get()

    def listen() -> None:
        # Where the parent ended before it heard all that we told, its end is not an end of file but an error.
        with suppress(OSError):
            for line in lines:
                acknowledged.put(line)
        # The parent is gone. The next one collects the order, and must not meet us at it.
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    tell({"result": run(job, tell)})
