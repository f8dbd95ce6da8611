"""The reference C4 keeps those parts of the contract that a schema cannot express: time, restarts and faults."""

from __future__ import annotations

import json
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from sslctl.errors import StateError
from sslctl.sandbox.c4.faults import Drop, Fault, Operation
from sslctl.sandbox.c4.server import ReferenceC4

TOKEN = "s3cret-token"
DOMAIN = "shop.example.com"
LOOKUP = f"/v1/domains/{DOMAIN}"
CERTIFICATE = f"{LOOKUP}/certificate"

CA = trustme.CA()
LEAF, RENEWED, OTHER = CA.issue_cert(DOMAIN), CA.issue_cert(DOMAIN), CA.issue_cert("other.example.com")


def upload_of(leaf: trustme.LeafCert, source: str = "c4") -> dict[str, str]:
    pem = leaf.cert_chain_pems[0].bytes()
    return {
        "source": source,
        "certificate": pem.decode(),
        "chain": CA.cert_pem.bytes().decode(),
        "private_key": leaf.private_key_pem.bytes().decode(),
        "fingerprint_sha256": x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex(),
    }


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Client:
    """A separate client: the server must not be tested by the client code that was written for it."""

    def __init__(self, ca_file: Path) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(ca_file)
        self.session.headers["Authorization"] = f"Bearer {TOKEN}"
        self.answers: list[str] = []

    def ask(self, c4: ReferenceC4, method: str, path: str, **extra: Any) -> requests.Response:
        response = self.session.request(method, c4.url + path, timeout=20, **extra)
        self.answers.append(f"{response.headers}{response.text}")
        return response

    def put(self, c4: ReferenceC4, body: dict[str, str], path: str = CERTIFICATE) -> requests.Response:
        return self.ask(c4, "PUT", path, json=body, headers={"Idempotency-Key": body["fingerprint_sha256"]})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client = Client(tmp_path / "ca.pem")
    yield client
    client.session.close()


