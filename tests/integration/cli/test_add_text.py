"""`sslctl add --cert --key`: a pasted pair is checked, delivered and watched for expiry, and never renewed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509 import PrecertPoison

from sslctl.certificates import x509
from sslctl.rules.model import Bundle
from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.authorities import NOW, Authority, key_pem, make_key, pem
from tests.support.cdn import Cdn
from tests.support.fakes import FakeIssuer

NAME = "shop.example.com"
UNTRUSTED = "browsers do not trust the certificate: its chain ends at CN={}, which is not one of the CAs that they know"
ROOT, INTERMEDIATE = Authority("Root"), Authority("Intermediate")


def chained_pair(cdn: Cdn) -> Bundle:
    """Return a pair of a customer with an intermediate certificate."""
    key = make_key()
    days = (cdn.clock() - NOW) / timedelta(days=1)
    leaf = INTERMEDIATE.issue(key, [NAME], days=(days - 1, days + 89))
    chain = ROOT.certify(INTERMEDIATE, days=(days - 100, days + 900))
    return Bundle(pem(leaf), pem(chain), key_pem(key))


def test_add_pair_delivers_it_without_an_order_or_dns_queries(cdn: Cdn) -> None:
    cdn.add_domain(NAME, points_at="elsewhere.example.net")
    result = cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME, "www.example.com")))
    assert (result.exit_code, result.stderr.splitlines()) == (
        0,
        [
            f"sslctl: {NAME}: left out of the chain: CN=Fake CA (a root, which browsers do not need)",
            f"sslctl: {NAME}: {UNTRUSTED.format('Fake CA')}",
        ],
    )
    assert result.stdout.startswith(f"{NAME}: Success, valid, 90 days left")
    assert cdn.installed(NAME) is not None
    assert cdn.issuer.orders == []
    # A pasted pair needs no validation by a CA, so DNS does not matter.
    assert cdn.zone.queries == []


def test_add_pair_accepts_the_chain_inside_the_certificate_file(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    pair = chained_pair(cdn)
    cert, key = cdn.folder / "fullchain.pem", cdn.folder / "key.pem"
    cert.write_bytes(b"\xef\xbb\xbf" + pair.fullchain.replace("\n", "\r\n").encode())
    key.write_text(pair.private_key)
    assert cdn.sslctl("add", NAME, "--cert", str(cert), "--key", str(key)).exit_code == 0
    placed = cdn.c4.serving(NAME)
    assert placed is not None
    assert placed.chain == pair.chain


def test_add_pair_puts_the_chain_in_order_and_prints_what_it_left_out(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    pair = chained_pair(cdn)
    shuffled = replace(pair, certificate=pair.chain, chain=pem(ROOT.root) + pair.certificate)
    result = cdn.sslctl("add", NAME, *cdn.paste(shuffled))
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        f"sslctl: {NAME}: left out of the chain: CN=Root (a root, which browsers do not need)",
        f"sslctl: {NAME}: {UNTRUSTED.format('Root')}",
    ]
    placed = cdn.c4.serving(NAME)
    assert placed is not None
    assert (placed.certificate, placed.chain) == (pair.certificate, pair.chain)


def test_add_pair_refuses_a_precertificate_and_records_nothing(cdn: Cdn) -> None:
    key = make_key()
    days = (cdn.clock() - NOW) / timedelta(days=1)
    poison = (PrecertPoison(), True)
    leaf = ROOT.issue(key, [NAME], days=(days - 1, days + 89), extensions=[poison])
    result = cdn.sslctl("add", NAME, *cdn.paste(Bundle(pem(leaf), pem(ROOT.root), key_pem(key))))
    assert (result.exit_code, cdn.c4.requests) == (2, ())
    assert result.stderr.startswith("sslctl: error: the certificate is a precertificate (RFC 6962)")
    assert cdn.sslctl("list", "--json").json["domains"] == []


def _pkcs12(cdn: Cdn, pair: Bundle, password: str) -> tuple[Path, Path]:
    """Write `pair` as a PKCS#12 file, and its password as Windows writes it; return both paths."""
    file, secret = cdn.folder / "shop.pfx", cdn.folder / "password"
    file.write_bytes(x509.to_pkcs12(pair, NAME, password.encode()))
    secret.write_bytes(f"{password}\r\n".encode("utf-8-sig"))
    return file, secret


