"""What an operator can make DNS and the edge of a running sandbox do, and the reasons that sslctl reports for it."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from sslctl.errors import Exit
from sslctl.sandbox.pebble import missing
from tests.support.sandbox import RunningSandbox, sandbox_up

pytestmark = [
    pytest.mark.pebble,
    pytest.mark.skipif(missing() is not None, reason="Pebble is not installed"),
]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    folder = tmp_path_factory.mktemp("sandbox")
    with sandbox_up(folder) as running:
        running.environment["SSLCTL_DNS_TIMEOUT_SECONDS"] = "1"
        running.in_process = True
        yield running
    shutil.rmtree(folder, ignore_errors=True)


def _resolver(sandbox: RunningSandbox) -> tuple[str, int]:
    """Return the address and port of the resolver."""
    lines = (sandbox.folder / "config.toml").read_text().splitlines()
    host, port = next(line.split('"')[1] for line in lines if line.startswith("resolvers")).split(":")
    return host, int(port)


@pytest.fixture
def name(sandbox: RunningSandbox, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield a domain that has had no certificate, because trouble of a domain that is served is only a warning."""
    name = f"t{zlib.crc32(request.node.name.encode())}.example.test"
    sandbox.do("domain", name)
    yield name
    sandbox.do("heal")


def _reason(sandbox: RunningSandbox, name: str) -> str | None:
    """Add the domain, and return the code of the reason that sslctl reports; None if there is none."""
    sandbox.run("add", name)
    finding = sandbox.view(name)["reason"]
    return None if finding is None else str(finding["code"])


def _target(name: str) -> str:
    return f"{name}.cdn.sandbox.test"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--caa", '0 issue "other.example"'], "CAA_FORBIDS"),
        (["--caa", '128 tbs "x"', "--caa", '0 issue "pebble.sandbox.test"'], "CAA_FORBIDS"),
        (["--aaaa", "2001:db8::1"], "AAAA_ELSEWHERE"),
        (["--redirect", "https://elsewhere.example/x"], "CHALLENGE_UNREACHABLE"),
        (["--points-at", "parking.elsewhere.test"], "CNAME_ELSEWHERE"),
    ],
)
def test_domain_option_causes_its_reason_until_domain_is_given_without_it(
    sandbox: RunningSandbox, name: str, options: list[str], code: str
) -> None:
    sandbox.do("domain", name, *options)
    assert _reason(sandbox, name) == code
    sandbox.do("domain", name)
    assert sandbox.run("recheck", name).returncode == 0


def test_caa_record_that_names_the_ca_allows_it(sandbox: RunningSandbox, name: str) -> None:
    sandbox.do("domain", name, "--caa", '0 issue "pebble.sandbox.test"')
    assert _reason(sandbox, name) is None


def test_caa_record_at_the_parent_or_at_the_target_decides(sandbox: RunningSandbox, name: str) -> None:
    sandbox.do("domain", "example.test", "--caa", '0 issue ";"')
    assert _reason(sandbox, name) == "CAA_FORBIDS"
    sandbox.do("domain", "example.test")
    sandbox.do("domain", _target(name), "--caa", '0 issue ";"')
    sandbox.run("recheck", name)
    assert sandbox.view(name)["reason"]["code"] == "TARGET_CAA_FORBIDS"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["dnssec"], "DNSSEC_BOGUS"),
        (["dnssec", "--domain", "{name}"], "DNSSEC_BOGUS"),
        (["dnssec", "--domain", "example.test"], "DNSSEC_BOGUS"),
        (["dns", "--domain", "{name}"], "DNS_UNANSWERED"),
        (["dns", "--domain", "{name}.cdn.sandbox.test"], "TARGET_UNANSWERED"),
        (["lookup", "--domain", "{name}", "--status", "500"], "C4_UNANSWERED"),
    ],
)
def test_fault_causes_its_reason_until_heal(
    sandbox: RunningSandbox, name: str, arguments: list[str], code: str
) -> None:
    sandbox.do("break", *(argument.format(name=name) for argument in arguments))
    assert _reason(sandbox, name) == code
    sandbox.do("heal")
    assert sandbox.run("recheck", name).returncode == 0


@pytest.mark.parametrize(
    ("fault", "shown"),
    [
        ("edge-lag", "still serves version 1"),
        ("edge-lie", "serves a certificate that sslctl did not install"),
    ],
)
def test_edge_with_a_fault_keeps_a_renewal_in_pending_until_heal(
    sandbox: RunningSandbox, name: str, fault: str, shown: str
) -> None:
    assert _reason(sandbox, name) is None
    sandbox.do("break", fault)
    sandbox.environment["SSLCTL_C4_ACTIVATION_SECONDS"] = "1"
    assert sandbox.run("recheck", name, "--force-renew").returncode == Exit.PENDING
    reason = sandbox.view(name)["reason"]
    assert (reason["code"], reason["sentence"].count("edge ")) == ("C4_ACTIVATING", 1)
    assert shown in reason["sentence"]
    sandbox.do("heal")
    del sandbox.environment["SSLCTL_C4_ACTIVATION_SECONDS"]
    assert sandbox.run("recheck", name).returncode == 0


