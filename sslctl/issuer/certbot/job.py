"""The jobs of one process, forked by the `fork_server`, in which certbot runs.

1. It reads a job, a JSON object, from a line of its channel.
2. It writes `{"order": URL}` if the CA accepted an order, and waits for a line, so that the URL is stored before the order
   goes on.
3. It writes `{"result": …, "nonces": […], "free": …}`, with the nonces that it did not use, and whether it waits for another job.

It waits for another job only after an order that got its certificate without certbot's `main`: such an order leaves no locks, log
handlers or plugins behind, and `set_up` makes anew what is kept in classes. After anything else the process ends.

certbot's display is discarded. What the CA said is taken from the ACME messages, since certbot's exceptions leave out the
problems of the single challenges.
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
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import acme.client
import certbot.errors
import certbot.main
import requests
from acme import errors, messages
from certbot import crypto_util
from certbot._internal import auth_handler
from josepy.json_util import decode_b64jose, encode_b64jose
from josepy.jwk import JWK

from sslctl.issuer.certbot import ari, authenticator, order, registration, run_folder
from sslctl.issuer.certbot.acme_client import Client, Observer, is_gone, renewal_info_url
from sslctl.issuer.certbot.answers import Answers, NoAnswers
from sslctl.issuer.certbot.pacing import LONGEST_HOLD, Kind, Pace
from sslctl.issuer.certbot.polling import Handler

_MOST_MEMORY = 1 << 30
# The CA looks the response up; it computes nothing.
_SUGGESTION_SECONDS = 10
# Longer than a CA takes for a validation: Boulder gives up on each connection after 10 seconds, Pebble after 15.
_DECISION_SECONDS = 30
_LARGEST_DIRECTORY = 1 << 16
_MOST_JOBS = 16
# Without a job the process ends. The pool uses it only much sooner.
_FREE_SECONDS = 10.0
# What every directory has and every order needs (RFC 8555, section 7.1.1).
_NEEDED = ("newNonce", "newAccount", "newOrder")


def run(job: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run `job` and return its result: `{"done": true}` with the job's own members, or a failure (`_failure`).

    Call `send` with `{"order": URL}` when the CA has accepted an order.
    """
    set_up(job, send)
    try:
        if job["do"] in _OURS:
            return {"done": True, **_OURS[job["do"]](job)}
        if _is_without_main(job):
            order.place(job)
            return {"done": True}
        return _run_main(job)
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
    except Exception as error:  # noqa: BLE001 - an unforeseen response of the CA
        return _failure("certbot", f"{type(error).__name__}: {error}")


def _is_without_main(job: dict[str, Any]) -> bool:
    return job["do"] == "issue" and "account" in job and order.is_prepared()


def _run_main(job: dict[str, Any]) -> dict[str, Any]:
    """Run certbot's `main` with the arguments of `job`. An order needs a few files for that."""
    if job["do"] == "issue":
        run = Path(job["scratch"])
        run_folder.fill(run, Path(job["config_dir"]) / "accounts")
        (run / "csr.pem").write_text(job["csr_pem"])
    error = certbot.main.main([*job["argv"], *_key_arguments(job)])
    return {"failed": "certbot", "detail": str(error)} if error else {"done": True}