def test_add_pkcs12_installs_its_certificate_and_chain(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    pair = chained_pair(cdn)
    file, secret = _pkcs12(cdn, pair, "pässword")
    result = cdn.sslctl("add", NAME, "--pkcs12", str(file), "--password-file", str(secret))
    assert result.exit_code == 0
    placed = cdn.c4.serving(NAME)
    assert placed is not None
    assert (placed.certificate, placed.chain) == (pair.certificate, pair.chain)


def test_add_pkcs12_without_a_chain_takes_it_from_the_chain_file(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    pair = chained_pair(cdn)
    file, secret = _pkcs12(cdn, replace(pair, chain=""), "x")
    chain = cdn.folder / "chain.pem"
    chain.write_text(pair.chain)
    options = ["--pkcs12", str(file), "--password-file", str(secret)]
    assert cdn.sslctl("add", NAME, *options, "--chain", str(chain)).exit_code == 0
    placed = cdn.c4.serving(NAME)
    assert placed is not None
    assert placed.chain == pair.chain


def test_add_names_a_pkcs12_file_that_was_given_as_certificate(cdn: Cdn) -> None:
    file, _ = _pkcs12(cdn, chained_pair(cdn), "x")
    result = cdn.sslctl("add", NAME, "--cert", str(file), "--key", str(file))
    assert (result.exit_code, result.stderr) == (
        2,
        (
            f"sslctl: error: {file} is a PKCS#12 file\n"
            "sslctl: hint: give it with --pkcs12 FILE in place of --cert and --key\n"
        ),
    )


def test_add_pkcs12_with_a_wrong_password_or_other_options_records_nothing(cdn: Cdn) -> None:
    file, secret = _pkcs12(cdn, chained_pair(cdn), "x")
    secret.write_text("wrong")
    pkcs12 = ["--pkcs12", str(file)]
    table = {
        "the password is wrong": [*pkcs12, "--password-file", str(secret)],
        "there is no terminal to ask": pkcs12,
        "--pkcs12 contains certificate and key": [*pkcs12, "--cert", str(file), "--key", str(file)],
        "--new orders from the CA at once": [*pkcs12, "--new"],
        "--password-file goes with --pkcs12": ["--password-file", str(secret)],
    }
    for message, options in table.items():
        result = cdn.sslctl("add", NAME, *options)
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert cdn.sslctl("list", "--json").json["domains"] == []


Spoil = Callable[[Cdn, Bundle], Bundle]

WRONG: dict[str, tuple[Spoil, str]] = {
    "key": (
        lambda _cdn, pair: replace(pair, private_key=x509.make_key("ecdsa")),
        "the key is wrong: it does not match the certificate",
    ),
    "no key": (
        lambda _cdn, pair: replace(pair, private_key=pair.certificate),
        "expected one PEM private key, found none",
    ),
    "name": (
        lambda cdn, _pair: cdn.text_pair("other.example.com"),
        f"a name is wrong: {NAME} is not in the certificate, which has other.example.com",
    ),
    "date": (
        lambda cdn, _pair: _aged(cdn, 91),
        "the date is wrong: the certificate expired at 2026-11-22 04:00 UTC",
    ),
    "date ahead": (
        lambda cdn, _pair: _aged(cdn, -1),
        "the date is wrong: the certificate is not valid before 2026-11-24 04:00 UTC",
    ),
    "chain": (
        lambda cdn, pair: replace(pair, chain=FakeIssuer(cdn.clock).chain),
        "the chain is wrong: none of its certificates issued yours, which is from CN=Fake CA",
    ),
    "no certificate": (
        lambda _cdn, pair: replace(pair, certificate="MIIB"),
        "the certificate contains no PEM certificate",
    ),
}


def _aged(cdn: Cdn, days: float) -> Bundle:
    cdn.clock.move(days=-days)
    pair = cdn.text_pair(NAME)
    cdn.clock.move(days=days)
    return pair


@pytest.mark.parametrize("part", WRONG)
def test_add_pair_names_the_part_that_is_wrong(cdn: Cdn, part: str) -> None:
    spoil, message = WRONG[part]
    cdn.add_domain(NAME)
    pair = spoil(cdn, cdn.text_pair(NAME))
    result = cdn.sslctl("add", NAME, *cdn.paste(pair))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[0] == f"sslctl: error: {message}"
    assert "PRIVATE KEY-----" not in result.stderr
    assert (cdn.c4.requests, cdn.zone.queries) == ((), [])
    assert cdn.sslctl("list", "--json").json["domains"] == []


def test_add_pair_is_rejected_when_a_san_is_not_in_the_certificate(cdn: Cdn) -> None:
    pair = cdn.paste(cdn.text_pair(NAME))
    result = cdn.sslctl("add", NAME, "--san", "www.example.com", *pair)
    assert result.exit_code == 2
    assert "a name is wrong: www.example.com is not in the certificate" in result.stderr


def test_add_pair_changes_nothing_when_repeated(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    pair = cdn.paste(cdn.text_pair(NAME))
    first, again = cdn.sslctl("add", NAME, *pair), cdn.sslctl("add", NAME, *pair)
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert cdn.uploads(NAME) == [200]
    assert len(cdn.sslctl("view", NAME, "--json").json["domain"]["certificates"]) == 1


def test_add_pair_replaces_an_earlier_pair(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME)))
    old = cdn.installed(NAME)
    assert cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME))).exit_code == 0
    assert cdn.installed(NAME) not in (None, old)
    fates = [row["fate"] for row in cdn.sslctl("view", NAME, "--json").json["domain"]["certificates"]]
    assert fates == ["serving", "replaced"]


