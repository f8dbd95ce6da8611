"""The reference C4 keeps the published contract, `sslctl/control_plane/c4/openapi.yaml`, for any request."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import trustme
import yaml
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import sslctl.control_plane.c4
from sslctl.sandbox.c4.faults import Fault
from sslctl.sandbox.c4.server import ReferenceC4

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (Path(sslctl.control_plane.c4.__file__).parent / "openapi.yaml").read_text()
)
TOKEN = "contract-token"
DOMAIN, BARE, TEXT = "shop.example.com", "bare.example.com", "text.example.com"
CERTIFICATE_PATH = "/v1/domains/{domain}/certificate"

CONFORMANCE = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
Case = schemathesis.Case[Any]

CA = trustme.CA()
LEAF = CA.issue_cert(DOMAIN, BARE, TEXT)
OTHER = CA.issue_cert("other.example.com")


def upload_of(leaf: trustme.LeafCert, source: str = "c4") -> dict[str, str]:
    pem = leaf.cert_chain_pems[0].bytes().decode()
    return {
        "source": source,
        "certificate": pem,
        "chain": CA.cert_pem.bytes().decode(),
        "private_key": leaf.private_key_pem.bytes().decode(),
        "fingerprint_sha256": hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest(),
    }


def narrow_to_what_exists() -> dict[str, Any]:
    """Return the document with existing domains and PEM as its only values, so that requests pass the first check."""
    document: dict[str, Any] = yaml.safe_load(yaml.safe_dump(DOCUMENT))
    good, bad = upload_of(LEAF), upload_of(OTHER)
    components = document["components"]
    components["parameters"]["Domain"]["schema"] = {"type": "string", "enum": [DOMAIN, BARE, TEXT]}
    components["parameters"]["IdempotencyKey"]["schema"] = {
        "type": "string",
        "enum": [good["fingerprint_sha256"]],
    }
    components["parameters"]["IfMatch"]["schema"]["enum"] = [
        f'"{each["fingerprint_sha256"]}"' for each in (good, bad)
    ]
    del document["paths"]["/v1/domains"]["get"]["parameters"][0]  # a cursor that C4 did not send is 400
    properties = components["schemas"]["Upload"]["properties"]
    properties["fingerprint_sha256"] = {"type": "string", "enum": [good["fingerprint_sha256"]]}
    for name in ("certificate", "chain", "private_key"):
        properties[name] = {"type": "string", "enum": [good[name], bad[name]]}
    return document


def load(document: dict[str, Any], *accepted: str) -> schemathesis.BaseSchema:
    """Return the schema of `document`; `accepted` are the statuses for requests of the documented form."""
    config = schemathesis.Config.from_dict(
        {
            "generation": {"deterministic": True},
            "checks": {"positive_data_acceptance": {"expected-statuses": list(accepted)}},
        }
    )
    return schemathesis.openapi.from_dict(document, config=config)


# A well-formed upload can still be refused for its content: 422, or 400 for the Idempotency-Key of another upload.
as_published = load(DOCUMENT, "2xx", "400", "404", "422")
narrowed = load(narrow_to_what_exists(), "2xx", "404", "409", "412", "422")
without_token = load(narrow_to_what_exists(), "401")
bounded = settings(
    max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    CA.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="module")
def clock() -> list[datetime]:
    """The time of C4, as the only item of a list, so that a test can move it."""
    return [datetime.now(UTC)]


@pytest.fixture(scope="module")
def c4(tmp_path_factory: pytest.TempPathFactory, clock: list[datetime]) -> Iterator[ReferenceC4]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(tls)
    folder = tmp_path_factory.mktemp("c4")
    server = ReferenceC4(folder, token=TOKEN, tls=tls, clock=lambda: clock[0], activation_seconds=60)
    for domain in (DOMAIN, BARE, TEXT):
        server.create_domain(domain, cname_target=f"{domain}.cdn.example.net")
    with server:
        yield server


class Checked:
    """A client that checks every response against the document and records the statuses and codes."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self._url = url
        self._session = session
        self.statuses: set[tuple[str, str]] = set()
        self.codes: set[str] = set()

    def ask(self, method: str, path: str, status: int, domain: str = DOMAIN, **extra: Any) -> None:
        response = self._session.request(method, self._url + path.format(domain=domain), timeout=20, **extra)
        assert response.status_code == status, response.text
        operation = as_published[path][method]
        operation.Case(path_parameters={"domain": domain}).validate_response(response, checks=CONFORMANCE)
        self.statuses.add((operation.definition.raw["operationId"], str(status)))
        self._note_code(response)

    def ask_beside_the_contract(self, method: str, path: str, status: int) -> None:
        response = self._session.request(method, self._url + path, timeout=20)
        assert response.status_code == status
        self._note_code(response)

    def put(self, body: dict[str, str], status: int, **changes: str) -> None:
        key = {"Idempotency-Key": body["fingerprint_sha256"]}
        self.ask("PUT", CERTIFICATE_PATH, status, json=body | changes, headers=key)

    def _note_code(self, response: requests.Response) -> None:
        if response.status_code >= 400:
            self.codes.add(response.json()["code"])