def set_up(job: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    """Let certbot and acme use our classes, for `job`."""
    Observer.scheme = job["directory_url"].partition("://")[0] + "://"
    Observer.on_order = staticmethod(_once(lambda url: send({"order": url})))
    Observer.problems, Observer.retried = [], {}
    Observer.retry_after = ""
    Observer.is_issued = Observer.is_order_lost = False
    Observer.new_order_url = ""
    Observer.status = 0
    # The same set: that of a client which an earlier order has left.
    Observer.nonces.clear()
    Observer.nonces.update(map(decode_b64jose, job.get("nonces", ())))
    # certbot looks the classes up in these modules each time it makes a client.
    setattr(acme.client, "ClientNetwork", Observer)  # noqa: B010 - mypy takes a class for a type, not a variable
    setattr(acme.client, "ClientV2", Client)  # noqa: B010
    setattr(auth_handler, "AuthHandler", Handler)  # noqa: B010
    Client.decision_seconds = min(_DECISION_SECONDS, job["deadline_seconds"] / 2)
    Client.order_url, Client.replaces = job.get("order_url", ""), job.get("replaces", "")
    Client.finalizing = Path(job["finalizing"]) if "finalizing" in job else None
    _install_authenticator(job)
    Client.shared_directory = job.get("directory")
    Observer.kinds = {job["directory_url"]: Kind.DIRECTORY}
    Observer.pace = _pace(job)
    # Nothing is lost if renewal information is asked for at the next tick.
    is_urgent = job["do"] != "renewal_info"
    Observer.patience = min(LONGEST_HOLD, job["deadline_seconds"] / 3) if is_urgent else 0


def _install_authenticator(job: dict[str, Any]) -> None:
    """Let certbot answer challenges as `job` says: with files below its webroot, or with none if the edges answer by themselves."""
    if job.get("webroot") is None:
        authenticator.install(None, NoAnswers())
        return
    answers = Path(job.get("answers") or Path(job["scratch"]) / "answers")
    authenticator.install(Path(job["webroot"]), Answers(answers))


def _key_arguments(job: dict[str, Any]) -> list[str]:
    """Return the arguments with which certbot signs the revocation by the certificate's key, if `job` has it.

    The key is in a file in memory, which ends with this process.
    """
    if "key" not in job:
        return []
    descriptor = os.memfd_create("key")
    os.write(descriptor, job["key"].encode())
    return ["--key-path", f"/proc/self/fd/{descriptor}"]


def _pace(job: dict[str, Any]) -> Pace:
    path = job.get("pace_file")
    return Pace(
        None if path is None else Path(path),
        {Kind(int(kind)): rate for kind, rate in job.get("rates", {}).items()},
    )


def _failure(kind: str, detail: str, typ: str = "") -> dict[str, Any]:
    return {
        "failed": kind,
        "type": typ,
        "detail": detail,
        "problems": Observer.problems,
        "retried": list(Observer.retried.values()),
        "retry_after": Observer.retry_after,
        "issued": Observer.is_issued,
        "lost": Observer.is_order_lost,
        "status": Observer.status,
    }


def _once(function: Callable[[str], None]) -> Callable[[str], None]:
    seen: set[str] = set()

    def call(url: str) -> None:
        if url not in seen:
            seen.add(url)
            function(url)

    return call


def _short(error: Exception) -> str:
    """Return the innermost cause of a network error as text, without the object addresses of requests."""
    innermost: BaseException = error
    while (cause := getattr(innermost, "reason", None) or innermost.__context__) is not None:
        if not isinstance(cause, BaseException):
            break
        innermost = cause
    return f"{type(innermost).__name__}: {innermost}"


def _ask_renewal_info(job: dict[str, Any]) -> dict[str, Any]:
    """Return the renewal windows of `ids` as `ari.ask` does; `answers` is None if the CA has no ARI."""
    directory = acme.client.ClientV2.get_directory(
        job["directory_url"], Observer(timeout=_SUGGESTION_SECONDS)
    )
    url = renewal_info_url(directory)
    if url is None:
        return {"answers": None}
    return ari.ask(url, job["ids"], job["seconds"], lambda: Observer(timeout=_SUGGESTION_SECONDS).fetch)


def _collect(job: dict[str, Any]) -> dict[str, Any]:
    """Return the `fullchain` of the order at `job["order_url"]`, or `pending`, or `unknown` if the CA does not know the order.

    The result is empty if a challenge of the order failed, and has the CA's problem if the order is `invalid` for another
    reason.
    """
    client = _client(job["directory_url"], Path(job["account"]))
    try:
        response = client.net.post(job["order_url"], None, new_nonce_url=client.directory["newNonce"])
    except (messages.Error, errors.ClientError) as error:
        if is_gone(error):
            return {"unknown": getattr(error, "detail", None) or str(error)}
        raise
    body = messages.Order.from_json(response.json())
    if body.status == messages.STATUS_PENDING:
        return {"pending": True}
    is_invalid = body.status == messages.STATUS_INVALID
    found = {} if is_invalid else _fetch(client, body, job)
    # The certificate counts; leftover challenge files are no secret.
    with suppress(Exception):
        client.remove_challenge_files(body)
    if is_invalid and body.error is not None and not Observer.problems:
        return {"invalid": _failure("acme", body.error.detail or "", body.error.typ or "")}
    return found


def _fetch_directory(job: dict[str, Any]) -> dict[str, Any]:
    """Return the `directory` of the CA for other jobs; None if it is too large to be shared. Raise `ClientError` if it is none."""
    response = Observer().get(job["directory_url"])
    content = response.json()
    if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in _NEEDED):
        # A gateway in front of the CA answers with JSON of its own, such as `{"status": "maintenance"}`.
        raise errors.ClientError(f"it answered {response.status_code}, and not with a directory")
    return {"directory": content if len(response.content) <= _LARGEST_DIRECTORY else None}