def test_fault_for_one_domain_leaves_the_others_alone(sandbox: RunningSandbox, name: str) -> None:
    sandbox.do("break", "dnssec", "--domain", name[1:])
    assert _reason(sandbox, name) is None


def test_fault_replaces_the_one_before(sandbox: RunningSandbox, name: str) -> None:
    for earlier, later in (("lookup", "dnssec"), ("dnssec", "lookup")):
        sandbox.do("break", earlier)
        sandbox.do("break", later, "--domain", "other.example.test")
        assert _reason(sandbox, name) is None


def test_short_delay_of_dns_causes_no_finding(sandbox: RunningSandbox, name: str) -> None:
    sandbox.do("break", "dns", "--seconds", "0.01")
    assert _reason(sandbox, name) is None


@pytest.mark.parametrize(
    "kind",
    [
        "DS",
        "DNSKEY",
        "HTTPS",
        "SVCB",
        "TXT",
        "MX",
        "NS",
        "SOA",
        "SRV",
        "CAA",
        "TYPE65400",
        "ANY",
        "A",
        "AAAA",
    ],
)
def test_every_type_of_record_is_answered_without_an_error(
    sandbox: RunningSandbox, name: str, kind: str
) -> None:
    host, port = _resolver(sandbox)
    for asked in (name, _target(name)):
        query = dns.message.make_query(asked, kind, use_edns=True)
        response = dns.query.udp(query, host, timeout=5, port=port)
        assert response.rcode() == dns.rcode.NOERROR, response
        is_alias = asked == name
        found = {dns.rdatatype.to_text(rrset.rdtype) for rrset in response.answer}
        assert ("CNAME" in found) == is_alias
        assert (found - {"CNAME"} != set()) == (kind == "A" or (kind == "ANY" and not is_alias))


def test_check_reports_whether_the_zone_is_signed(sandbox: RunningSandbox, name: str) -> None:
    assert "not signed" in sandbox.run("check", name).stdout


def test_bogus_name_answers_only_if_validation_is_disabled(sandbox: RunningSandbox, name: str) -> None:
    host, port = _resolver(sandbox)
    sandbox.do("break", "dnssec", "--domain", name.upper())
    query = dns.message.make_query(name, "A", use_edns=True)
    for ask in (dns.query.udp, dns.query.tcp):
        query.flags = dns.flags.Flag.RD
        failed = ask(query, host, timeout=5, port=port)
        assert failed.rcode() == dns.rcode.SERVFAIL
        assert [option.code for option in failed.options if hasattr(option, "code")] == [6]
        query.flags |= dns.flags.CD
        assert ask(query, host, timeout=5, port=port).rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["domain", "www.example.test", "--caa", "issue other.example"], "is not a CAA record"),
        (["domain", "www.example.test", "--aaaa", "192.0.2.1"], "'192.0.2.1' is not an IPv6 address"),
        (
            ["domain", "www.example.test", "--redirect", "ftp://other.example"],
            "is not a URL that begins with http",
        ),
        (["domain", "www.example.test", "--redirect", "http://other.example/\r\nX: y"], "is not a URL"),
        (["break", "dnssec", "--status", "500"], "--status goes with lookup"),
        (["break", "upload", "--seconds", "3"], "--seconds goes with dns"),
        (["break", "dns", "--domain", "not a name"], "not a name"),
        (["break", "edge-lag", "--domain", "a.test"], "--domain does not go with edge-lag"),
        (["break", "nothing"], "'nothing' is not one of"),
    ],
)
def test_wrong_value_is_a_usage_error(sandbox: RunningSandbox, arguments: list[str], message: str) -> None:
    result = sandbox.run("sandbox", *arguments)
    assert result.returncode == 2
    assert message in result.stderr


def test_stop_during_a_delayed_answer_prints_no_error(tmp_path: Path) -> None:
    with sandbox_up(tmp_path) as running:
        running.environment["SSLCTL_DNS_TIMEOUT_SECONDS"] = "1"
        running.do("break", "dns", "--seconds", "60")
        assert running.run("add", "www.example.test").returncode == 3
        assert "Traceback" not in running.stop(2)


def test_commands_without_a_running_sandbox_say_so(tmp_path: Path) -> None:
    with sandbox_up(tmp_path, "--keep", str(tmp_path / "kept")) as running:
        running.stop(2)
        for arguments in (
            ("break", "dns"),
            ("heal",),
            ("domain", "www.example.test", "--aaaa", "2001:db8::1"),
        ):
            result = running.run("sandbox", *arguments)
            assert result.returncode == 75
            assert "is `sslctl sandbox up` still running?" in result.stderr
    assert "www.example.test" in (tmp_path / "kept" / "domains.json").read_text()
    assert "2001:db8::1" not in (tmp_path / "kept" / "domains.json").read_text()