@pytest.fixture
def checked(c4: ReferenceC4, ca_file: str) -> Iterator[Checked]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = ca_file
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        yield Checked(c4.url, session)
    c4.heal()


@pytest.fixture
def furnished(c4: ReferenceC4, ca_file: str) -> ReferenceC4:
    """C4 with a c4 certificate, a text certificate, and a domain without a certificate."""
    for domain, source in ((DOMAIN, "c4"), (TEXT, "text")):
        body = upload_of(LEAF, source)
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": body["fingerprint_sha256"]}
        url = c4.url + CERTIFICATE_PATH.format(domain=domain)
        requests.delete(url, headers=headers, verify=ca_file, timeout=20)
        assert requests.put(url, json=body, headers=headers, verify=ca_file, timeout=20).status_code == 202
    return c4


def test_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    as_published.validate()


@as_published.parametrize()
@bounded
def test_c4_answers_any_request_as_documented(case: Case, c4: ReferenceC4, ca_file: str) -> None:
    case.call_and_validate(base_url=c4.url, verify=ca_file, headers={"Authorization": f"Bearer {TOKEN}"})


@narrowed.parametrize()
@bounded
def test_c4_answers_requests_for_existing_domains_as_documented(
    case: Case, furnished: ReferenceC4, ca_file: str
) -> None:
    case.call_and_validate(
        base_url=furnished.url, verify=ca_file, headers={"Authorization": f"Bearer {TOKEN}"}
    )


@without_token.parametrize()
@bounded
def test_c4_answers_every_request_without_the_token_with_401(
    case: Case, c4: ReferenceC4, ca_file: str
) -> None:
    response = case.call(base_url=c4.url, verify=ca_file)
    assert response.status_code == 401
    case.validate_response(response)


def test_c4_returns_every_documented_status_and_code_in_the_documented_form(
    c4: ReferenceC4, checked: Checked, clock: list[datetime]
) -> None:
    operations = [
        (method.upper(), path, operation)
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method in {"get", "put", "delete"}
    ]
    for status in (401, 403, 429, 500, 502, 503):
        c4.set_faults(Fault(status=status))
        for method, path, _ in operations:
            checked.ask(method, path, status)
    c4.heal()
    answer_list(c4, checked)
    answer_by_domain(c4, checked)
    answer_uploads(checked, clock)
    checked.ask("DELETE", CERTIFICATE_PATH, 400, headers={"If-Match": "anything"})
    checked.ask("DELETE", CERTIFICATE_PATH, 412, headers={"If-Match": f'"{"0" * 64}"'})
    checked.ask("DELETE", CERTIFICATE_PATH, 204)
    checked.ask_beside_the_contract("GET", "/v1/nothing", 404)
    checked.ask_beside_the_contract("POST", "/v1/health", 405)

    documented = {
        (operation["operationId"], "502" if status == "5XX" else status)
        for _, _, operation in operations
        for status in operation["responses"]
    }
    assert checked.statuses == documented
    assert checked.codes == set(DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])


def answer_list(c4: ReferenceC4, checked: Checked) -> None:
    checked.ask("GET", "/v1/domains", 200)
    checked.ask("GET", "/v1/domains", 400, params={"limit": "0"})
    c4.features.inventory = False
    checked.ask("GET", "/v1/domains", 501)
    c4.features.inventory = True


def answer_by_domain(c4: ReferenceC4, checked: Checked) -> None:
    lookup = "/v1/domains/{domain}"
    c4.delete_domain(DOMAIN)
    for method, path in (("GET", lookup), ("GET", CERTIFICATE_PATH), ("DELETE", CERTIFICATE_PATH)):
        checked.ask(method, path, 404)
    checked.put(upload_of(LEAF), 404)
    c4.create_domain(DOMAIN, cname_target="shop.cdn.example.net")
    for path, status in (("/v1/health", 200), (lookup, 200), (CERTIFICATE_PATH, 404)):
        checked.ask("GET", path, status)


def answer_uploads(checked: Checked, clock: list[datetime]) -> None:
    good = upload_of(LEAF)
    checked.put(good, 400, source="neither")
    checked.put(good, 413, chain="x" * 262_144)
    checked.put(good, 422, private_key=upload_of(OTHER)["private_key"])
    checked.put(upload_of(OTHER), 422)
    now = clock[0]
    clock[0] = datetime(9999, 12, 1, tzinfo=UTC)
    checked.put(good, 422)
    clock[0] = now
    checked.put(upload_of(LEAF, "text"), 202)
    checked.put(good, 409)
    # Of another fingerprint than the installed one: the same upload again fulfils every precondition.
    renewed = upload_of(CA.issue_cert(DOMAIN))
    key = {"Idempotency-Key": renewed["fingerprint_sha256"], "If-None-Match": "*"}
    checked.ask("PUT", CERTIFICATE_PATH, 412, json=renewed, headers=key)
    checked.ask("GET", CERTIFICATE_PATH, 200)
    clock[0] += timedelta(seconds=60)
    checked.put(upload_of(LEAF, "text"), 200)
