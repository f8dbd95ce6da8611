"""The flags of Pebble's DNS server, from the usage texts that its releases print.

`pebble_usage` has the output of `pebble-challtestsrv -h` of Debian's packages. Releases 2.5, 2.7, 2.8 and 2.9 have the flags of 2.6.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sslctl.errors import StateError
from sslctl.sandbox.pebble_flags import dns_server_arguments, read_usage

USAGES = Path(__file__).parent / "pebble_usage"


def arguments(usage: str) -> dict[str, str]:
    """Return the value of each flag."""
    given = dns_server_arguments(usage, dns_address="127.0.0.1:53", management_address="127.0.0.1:80")
    assert len(given) % 2 == 0
    return dict(zip(given[::2], given[1::2], strict=True))


@pytest.mark.parametrize(
    ("release", "dns", "others"),
    [
        ("2.4", "-dns01", {"-http01", "-https01", "-tlsalpn01"}),
        ("2.6", "-dns01", {"-http01", "-https01", "-tlsalpn01", "-doh"}),
        ("2.10", "-dnsserver", {"-http01", "-https01", "-tlsalpn01", "-doh"}),
    ],
)
def test_each_release_serves_dns_on_loopback_and_nothing_else(
    release: str, dns: str, others: set[str]
) -> None:
    given = arguments((USAGES / f"{release}.txt").read_text())
    assert given.pop(dns) == "127.0.0.1:53"
    assert given.pop("-management") == "127.0.0.1:80"
    assert given.pop("-defaultIPv4") == "127.0.0.1"
    assert given.pop("-defaultIPv6") == ""
    assert given == dict.fromkeys(others, "")


def test_flag_that_only_a_description_names_is_not_used() -> None:
    usage = "Usage of x:\n  -dns01 string\n    \tFormerly -dnsserver, with\n  \t  -doh too\n"
    assert {"-dns01", "-management", "-defaultIPv4", "-defaultIPv6"} == arguments(usage).keys()


@pytest.mark.parametrize("usage", ["", "Usage of x:\n  -http01 string\n", "error: no such file"])
def test_program_without_a_dns_flag_is_refused(usage: str) -> None:
    with pytest.raises(StateError, match="none of the flags -dnsserver and -dns01"):
        arguments(usage)


def test_read_usage_raises_state_error_for_a_program_that_does_not_start(tmp_path: Path) -> None:
    broken = tmp_path / "pebble-challtestsrv"
    broken.write_text("not a program")
    broken.chmod(0o755)
    with pytest.raises(StateError, match="gave no usage text"):
        read_usage(str(broken))