def _ask_account(job: dict[str, Any]) -> dict[str, Any]:
    """Return the `status` of the account at the CA (RFC 8555, section 7.1.2)."""
    client = _client(job["directory_url"], Path(job["account"]))
    response = client.net.post(client.net.account.uri, None, new_nonce_url=client.directory["newNonce"])
    body = response.json()
    return {"status": str(body.get("status", "")) if isinstance(body, dict) else ""}


def _fetch(client: Any, body: messages.Order, job: dict[str, Any]) -> dict[str, Any]:
    placed = messages.OrderResource(body=body, uri=job["order_url"], csr_pem=job["csr_pem"].encode())
    # acme expects a deadline in naive local time.
    deadline = datetime.now() + timedelta(seconds=job["wait_seconds"])  # noqa: DTZ005
    preferred = job.get("preferred_chain", "")
    found = client.poll_finalization(placed, deadline, fetch_alternative_chains=bool(preferred))
    if preferred and found.alternative_fullchains_pem:
        chains = [found.fullchain_pem, *found.alternative_fullchains_pem]
        # Without one like that it returns the first.
        return {"fullchain": crypto_util.find_chain_with_issuer(chains, preferred)}
    return {"fullchain": found.fullchain_pem}


def _client(directory_url: str, account: Path) -> Any:
    """Return an ACME client for certbot's account in the folder `account`."""
    key = JWK.json_loads((account / "private_key.json").read_text())
    resource = messages.RegistrationResource.json_loads((account / "regr.json").read_text())
    network = Observer(key, account=resource, alg=registration.signature_algorithm(key))
    return Client(acme.client.ClientV2.get_directory(directory_url, network), network)


_OURS = {
    "account": _ask_account,
    "collect": _collect,
    "directory": _fetch_directory,
    "register": registration.register,
    "register_again": registration.register_again,
    "renewal_info": _ask_renewal_info,
}


def _limit_memory() -> None:
    """Limit the memory of this process; a lower limit that was set before stays, since only root may raise it."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = _MOST_MEMORY if hard == resource.RLIM_INFINITY else min(hard, _MOST_MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def serve(connection: socket.socket) -> None:
    """Read jobs from `connection`, run them, and write their results, until one of them must have been the last."""
    _limit_memory()
    received: queue.SimpleQueue[str] = queue.SimpleQueue()

    def send(message: dict[str, Any]) -> None:
        connection.sendall(json.dumps(message).encode() + b"\n")
        if "order" in message:
            received.get()

    def listen() -> None:
        # If the parent ended before it read all our messages, this raises an error instead of an end of file.
        with suppress(OSError), connection.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                received.put(line)
        # The parent ended. Its successor collects the order; this process must not work on it too.
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    # Python's search for garbage is off in this process, so it ends some time.
    for left in reversed(range(_MOST_JOBS)):
        job = json.loads(received.get())
        # The default action of SIGALRM ends the process, whatever it does.
        signal.setitimer(signal.ITIMER_REAL, job["deadline_seconds"])
        # certbot leaves empty folders for its log in the temporary folder.
        tempfile.tempdir = job["scratch"]
        result = run(job, send)
        is_free = left > 0 and "done" in result and _is_without_main(job)
        if is_free:
            signal.setitimer(signal.ITIMER_REAL, _FREE_SECONDS)
        nonces = [encode_b64jose(nonce) for nonce in Observer.nonces]
        send({"result": result, "nonces": nonces, "free": is_free})
        if not is_free:
            return
