"""The sandbox's Pebble and its DNS: start, responses, issuance, and no process that outlives its parent."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest
import requests
from acme import challenges, client, messages, standalone
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from josepy.jwk import JWKRSA
from josepy.util import ComparableRSAKey

from sslctl.certificates.x509 import make_csr, make_key, split_fullchain
from sslctl.errors import StateError
from sslctl.sandbox.pebble import Pebble, missing

pytestmark = pytest.mark.pebble

_SOON = 10.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    with Pebble(tmp_path_factory.mktemp("pebble"), http_port=5002) as pebble:
        yield pebble


def _query(pebble: Pebble, name: str, kind: str, *, tcp: bool = False) -> list[str]:
    """Return the records of the answer as `TYPE value`, or the response code if it is not NOERROR."""
    host, port = pebble.dns_address.split(":")
    ask = dns.query.tcp if tcp else dns.query.udp
    answer = ask(dns.message.make_query(name, kind), host, timeout=3, port=int(port))
    if answer.rcode() != dns.rcode.NOERROR:
        return [dns.rcode.to_text(answer.rcode())]
    return [f"{dns.rdatatype.to_text(one.rdtype)} {one}" for found in answer.answer for one in found]


def _ports(pebble: Pebble) -> list[int]:
    return [pebble._acme_port, pebble._pebble_port, pebble._dns_port, pebble._records_port]


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_alive(process_id: int) -> bool:
    """Return whether the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _wait_until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _SOON
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_pebble_directory_is_trusted_only_with_its_ca_bundle(running: Pebble) -> None:
    directory = requests.get(running.directory_url, verify=str(running.ca_bundle), timeout=5).json()
    assert directory["newOrder"].startswith("https://127.0.0.1:")
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(running.directory_url, timeout=5)


def test_pebble_management_returns_the_root_that_issued_the_intermediate(running: Pebble) -> None:
    root = x509.load_pem_x509_certificate(running.roots().encode())
    intermediate = x509.load_pem_x509_certificate(running.intermediates().encode())
    intermediate.verify_directly_issued_by(root)
    answer = requests.get(f"{running.management_url}/roots/0", verify=str(running.ca_bundle), timeout=5)
    assert answer.text == running.roots()


@pytest.mark.parametrize("tcp", [False, True])
def test_pebble_dns_returns_the_default_address_for_a_name_without_records(
    running: Pebble, tcp: bool
) -> None:
    assert _query(running, "plain.example.com", "A", tcp=tcp) == ["A 127.0.0.1"]
    assert _query(running, "plain.example.com", "AAAA", tcp=tcp) == []


def test_pebble_dns_returns_a_cname_until_it_is_cleared(running: Pebble) -> None:
    running.set_cname("shop.example.com", "edge.cdn.example.net")
    assert _query(running, "shop.example.com", "CNAME") == ["CNAME edge.cdn.example.net."]
    assert _query(running, "shop.example.com", "A") == ["CNAME edge.cdn.example.net.", "A 127.0.0.1"]
    running.clear_cname("shop.example.com")
    assert _query(running, "shop.example.com", "A") == ["A 127.0.0.1"]


def test_set_addresses_replaces_earlier_addresses(running: Pebble) -> None:
    running.set_addresses("apex.example.com", ["192.0.2.1", "192.0.2.2"], ["2001:db8::1"])
    assert sorted(_query(running, "apex.example.com", "A")) == ["A 192.0.2.1", "A 192.0.2.2"]
    assert _query(running, "apex.example.com", "AAAA") == ["AAAA 2001:db8::1"]
    running.set_addresses("apex.example.com", ["192.0.2.3"])
    assert _query(running, "apex.example.com", "A") == ["A 192.0.2.3"]
    assert _query(running, "apex.example.com", "AAAA") == []


def test_caa_records_and_servfail_can_be_set_and_cleared(running: Pebble) -> None:
    running.add_caa("caa.example.com", "other-ca.example")
    assert _query(running, "caa.example.com", "CAA") == ['CAA 0 issue "other-ca.example"']
    running.clear_caa("caa.example.com")
    assert _query(running, "caa.example.com", "CAA") == []
    running.set_servfail("broken.example.com")
    assert _query(running, "broken.example.com", "A") == ["SERVFAIL"]
    running.clear_servfail("broken.example.com")
    assert _query(running, "broken.example.com", "A") == ["A 127.0.0.1"]


