"""The child process in which certbot runs: `python -m sslctl.issuer.child`.

It reads one job, a JSON object, from the first line of standard input and writes JSON lines to standard output:
perhaps `{"order": URL}`, then one last `{"result": …}`. After an order's URL it waits for a line on standard input, so
that the URL is stored before the order goes on. certbot's own display goes nowhere; what the CA said is taken from
the ACME messages themselves, since certbot's exceptions leave out the problems of the single challenges.
"""

from __future__ import annotations

import json
import os
import queue
import re
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import acme.client
import certbot.errors
import certbot.main
import requests
from acme import challenges, errors, messages
from certbot._internal import constants
from josepy.jwa import ES256, RS256
from josepy.jwk import JWK

# Between two tries a fresh nonce is fetched. Pebble rejects 5 % of good nonces on purpose, and a CA behind several
# front ends can reject more; certbot itself gives up after the second.
_NONCE_TRIES = 20
_MOST_MEMORY = 1 << 30


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
        return response


class Resuming(acme.client.ClientV2):
    """acme's client, which goes on with the order that the CA has already instead of placing another."""

    order_url: str
    webroot: Path

    def new_order(self, csr_pem: bytes, profile: str | None = None) -> messages.OrderResource:  # noqa: ARG002 - the order has its profile
        """Give the order as it is now (RFC 8555, section 7.4: it stays usable until it expires)."""
        body = messages.Order.from_json(self._post_as_get(Resuming.order_url).json())
        authorizations = [
            self._authzr_from_response(self._post_as_get(url), uri=url) for url in body.authorizations
        ]
        for token in _tokens(authorizations):
            # An answer that a killed run left there; certbot takes a file that exists for somebody else's.
            (Resuming.webroot / ".well-known" / "acme-challenge" / token).unlink(missing_ok=True)
        return messages.OrderResource(
            body=body, uri=Resuming.order_url, authorizations=authorizations, csr_pem=csr_pem
        )


def _tokens(authorizations: list[messages.AuthorizationResource]) -> Iterator[str]:
    """Give the tokens of the HTTP challenges; they become paths, so only what RFC 8555, section 8.3 allows."""
    for authorization in authorizations:
        for challenge in authorization.body.challenges:
            if isinstance(challenge.chall, challenges.HTTP01):
                token = str(challenge.chall.encode("token"))
                if re.fullmatch(r"[A-Za-z0-9_-]+", token):
                    yield token


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
    if job["do"] == "resume":
        Resuming.order_url, Resuming.webroot = job["order_url"], Path(job["webroot"])
        setattr(acme.client, "ClientV2", Resuming)  # noqa: B010
    try:
        if job["do"] == "collect":
            return {"done": True, **_collect(job)}
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
    if body.status == messages.STATUS_INVALID:
        return {}
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
        and error.code in ("malformed", "unauthorized", "accountDoesNotExist")
    )


def _client(directory_url: str, account: Path) -> Any:
    """Make an ACME client for certbot's own account, kept in the folder `account`."""
    key = JWK.json_loads((account / "private_key.json").read_text())
    registration = messages.RegistrationResource.json_loads((account / "regr.json").read_text())
    network = Observer(key, account=registration, alg=ES256 if key.typ == "EC" else RS256)
    return acme.client.ClientV2(acme.client.ClientV2.get_directory(directory_url, network), network)


def main() -> None:
    """Read the job, keep certbot away from our channel, do the job, tell its result."""
    channel: TextIO = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    job = json.loads(sys.stdin.readline())
    acknowledged: queue.SimpleQueue[str] = queue.SimpleQueue()

    def tell(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=channel, flush=True)
        if "order" in message:
            acknowledged.get()

    def listen() -> None:
        for line in sys.stdin:
            acknowledged.put(line)
        # The parent is gone. The next one collects the order, and must not meet us at it.
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    # An answer without an end, or a parent that is killed, must not leave a child that grows or stays.
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    signal.alarm(job["deadline_seconds"])
    tell({"result": run(job, tell)})


if __name__ == "__main__":
    main()