@pytest.fixture
def make_c4(tmp_path: Path, clock: Clock) -> Callable[..., ReferenceC4]:
    """A function that makes servers which share one folder and one clock."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(tls)

    def make(**settings: Any) -> ReferenceC4:
        return ReferenceC4(tmp_path / "c4", token=TOKEN, tls=tls, clock=clock, **settings)

    return make


@pytest.fixture
def c4(make_c4: Callable[..., ReferenceC4]) -> Iterator[ReferenceC4]:
    with make_c4() as server:
        server.create_domain(DOMAIN, cname_target=f"{DOMAIN}.cdn.example.net")
        yield server


def code_of(response: requests.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def fingerprint_at(client: Client, c4: ReferenceC4) -> str:
    return str(client.ask(c4, "GET", CERTIFICATE).json()["fingerprint_sha256"])


def test_lookup_returns_target_ports_and_certificate(c4: ReferenceC4, client: Client) -> None:
    before = client.ask(c4, "GET", LOOKUP).json()
    client.put(c4, upload_of(LEAF))
    after = client.ask(c4, "GET", LOOKUP).json()
    not_after = x509.load_pem_x509_certificate(LEAF.cert_chain_pems[0].bytes()).not_valid_after_utc
    assert before == {
        "domain": DOMAIN,
        "cname_target": f"{DOMAIN}.cdn.example.net",
        "ports": [80, 443],
        "certificate": None,
    }
    assert after["certificate"] == {
        "source": "c4",
        "fingerprint_sha256": upload_of(LEAF)["fingerprint_sha256"],
        "not_after": f"{not_after:%Y-%m-%dT%H:%M:%SZ}",
        "state": "active",
    }
    assert client.ask(c4, "GET", CERTIFICATE).json() == after["certificate"]


def test_upload_of_source_c4_over_text_returns_409_until_the_text_certificate_is_removed(
    c4: ReferenceC4, client: Client
) -> None:
    text = upload_of(LEAF, "text")
    assert client.put(c4, text).status_code == 200
    assert code_of(client.put(c4, upload_of(RENEWED))) == (409, "text_certificate_present")
    assert fingerprint_at(client, c4) == text["fingerprint_sha256"]
    assert client.ask(c4, "DELETE", CERTIFICATE).status_code == 204
    assert client.put(c4, upload_of(RENEWED)).status_code == 200
    assert fingerprint_at(client, c4) == upload_of(RENEWED)["fingerprint_sha256"]


def test_invalid_upload_over_text_returns_422_instead_of_409(c4: ReferenceC4, client: Client) -> None:
    client.put(c4, upload_of(LEAF, "text"))
    assert code_of(client.put(c4, upload_of(OTHER))) == (422, "name_mismatch")


@pytest.mark.parametrize(("first", "second"), [("c4", "c4"), ("c4", "text"), ("text", "text")])
def test_upload_replaces_the_certificate_for_every_other_combination_of_sources(
    c4: ReferenceC4, client: Client, first: str, second: str
) -> None:
    client.put(c4, upload_of(LEAF, first))
    assert client.put(c4, upload_of(RENEWED, second)).json()["source"] == second
    assert fingerprint_at(client, c4) == upload_of(RENEWED)["fingerprint_sha256"]


def test_missing_certificate_or_domain_returns_404_with_its_own_code(c4: ReferenceC4, client: Client) -> None:
    assert code_of(client.ask(c4, "DELETE", CERTIFICATE)) == (404, "no_certificate")
    assert code_of(client.ask(c4, "GET", CERTIFICATE)) == (404, "no_certificate")
    c4.delete_domain(DOMAIN)
    for method in ("GET", "DELETE"):
        assert code_of(client.ask(c4, method, CERTIFICATE)) == (404, "unknown_domain")
    assert code_of(client.put(c4, upload_of(LEAF))) == (404, "unknown_domain")
    assert code_of(client.ask(c4, "GET", LOOKUP)) == (404, "unknown_domain")


def test_domains_and_certificates_survive_a_restart_in_private_files(
    make_c4: Callable[..., ReferenceC4], client: Client, tmp_path: Path
) -> None:
    with make_c4() as first:
        first.create_domain(DOMAIN, cname_target="target.example.net", ports=[80])
        client.put(first, upload_of(LEAF))
        before = client.ask(first, "GET", LOOKUP).json()
    with make_c4() as second:
        assert client.ask(second, "GET", LOOKUP).json() == before
        serving = second.serving(DOMAIN)
    assert serving is not None
    assert serving.private_key == upload_of(LEAF)["private_key"]
    files = [path for path in (tmp_path / "c4").rglob("*") if path.is_file()]
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    folders = [tmp_path / "c4", tmp_path / "c4" / "domains"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_start_refuses_an_invalid_record_and_does_not_change_it(
    make_c4: Callable[..., ReferenceC4], tmp_path: Path
) -> None:
    make_c4().create_domain(DOMAIN, cname_target="target.example.net")
    record = tmp_path / "c4" / "domains" / DOMAIN
    record.write_text('{"domain": "shop.example.com"')
    with pytest.raises(StateError, match="not a record"):
        make_c4()
    assert record.read_text() == '{"domain": "shop.example.com"'


def test_stopped_server_restarts_on_the_same_port(c4: ReferenceC4, client: Client) -> None:
    c4.stop()
    with pytest.raises(requests.ConnectionError):
        client.ask(c4, "GET", LOOKUP)
    c4.start()
    assert client.ask(c4, "GET", LOOKUP).status_code == 200


def test_upload_is_activating_for_the_configured_time_while_the_old_one_is_served(
    make_c4: Callable[..., ReferenceC4], client: Client, clock: Clock
) -> None:
    def served(c4: ReferenceC4) -> str | None:
        placed = c4.serving(DOMAIN)
        return None if placed is None else placed.fingerprint

    old, new = upload_of(LEAF), upload_of(RENEWED)
    with make_c4(activation_seconds=60) as c4:
        c4.create_domain(DOMAIN, cname_target="target.example.net")
        assert client.put(c4, old).status_code == 202
        assert served(c4) is None
        clock.advance(60)
        assert client.ask(c4, "GET", CERTIFICATE).json()["state"] == "active"
        assert client.put(c4, new).json()["state"] == "activating"
        assert (fingerprint_at(client, c4), served(c4)) == (
            new["fingerprint_sha256"],
            old["fingerprint_sha256"],
        )
        clock.advance(59)
        assert served(c4) == old["fingerprint_sha256"]
        clock.advance(1)
        assert served(c4) == new["fingerprint_sha256"]


def test_repeated_upload_does_not_restart_the_activation(
    make_c4: Callable[..., ReferenceC4], client: Client, clock: Clock
) -> None:
    with make_c4(activation_seconds=60) as c4:
        c4.create_domain(DOMAIN, cname_target="target.example.net")
        first = client.put(c4, upload_of(LEAF))
        clock.advance(59)
        second = client.put(c4, upload_of(LEAF))
        clock.advance(1)
        third = client.put(c4, upload_of(LEAF))
        assert [each.status_code for each in (first, second, third)] == [202, 202, 200]
        assert first.json() == second.json() == third.json() | {"state": "activating"}


def test_upload_of_the_certificate_still_served_is_active_at_once(
    make_c4: Callable[..., ReferenceC4], client: Client, clock: Clock
) -> None:
    with make_c4(activation_seconds=60) as c4:
        c4.create_domain(DOMAIN, cname_target="target.example.net")
        client.put(c4, upload_of(LEAF))
        clock.advance(60)
        client.put(c4, upload_of(RENEWED))
        assert client.put(c4, upload_of(LEAF)).status_code == 200


def encrypted(leaf: trustme.LeafCert) -> str:
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")).decode()


BAD_PAIRS = {
    "certificate is no PEM": {"certificate": "hello"},
    "certificate is empty": {"certificate": ""},
    "two certificates": {"certificate": upload_of(LEAF)["certificate"] * 2},
    "key of another": {"private_key": upload_of(RENEWED)["private_key"]},
    "key is no PEM": {"private_key": "hello"},
    "key is encrypted": {"private_key": encrypted(LEAF)},
    "chain does not issue the leaf": {"chain": trustme.CA().cert_pem.bytes().decode()},
    "chain goes on with another": {
        "chain": CA.cert_pem.bytes().decode() + trustme.CA().cert_pem.bytes().decode()
    },
    "chain is no PEM": {"chain": "hello"},
    "text that is not ASCII": {"private_key": "\ud800"},
}


@pytest.mark.parametrize("change", BAD_PAIRS.values(), ids=BAD_PAIRS.keys())
def test_upload_of_an_invalid_pair_returns_422_bad_pair(
    c4: ReferenceC4, client: Client, change: dict[str, str]
) -> None:
    assert code_of(client.put(c4, upload_of(LEAF) | change)) == (422, "bad_pair")
    assert c4.serving(DOMAIN) is None


def test_upload_with_the_fingerprint_of_another_certificate_returns_422_bad_pair(
    c4: ReferenceC4, client: Client
) -> None:
    wrong = upload_of(LEAF) | {"fingerprint_sha256": upload_of(RENEWED)["fingerprint_sha256"]}
    assert code_of(client.put(c4, wrong)) == (422, "bad_pair")


def test_upload_for_another_name_returns_422_name_mismatch(c4: ReferenceC4, client: Client) -> None:
    assert code_of(client.put(c4, upload_of(OTHER))) == (422, "name_mismatch")
    for name in ("*.com", "*.shop.example.com", "example.com"):
        assert code_of(client.put(c4, upload_of(CA.issue_cert(name)))) == (422, "name_mismatch")


def test_upload_with_more_names_or_a_wildcard_for_the_label_is_accepted(
    c4: ReferenceC4, client: Client
) -> None:
    for names in (("www.example.com", DOMAIN), ("*.example.com",)):
        assert client.put(c4, upload_of(CA.issue_cert(*names))).status_code == 200


def test_upload_returns_422_expired_from_the_exact_second_of_expiry(
    c4: ReferenceC4, client: Client, clock: Clock
) -> None:
    clock.now = x509.load_pem_x509_certificate(LEAF.cert_chain_pems[0].bytes()).not_valid_after_utc
    assert code_of(client.put(c4, upload_of(LEAF))) == (422, "expired")
    clock.advance(-1)
    assert client.put(c4, upload_of(LEAF)).status_code == 200


def test_upload_requires_the_chain_in_ascending_order(c4: ReferenceC4, client: Client) -> None:
    intermediate = CA.create_child_ca()
    above, below = CA.cert_pem.bytes().decode(), intermediate.cert_pem.bytes().decode()
    body = upload_of(intermediate.issue_cert(DOMAIN))
    assert client.put(c4, body | {"chain": below}).status_code == 200
    assert client.put(c4, body | {"chain": below + above}).status_code == 200
    for chain in (above, above + below, below + below):
        assert code_of(client.put(c4, body | {"chain": chain})) == (422, "bad_pair")


def test_upload_accepts_an_empty_chain(c4: ReferenceC4, client: Client) -> None:
    assert client.put(c4, upload_of(LEAF) | {"chain": ""}).status_code == 200


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
@pytest.mark.parametrize("path", ["/v1/health", LOOKUP, "/v1/nothing", "/sandbox/faults"])
def test_request_without_the_token_returns_401_for_every_path(
    c4: ReferenceC4, client: Client, path: str, authorization: str
) -> None:
    response = client.ask(c4, "GET", path, headers={"Authorization": authorization})
    assert code_of(response) == (401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/v1//health", "/v1/health/", "/v1/domains//certificate"])
def test_similar_path_returns_404_and_is_not_redirected(c4: ReferenceC4, client: Client, path: str) -> None:
    assert code_of(client.ask(c4, "GET", path, allow_redirects=False)) == (404, "not_found")


def test_upload_returns_413_only_for_a_body_over_256_kib(c4: ReferenceC4, client: Client) -> None:
    headers = {"Idempotency-Key": "0" * 64, "Content-Type": "application/json"}
    exact, over = b"x" * 262_144, b"x" * 262_145
    assert code_of(client.ask(c4, "PUT", CERTIFICATE, data=exact, headers=headers)) == (400, "bad_request")
    assert code_of(client.ask(c4, "PUT", CERTIFICATE, data=over, headers=headers)) == (413, "too_large")
    chunked = iter([over])
    assert code_of(client.ask(c4, "PUT", CERTIFICATE, data=chunked, headers=headers)) == (413, "too_large")


BAD_BODIES = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"source": "\xff"}',
    "nested without end": b"[" * 200_000,
    "another type": b"[]",
    "a member missing": json.dumps({"source": "c4"}).encode(),
    "a member too many": json.dumps(upload_of(LEAF) | {"extra": ""}).encode(),
    "a member that is no text": json.dumps(upload_of(LEAF) | {"chain": None}).encode(),
    "a source that is none": json.dumps(upload_of(LEAF) | {"source": "C4"}).encode(),
    "an upper-case fingerprint": json.dumps(upload_of(LEAF) | {"fingerprint_sha256": "A" * 64}).encode(),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_upload_returns_400_for_a_body_of_the_wrong_form(
    c4: ReferenceC4, client: Client, body: bytes
) -> None:
    headers = {
        "Idempotency-Key": upload_of(LEAF)["fingerprint_sha256"],
        "Content-Type": "application/json",
    }
    assert code_of(client.ask(c4, "PUT", CERTIFICATE, data=body, headers=headers)) == (400, "bad_request")


def test_upload_returns_400_for_another_media_type_or_idempotency_key(
    c4: ReferenceC4, client: Client
) -> None:
    body = upload_of(LEAF)
    key = {"Idempotency-Key": body["fingerprint_sha256"]}
    form = {**key, "Content-Type": "text/plain"}
    other = {"Idempotency-Key": upload_of(RENEWED)["fingerprint_sha256"]}
    for extra in (
        {"headers": form, "data": json.dumps(body)},
        {"headers": other, "json": body},
        {"json": body},
    ):
        assert code_of(client.ask(c4, "PUT", CERTIFICATE, **extra)) == (400, "bad_request")


def test_fault_applies_only_to_its_operation_and_domain_for_its_number_of_times(
    c4: ReferenceC4, client: Client
) -> None:
    c4.create_domain("www.example.com", cname_target="target.example.net")
    c4.set_faults(Fault(kind=Operation.LOOKUP, domain=DOMAIN, status=503, retry_after=7, times=2))
    assert client.ask(c4, "GET", "/v1/health").status_code == 200
    assert client.ask(c4, "GET", "/v1/domains/www.example.com").status_code == 200
    assert client.ask(c4, "GET", CERTIFICATE).status_code == 404
    first = client.ask(c4, "GET", LOOKUP)
    assert code_of(first) == (503, "unavailable")
    assert first.headers["Retry-After"] == "7"
    assert [client.ask(c4, "GET", LOOKUP).status_code for _ in range(2)] == [503, 200]


def test_upload_has_effect_when_its_response_is_dropped_after_and_not_before(
    c4: ReferenceC4, client: Client
) -> None:
    for drop, happened in ((Drop.BEFORE, False), (Drop.AFTER, True)):
        c4.set_faults(Fault(kind=Operation.UPLOAD, drop=drop))
        with pytest.raises(requests.ConnectionError):
            client.put(c4, upload_of(LEAF))
        c4.heal()
        assert client.ask(c4, "GET", CERTIFICATE).ok is happened


def test_fault_can_return_any_text_until_it_is_healed(c4: ReferenceC4, client: Client) -> None:
    c4.set_faults(Fault(method="GET", body="<html>"))
    assert client.ask(c4, "GET", LOOKUP).text == "<html>"
    c4.heal()
    assert client.ask(c4, "GET", LOOKUP).json()["domain"] == DOMAIN


def test_fault_with_echo_repeats_the_request(c4: ReferenceC4, client: Client) -> None:
    c4.set_faults(Fault(kind=Operation.UPLOAD, status=422, echo=True))
    answer = client.ask(c4, "PUT", CERTIFICATE, json={"private_key": "of the customer"})
    assert code_of(answer) == (422, "bad_pair")
    assert answer.json()["detail"].startswith("Bearer ")
    assert "of the customer" in answer.json()["detail"]


def test_delayed_request_does_not_block_the_stop_of_the_server(c4: ReferenceC4, client: Client) -> None:
    c4.set_faults(Fault(kind=Operation.HEALTH, delay_seconds=300))
    with pytest.raises(requests.ReadTimeout):
        client.session.get(f"{c4.url}/v1/health", timeout=0.2)
    c4.stop()


def test_silent_client_does_not_delay_others(c4: ReferenceC4, client: Client) -> None:
    with socket.create_connection(("127.0.0.1", int(c4.url.rpartition(":")[2]))):
        assert client.ask(c4, "GET", "/v1/health").status_code == 200


def test_sandbox_is_administered_over_https(c4: ReferenceC4, client: Client) -> None:
    fault = {"kind": "health", "status": 500, "times": None, "delay_seconds": 0}
    assert client.ask(c4, "PUT", "/sandbox/faults", json=[fault]).status_code == 204
    assert code_of(client.ask(c4, "GET", "/v1/health")) == (500, "internal")
    assert client.ask(c4, "DELETE", "/sandbox/faults").status_code == 204
    assert client.ask(c4, "GET", "/v1/health").json() == {"status": "ok"}
    new = {"domain": "new.example.com", "cname_target": "target.example.net", "ports": [443, 80]}
    assert client.ask(c4, "POST", "/sandbox/domains", json=new).status_code == 204
    assert client.ask(c4, "GET", "/v1/domains/new.example.com").json()["ports"] == [80, 443]
    assert client.ask(c4, "DELETE", "/sandbox/domains/new.example.com").status_code == 204
    assert code_of(client.ask(c4, "DELETE", "/sandbox/domains/new.example.com")) == (404, "unknown_domain")


@pytest.mark.parametrize(
    "faults",
    [
        {},
        [1],
        [{"unknown": 1}],
        [{"status": "500"}],
        [{"status": True}],
        [{"status": 99}],
        [{"kind": "none"}],
        [{"drop": "now"}],
        [{"times": 0}],
        [{"delay_seconds": -1}],
        [{"body": 1}],
        [{"echo": "yes"}],
    ],
    ids=str,
)
def test_invalid_fault_returns_400(c4: ReferenceC4, client: Client, faults: object) -> None:
    assert code_of(client.ask(c4, "PUT", "/sandbox/faults", json=faults)) == (400, "bad_request")


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "../../etc/passwd"},
        {"domain": "Shop.example.com"},
        {"domain": "localhost"},
        {"domain": 1},
        {"ports": [0]},
        {"ports": [True]},
        {"ports": 80},
        {"cname_target": ""},
    ],
    ids=str,
)
def test_invalid_domain_returns_400(c4: ReferenceC4, client: Client, change: dict[str, object]) -> None:
    wanted = {"domain": "new.example.com", "cname_target": "target.example.net", "ports": [80]} | change
    assert code_of(client.ask(c4, "POST", "/sandbox/domains", json=wanted)) == (400, "bad_request")


def test_changed_domain_keeps_its_certificate(c4: ReferenceC4, client: Client) -> None:
    client.put(c4, upload_of(LEAF))
    c4.create_domain(DOMAIN, cname_target="elsewhere.example.net", ports=[80])
    record = client.ask(c4, "GET", LOOKUP).json()
    assert (record["cname_target"], record["ports"]) == ("elsewhere.example.net", [80])
    assert record["certificate"]["state"] == "active"


def test_requests_are_recorded_with_their_status(c4: ReferenceC4, client: Client) -> None:
    client.put(c4, upload_of(LEAF))
    c4.set_faults(Fault(drop=Drop.BEFORE, times=1))
    with pytest.raises(requests.ConnectionError):
        client.ask(c4, "GET", f"{LOOKUP}?token={TOKEN}")
    client.ask(c4, "DELETE", "/sandbox/faults")
    logged = [(request.method, request.path, request.status) for request in c4.requests]
    assert logged == [("PUT", CERTIFICATE, 200), ("GET", LOOKUP, None)]


def test_no_response_or_log_contains_a_key_or_the_token(
    c4: ReferenceC4, client: Client, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    body = upload_of(LEAF)
    client.put(c4, body)
    client.put(c4, body | {"certificate": "hello"})
    client.put(c4, body | {"source": body["private_key"]})
    client.ask(c4, "PUT", CERTIFICATE, data=body["private_key"], headers={"Content-Type": "application/json"})
    for method in ("GET", "DELETE", "DELETE"):
        client.ask(c4, method, LOOKUP)
        client.ask(c4, method, CERTIFICATE)
    printed = "".join(capfd.readouterr())
    everything = "\n".join([*client.answers, repr(c4.requests), caplog.text, printed])
    secret_line = body["private_key"].splitlines()[2]
    assert len(client.answers) == 10
    assert secret_line not in everything
    assert TOKEN not in everything


def test_reference_c4_refuses_an_empty_token(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ValueError, match="token"):
        ReferenceC4(tmp_path / "c4", token="", tls=tls, clock=Clock())