def test_set_cname_raises_state_error_when_the_dns_refuses_the_record(running: Pebble) -> None:
    with pytest.raises(StateError, match="400"):
        running.set_cname("", "")


def test_pebble_issues_a_certificate_of_the_configured_lifetime_by_http_01(tmp_path: Path) -> None:
    """A client of RFC 8555 completes an order; the CA reads the challenge from `http_port`."""
    resources: set[standalone.HTTP01RequestHandler.HTTP01Resource] = set()
    with standalone.HTTP01Server(("127.0.0.1", 0), resources) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = server.socket.getsockname()[1]
            overrides = {"PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_CHAIN_LENGTH": "2"}
            with Pebble(tmp_path, http_port=port, certificate_seconds=40, env=overrides) as pebble:
                pem = _issue(pebble, resources)
                root = x509.load_pem_x509_certificate(pebble.roots().encode())
                log = (tmp_path / "pebble.log").read_text()
        finally:
            server.shutdown()
            thread.join()
    leaf_pem, chain_pem = split_fullchain(pem)
    leaf, *chain = x509.load_pem_x509_certificates((leaf_pem + chain_pem).encode())
    # Both ends are inclusive (RFC 5280 section 4.1.2.5), so Pebble subtracts a second.
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(seconds=39)
    assert len(chain) == 2
    chain[-1].verify_directly_issued_by(root)
    assert "Configured to reject 0% of good nonces" in log


def _issue(pebble: Pebble, resources: set[standalone.HTTP01RequestHandler.HTTP01Resource]) -> str:
    key = JWKRSA(key=ComparableRSAKey(rsa.generate_private_key(65537, 2048)))
    # acme hands `verify_ssl` to requests, which takes a path too, whatever the annotation says.
    network = client.ClientNetwork(key, verify_ssl=str(pebble.ca_bundle))  # type: ignore[arg-type]
    directory = messages.Directory.from_json(network.get(pebble.directory_url).json())
    acme = client.ClientV2(directory, network)
    acme.new_account(messages.NewRegistration(terms_of_service_agreed=True))
    order = acme.new_order(make_csr(make_key("ecdsa"), ["shop.example.com"]).encode())
    for challenge in order.authorizations[0].body.challenges:
        if isinstance(challenge.chall, challenges.HTTP01):
            response, validation = challenge.response_and_validation(key)
            resources.add(
                standalone.HTTP01RequestHandler.HTTP01Resource(challenge.chall, response, validation)
            )
            acme.answer_challenge(challenge, response)
    fullchain = acme.poll_and_finalize(order).fullchain_pem
    assert isinstance(fullchain, str)
    return fullchain


