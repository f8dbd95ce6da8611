"""Pasted pairs: the leaf is found by its key, the chain is put in order, and what is left out is named."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslctl.certificates.pasted import Pasted, read_pair
from sslctl.certificates.trust import TrustedRoots
from sslctl.errors import BadInput
from tests.support.authorities import NAMES, NOW, Authority, key_pem, make_key, pem

ROOT, OTHER_ROOT, STRANGER = Authority("Root"), Authority("Other Root"), Authority("Stranger")
UPPER, LOWER, SECOND = Authority("Upper"), Authority("Lower"), Authority("Second")
KEY = make_key()
LEAF = LOWER.issue(KEY)
LOWER_BY_UPPER, UPPER_BY_ROOT = UPPER.certify(LOWER), ROOT.certify(UPPER)
UPPER_BY_OTHER = OTHER_ROOT.certify(UPPER)
LOWER_BY_SECOND = SECOND.certify(LOWER)
# The root of a newer CA, signed by an older one, as Let's Encrypt and Sectigo had it.
ROOT_BY_OTHER = OTHER_ROOT.certify(ROOT)
ROOT_ITSELF, OTHER_ITSELF, STRANGER_ITSELF = ROOT.root, OTHER_ROOT.root, STRANGER.root
EXPIRED_BY_OTHER = OTHER_ROOT.certify(ROOT, days=(-1000, -1))
RIGHT = [LOWER_BY_UPPER, UPPER_BY_ROOT]


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> TrustedRoots:
    """Browsers know `ROOT` alone."""
    path = tmp_path_factory.mktemp("roots") / "roots.pem"
    path.write_text(pem(ROOT_ITSELF))
    return TrustedRoots(path)


def _read(trusted: TrustedRoots, certificates: Sequence[x509.Certificate], chain: str = "") -> Pasted:
    return read_pair(pem(*certificates), key_pem(KEY), chain, NAMES, NOW, trusted)


ORDERED = "the chain was put in order"
ROOT_LEFT_OUT = "left out of the chain: CN=Root (a root, which browsers do not need)"
CASES: dict[str, tuple[list[x509.Certificate], list[x509.Certificate], list[str]]] = {
    "in order": ([LEAF, *RIGHT], RIGHT, []),
    "with root": ([LEAF, *RIGHT, ROOT_ITSELF], RIGHT, [ROOT_LEFT_OUT]),
    "reversed": ([ROOT_ITSELF, *reversed(RIGHT), LEAF], RIGHT, [ORDERED, ROOT_LEFT_OUT]),
    "leaf in the middle": ([UPPER_BY_ROOT, LEAF, LOWER_BY_UPPER], RIGHT, [ORDERED]),
    "duplicates": ([LEAF, LEAF, *RIGHT, *RIGHT, LEAF], RIGHT, []),
    "stranger": (
        [LEAF, STRANGER_ITSELF, *RIGHT],
        RIGHT,
        ["left out of the chain: CN=Stranger (a root of another CA)"],
    ),
    "cross-signed alternative": (
        [LEAF, LOWER_BY_UPPER, UPPER_BY_OTHER, UPPER_BY_ROOT],
        RIGHT,
        ["left out of the chain: CN=Upper (another certificate of a CA in the chain)"],
    ),
    "two ways": (
        [LEAF, LOWER_BY_SECOND, UPPER_BY_ROOT, LOWER_BY_UPPER],
        RIGHT,
        [ORDERED, "left out of the chain: CN=Lower (another certificate of a CA in the chain)"],
    ),
    "cross-signed root in order": ([LEAF, *RIGHT, ROOT_BY_OTHER], [*RIGHT, ROOT_BY_OTHER], []),
    "expired cross-signed root": (
        [LEAF, *RIGHT, EXPIRED_BY_OTHER],
        RIGHT,
        ["left out of the chain: CN=Root (it expired at 2026-02-28 12:00 UTC)"],
    ),
    "expired copy of an intermediate": (
        [LEAF, UPPER.certify(LOWER, days=(-900, -1)), *RIGHT],
        RIGHT,
        ["left out of the chain: CN=Lower (it expired at 2026-02-28 12:00 UTC)"],
    ),
    "gap": (
        [LEAF, LOWER_BY_UPPER, ROOT_BY_OTHER],
        [LOWER_BY_UPPER],
        ["left out of the chain: CN=Root (not needed)"],
    ),
    "private root": (
        [LEAF, OTHER_ITSELF, UPPER_BY_OTHER, LOWER_BY_UPPER],
        [LOWER_BY_UPPER, UPPER_BY_OTHER],
        [ORDERED, "left out of the chain: CN=Other Root (a root, which browsers do not need)"],
    ),
    "no chain": ([LEAF], [], []),
}


@pytest.mark.parametrize("case", CASES)
def test_chain_is_put_in_order_and_what_is_left_out_is_named(trusted: TrustedRoots, case: str) -> None:
    certificates, chain, notes = CASES[case]
    pasted = _read(trusted, certificates)
    assert pasted.bundle.certificate == pem(LEAF)
    assert pasted.bundle.chain == pem(*chain)
    about_chain = [note for note in pasted.notes if note == ORDERED or note.startswith("left out")]
    assert about_chain == notes


@pytest.mark.parametrize("with_root", [False, True])
@pytest.mark.parametrize("in_certificate_file", [False, True])
def test_chain_file_may_repeat_the_certificate_file_and_include_the_root(
    trusted: TrustedRoots, *, with_root: bool, in_certificate_file: bool
) -> None:
    chain = [*RIGHT, ROOT_ITSELF] if with_root else RIGHT
    certificates = [LEAF, *RIGHT] if in_certificate_file else [LEAF]
    assert _read(trusted, certificates, pem(LEAF, *chain)).bundle.chain == pem(*RIGHT)
    assert _read(trusted, RIGHT, pem(LEAF)).bundle.certificate == pem(LEAF)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_openssl_verifies_the_chain_of_any_order(
    trusted: TrustedRoots, tmp_path: Path, data: st.DataObject
) -> None:
    everything = [
        LEAF,
        *RIGHT,
        ROOT_ITSELF,
        UPPER_BY_OTHER,
        STRANGER_ITSELF,
        EXPIRED_BY_OTHER,
        LOWER_BY_SECOND,
    ]
    extra = data.draw(st.lists(st.sampled_from(everything), max_size=4))
    pasted = _read(trusted, data.draw(st.permutations([*everything, *extra])))
    assert pasted.bundle.chain == pem(*RIGHT)
    files = {"leaf": pasted.bundle.certificate, "chain": pasted.bundle.chain, "root": pem(ROOT_ITSELF)}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = ["openssl", "verify", "-attime", str(int(NOW.timestamp())), "-purpose", "sslserver"]
    command += [
        "-CAfile",
        str(tmp_path / "root"),
        "-untrusted",
        str(tmp_path / "chain"),
        str(tmp_path / "leaf"),
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith(": OK\n")


def _refusal(trusted: TrustedRoots, certificates: Sequence[x509.Certificate]) -> str:
    with pytest.raises(BadInput) as caught:
        _read(trusted, certificates)
    return caught.value.message


def test_chain_of_another_ca_is_refused(trusted: TrustedRoots) -> None:
    message = "the chain is wrong: none of its certificates issued yours, which is from CN=Lower"
    assert _refusal(trusted, [LEAF, UPPER_BY_ROOT, ROOT_ITSELF]) == message
    imitator = Authority("Lower")
    assert _refusal(trusted, [LEAF, ROOT.certify(imitator)]) == message


@pytest.mark.parametrize("days", [(-900, -1), (1, 900)], ids=["expired", "not yet valid"])
def test_chain_that_needs_an_intermediate_out_of_its_dates_is_refused(
    trusted: TrustedRoots, days: tuple[float, float]
) -> None:
    date = "expired at 2026-02-28" if days[1] < 0 else "is not valid before 2026-03-02"
    for certificates in (
        [LEAF, UPPER.certify(LOWER, days=days), UPPER_BY_ROOT],
        [UPPER_BY_ROOT, UPPER.certify(LOWER, days=days), LEAF],
    ):
        wanted = f"the chain is wrong: its certificate CN=Lower {date} 12:00 UTC"
        assert _refusal(trusted, certificates) == wanted
    above = [LEAF, LOWER_BY_UPPER, ROOT.certify(UPPER, days=days)]
    assert _refusal(trusted, above) == f"the chain is wrong: its certificate CN=Upper {date} 12:00 UTC"


def test_chain_that_ends_at_an_expired_private_root_is_refused(trusted: TrustedRoots) -> None:
    old = Authority("Old Root", days=(-3000, -1))
    chain = [LEAF, old.certify(LOWER), old.root]
    assert _refusal(trusted, chain) == (
        "the chain is wrong: its certificate CN=Old Root expired at 2026-02-28 12:00 UTC"
    )


def test_key_that_matches_no_certificate_is_refused(trusted: TrustedRoots) -> None:
    other = LOWER.issue(make_key())
    assert _refusal(trusted, [other]) == "the key is wrong: it does not match the certificate"
    assert _refusal(trusted, [other, *RIGHT]) == "the key is wrong: it does not match the certificate"
    assert _refusal(trusted, [other, *RIGHT, LOWER.issue(make_key())]) == (
        "the key is wrong: it does not match any of the 2 certificates"
    )


def test_leaf_of_a_key_with_several_certificates_covers_the_names_and_expires_last(
    trusted: TrustedRoots,
) -> None:
    old = LOWER.issue(KEY, days=(-90, 10))
    other = LOWER.issue(KEY, ("other.example.com",), days=(-1, 89.5))
    expired = LOWER.issue(KEY, days=(-90, -1))
    for certificates in ([old, LEAF, other, expired], [expired, other, LEAF, old]):
        pasted = _read(trusted, [*certificates, *RIGHT])
        assert pasted.bundle.certificate == pem(LEAF)
        assert pasted.bundle.chain == pem(*RIGHT)


def test_certificates_of_two_cas_that_signed_each_other_end_the_search(trusted: TrustedRoots) -> None:
    one, two = Authority("One"), Authority("Two")
    key_of_leaf = one.issue(KEY)
    pasted = _read(trusted, [key_of_leaf, one.certify(two), two.certify(one), STRANGER_ITSELF])
    assert pasted.bundle.chain.count("BEGIN") in (1, 2)


def test_list_of_all_public_roots_is_no_chain(trusted: TrustedRoots) -> None:
    assert _refusal(trusted, [LEAF, *[Authority(f"CA {number}", KEY).root for number in range(201)]]) == (
        "the chain is too long: 202 certificates, at most 200 are read"
    )
