"""`sslctl set`, and the same options of `sslctl add`."""

from __future__ import annotations

from typing import Any

import pytest

from sslctl.errors import Exit
from tests.support.cdn import Cdn

ONE, TWO = "one.example.com", "two.example.com"


def viewed(cdn: Cdn, name: str) -> dict[str, Any]:
    domain: dict[str, Any] = cdn.sslctl("view", name, "--json").json["domain"]
    return domain


def key_type(cdn: Cdn, name: str) -> str:
    return str(viewed(cdn, name)["certificates"][0]["key_type"])


def test_chosen_key_type_counts_from_the_next_order_on_and_is_kept_over_renewals(cdn: Cdn) -> None:
    cdn.add_domain(ONE)
    assert cdn.sslctl("add", ONE).exit_code == 0
    chosen = cdn.sslctl("set", ONE, "--key-type", "p384")
    assert chosen.exit_code == 0
    assert chosen.stdout.startswith(f"{ONE}: key type p384; used at the next renewal, 20")
    assert key_type(cdn, ONE) == "ECDSA P-256"
    for _ in range(2):
        assert cdn.sslctl("recheck", ONE, "--force-renew").exit_code == 0
        assert key_type(cdn, ONE) == "ECDSA P-384"
    assert "Chosen:" in cdn.sslctl("view", ONE).stdout
    assert viewed(cdn, ONE)["choice"] == {"key_type": "p384", "profile": None, "preferred_chain": None}
    assert cdn.sslctl("set", ONE, "--key-type", "default").exit_code == 0
    assert viewed(cdn, ONE)["choice"]["key_type"] is None


def test_add_records_the_choice_before_its_first_order(cdn: Cdn) -> None:
    for name in (ONE, TWO):
        cdn.add_domain(name)
    assert cdn.sslctl("add", ONE, TWO, "--key-type", "rsa3072").exit_code == 0
    assert (key_type(cdn, ONE), key_type(cdn, TWO)) == ("RSA 3072", "RSA 3072")


def test_profile_that_allows_fewer_names_is_refused(cdn: Cdn) -> None:
    sans = [f"--san=n{number}.example.com" for number in range(25)]
    assert cdn.sslctl("add", ONE, *sans, "--no-wait").exit_code == 0
    refused = cdn.sslctl("set", ONE, "--profile", "shortlived")
    assert (refused.exit_code, "with the profile shortlived" in refused.stderr) == (Exit.USAGE, True)
    refused = cdn.sslctl("add", TWO, *sans, "--no-wait", "--profile", "tlsserver")
    assert (refused.exit_code, "with the profile tlsserver" in refused.stderr) == (Exit.USAGE, True)
    assert viewed(cdn, ONE)["choice"]["profile"] is None


def test_text_certificate_has_no_choice(cdn: Cdn) -> None:
    cdn.add_domain(ONE)
    assert cdn.sslctl("add", ONE, *cdn.paste(cdn.text_pair(ONE))).exit_code == 0
    refused = cdn.sslctl("set", ONE, "--key-type", "p384")
    assert "has a text certificate, which sslctl does not order" in refused.stderr
    cdn.add_domain(TWO)
    assert cdn.sslctl("add", TWO, "--no-wait").exit_code == 0
    both = cdn.sslctl("set", ONE, TWO, "--key-type", "p384")
    assert both.exit_code == Exit.SOME_NOT_WELL
    assert viewed(cdn, TWO)["choice"]["key_type"] == "p384"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to set"),
        (["--key-type", "ed25519"], "'p256', 'p384', 'rsa2048', 'rsa3072', 'rsa4096', 'default'"),
        (["--profile", "two words"], "cannot be a profile"),
        (["--preferred-chain", ""], "one line of at most 200 printable characters"),
    ],
)
def test_choice_that_cannot_be_one_is_a_usage_error(cdn: Cdn, arguments: list[str], message: str) -> None:
    refused = cdn.sslctl("set", ONE, *arguments)
    assert (refused.exit_code, message in refused.stderr) == (Exit.USAGE, True), refused.stderr