def test_pebble_files_are_private_and_children_lead_their_own_sessions(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    with Pebble(folder, http_port=5002) as pebble:
        assert folder.stat().st_mode & 0o777 == 0o700
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
        assert {"ca.pem", "key.pem", "pebble.log", "pebble-challtestsrv.log"} <= modes.keys()
        assert set(modes.values()) == {0o600}
        assert [os.getsid(one) for one in pebble.process_ids] == list(pebble.process_ids)


def test_stop_leaves_no_process_and_no_open_port_and_is_idempotent(tmp_path: Path) -> None:
    pebble = Pebble(tmp_path, http_port=5002)
    pebble.stop()
    pebble.start()
    children, ports = pebble.process_ids, _ports(pebble)
    pebble.start()
    assert pebble.process_ids == children
    assert len(children) == 2
    assert all(map(_is_open, ports))
    pebble.stop()
    pebble.stop()
    assert pebble.process_ids == ()
    assert not any(map(_is_alive, children))
    assert not any(map(_is_open, ports))
    with pytest.raises(StateError, match="gave no usable answer"):
        pebble.roots()


def test_stop_kills_a_child_that_does_not_react(tmp_path: Path) -> None:
    with Pebble(tmp_path, http_port=5002) as pebble:
        children = pebble.process_ids
        os.kill(children[1], signal.SIGSTOP)
    assert not any(map(_is_alive, children))


def test_stop_succeeds_when_a_child_has_already_ended(tmp_path: Path) -> None:
    with Pebble(tmp_path, http_port=5002) as pebble:
        children = pebble.process_ids
        os.kill(children[0], signal.SIGKILL)
    assert not any(map(_is_alive, children))


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from sslctl.sandbox.pebble import Pebble\n"
        "with Pebble(Path(sys.argv[1]), http_port=5002) as pebble:\n"
        "    print(*pebble.process_ids, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        children = [int(one) for one in parent.stdout.readline().split()]
        assert len(children) == 2
        assert all(map(_is_alive, children))
        parent.kill()
    gone = _wait_until(lambda: not any(map(_is_alive, children)))
    for child in filter(_is_alive, children):
        os.kill(child, signal.SIGKILL)
    assert gone


def test_two_pebbles_have_separate_cas_and_dns(running: Pebble, tmp_path: Path) -> None:
    with Pebble(tmp_path, http_port=5002) as other:
        assert not set(_ports(running)) & set(_ports(other))
        assert other.roots() != running.roots()
        other.set_addresses("both.example.com", ["192.0.2.9"])
        assert _query(other, "both.example.com", "A") == ["A 192.0.2.9"]
        assert _query(running, "both.example.com", "A") == ["A 127.0.0.1"]
    assert running.roots()


class _Crowded(Pebble):
    """A Pebble one of whose ports is taken, as if another program had been quicker."""

    def __init__(self, folder: Path, port_name: str, taken: int, times: int) -> None:
        super().__init__(folder, http_port=5002)
        self._port_name, self._taken, self._times = port_name, taken, times

    def _choose_ports(self) -> None:
        super()._choose_ports()
        if self._times:
            self._times -= 1
            setattr(self, self._port_name, self._taken)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


@pytest.mark.parametrize("port_name", ["_acme_port", "_pebble_port", "_dns_port", "_records_port"])
def test_start_chooses_other_ports_when_a_port_was_taken_meanwhile(
    tmp_path: Path, taken_port: int, port_name: str
) -> None:
    with _Crowded(tmp_path, port_name, taken_port, 1) as pebble:
        assert taken_port not in _ports(pebble)
        assert pebble.roots()
        assert len(pebble.process_ids) == 2


def test_start_never_mistakes_the_ports_of_another_pebble_for_its_own(
    running: Pebble, tmp_path: Path
) -> None:
    for port_name in ("_acme_port", "_pebble_port", "_dns_port", "_records_port"):
        with _Crowded(tmp_path, port_name, getattr(running, port_name), 1) as pebble:
            assert not set(_ports(pebble)) & set(_ports(running))


def test_start_raises_state_error_when_ports_are_always_taken(tmp_path: Path, taken_port: int) -> None:
    pebble = _Crowded(tmp_path, "_acme_port", taken_port, 99)
    with pytest.raises(StateError, match="the ports chosen for Pebble were in use 5 times"):
        pebble.start()
    assert pebble.process_ids == ()


def test_start_error_quotes_a_program_that_ends_at_once(tmp_path: Path) -> None:
    pebble = Pebble(tmp_path, http_port=5002, certificate_seconds=-1)
    with pytest.raises(StateError, match=r"pebble ended at once; it printed: .*CertificateValidityPeriod"):
        pebble.start()
    assert pebble.process_ids == ()


def test_start_raises_state_error_with_a_hint_when_pebble_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing() == "not installed: pebble, pebble-challtestsrv"
    with pytest.raises(StateError, match="not installed: pebble") as refused:
        Pebble(tmp_path / "folder", http_port=5002).start()
    assert refused.value.hint == "apt-get install pebble"
    assert not (tmp_path / "folder").exists()


def test_pebble_listens_only_on_loopback(running: Pebble) -> None:
    """The sandbox listens only on 127.0.0.1, so no other machine can connect to it."""
    listening = [
        line.split()[1].split(":")
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    ]
    addresses = {
        str(ipaddress.ip_address(bytes.fromhex(address)[::-1]))
        for address, port in listening
        if int(port, 16) in _ports(running)
    }
    assert addresses == {"127.0.0.1"}