def test_add_pair_replaces_a_certificate_from_the_ca(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    result = cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME)), "--json")
    assert result.exit_code == 0
    assert result.json["domains"][0]["serving"]["source"] == "text"
    cdn.clock.move(days=80)
    cdn.sslctl("daemon-tick")
    assert len(cdn.issuer.orders) == 1


def test_tick_retries_the_upload_of_a_pair_that_c4_refused(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=500))
    pair = cdn.paste(cdn.text_pair(NAME))
    assert cdn.sslctl("add", NAME, *pair).exit_code == 7
    assert cdn.sslctl("daemon-tick").exit_code == 7
    cdn.c4.heal()
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert cdn.installed(NAME) is not None


def test_add_pair_with_no_wait_leaves_the_upload_to_the_tick(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME, "--no-wait", *cdn.paste(cdn.text_pair(NAME))).exit_code == 0
    assert cdn.c4.requests == ()
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert cdn.installed(NAME) is not None


def test_text_certificate_is_reported_as_expired_and_never_rechecked_or_renewed(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME, days=20)))
    uploads = cdn.uploads(NAME)
    cdn.clock.move(days=14)
    assert cdn.sslctl("list", "--expiring-within", "7d").stdout.count(NAME) == 1
    cdn.clock.move(days=7)
    for command in (["daemon-tick"], ["daemon-tick", "--force"], ["recheck"]):
        assert cdn.sslctl(*command).exit_code == 0
    assert (cdn.uploads(NAME), cdn.issuer.orders) == (uploads, [])
    (domain,) = cdn.sslctl("list", "--json").json["domains"]
    assert (domain["status"], domain["days_left"]) == ("Expired", -1)
    assert (domain["reason"]["code"], domain["reason"]["owner"]) == ("CERT_EXPIRED", "operator")
    assert cdn.sslctl("recheck", NAME).exit_code == 4


def test_recheck_force_renew_of_a_text_certificate_suggests_add(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME)))
    result = cdn.sslctl("recheck", NAME, "--force-renew")
    assert result.exit_code == 2
    assert f"hint: `sslctl add {NAME}` replaces it with one from the CA" in result.stderr
    assert cdn.issuer.orders == []


def test_add_without_a_pair_orders_from_the_ca_after_a_text_domain_was_deleted(cdn: Cdn) -> None:
    """`add` without a pair orders from the CA; only certificates from the CA are reused."""
    cdn.add_domain(NAME)
    pair = cdn.paste(cdn.text_pair(NAME))
    cdn.sslctl("add", NAME, *pair)
    old = cdn.installed(NAME)
    cdn.sslctl("delete", NAME, "--yes")
    assert cdn.sslctl("add", NAME).exit_code == 0
    assert len(cdn.issuer.orders) == 1
    cdn.sslctl("delete", NAME, "--yes")
    assert cdn.sslctl("add", NAME, *pair).exit_code == 0
    assert cdn.installed(NAME) == old


def test_add_pair_is_rejected_when_it_lacks_a_san_unless_no_san_is_given(cdn: Cdn) -> None:
    for name in (NAME, "www.example.com"):
        cdn.add_domain(name)
    cdn.sslctl("add", NAME, "--san", "www.example.com")
    alone = cdn.paste(cdn.text_pair(NAME))
    refused = cdn.sslctl("add", NAME, *alone)
    assert refused.exit_code == 2
    assert "a name is wrong: www.example.com" in refused.stderr
    assert cdn.sslctl("add", NAME, *alone, "--no-san").exit_code == 0


def test_add_pair_notes_that_the_domain_is_not_renewed_any_more(cdn: Cdn) -> None:
    cdn.add_domain(NAME)
    cdn.sslctl("add", NAME)
    result = cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME)))
    assert f"{NAME} has a text certificate from now on, which sslctl does not renew" in result.stderr
    again = cdn.sslctl("add", NAME, *cdn.paste(cdn.text_pair(NAME, days=120)))
    assert "from now on" not in again.stderr
