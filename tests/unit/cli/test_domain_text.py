"""A domain as JSON text: the text of a domain in Success is written directly, and must be the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sslctl.cli.output import json_shapes
from sslctl.cli.output.domain_text import domain_text
from sslctl.cli.output.stdout import encode_json
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.model import (
    Caution,
    CertificateSummary,
    DomainSummary,
    Finding,
    Installed,
    Source,
    State,
    Suspicion,
    Unconfirmed,
)
from sslctl.rules.reasons import Code, Status
from sslctl.rules.remarks import Remarks, Snooze
from tests.support.fakes import START

CERTIFICATE = CertificateSummary(3, Source.C4, "ab" * 32, START + timedelta(days=50))
FOREIGN = Installed(Source.TEXT, "cd" * 32, START + timedelta(days=60), State.ACTIVE)
HEALTHY = DomainSummary(
    name="shop.example.com",
    sans=(),
    source=Source.C4,
    created_at=START - timedelta(days=200),
    deleted_at=None,
    checked_at=START - timedelta(hours=2),
    finding=None,
    wanted=CERTIFICATE,
    serving=CERTIFICATE,
    foreign=None,
    unconfirmed=None,
    suspicion=None,
    caution=None,
    observed_at=START - timedelta(hours=1),
)

_instants = st.integers(-90 * 86_400, 90 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds))
_texts = st.text(max_size=12) | st.just('"quoted\\"')
_codes = st.sampled_from(Code)
_certificates = st.builds(CertificateSummary, st.integers(1, 99), st.sampled_from(Source), _texts, _instants)
_records = st.sampled_from(
    [(), (DnsRecord("CAA", "a.test", (), ('0 issue "ca.test"',)), DnsRecord("A", "b.test", (), None))]
)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": _texts,
    "sans": st.lists(_texts, max_size=2).map(tuple),
    "source": st.sampled_from(Source),
    "created_at": _instants,
    "deleted_at": _instants,
    "checked_at": st.none() | _instants,
    "finding": st.builds(Finding, _codes, _texts, _texts, _instants, st.none() | _instants, records=_records),
    "wanted": st.none() | _certificates,
    "serving": st.none() | _certificates,
    "foreign": st.builds(Installed, st.sampled_from(Source), _texts, _instants, st.sampled_from(State)),
    "unconfirmed": st.builds(Unconfirmed, _codes, _texts, _instants, _instants),
    "suspicion": st.builds(Suspicion, _codes, _texts, _texts, _instants, _instants, _records),
    "caution": st.builds(Caution, _codes, _texts, _texts, _instants, _records),
    "observed_at": st.none() | _instants,
    "c4_customer": _texts,
    "remarks": st.builds(
        Remarks,
        _texts,
        _texts,
        _texts,
        st.none()
        | st.builds(
            Snooze, _instants, st.sampled_from(Status), st.frozensets(_codes, max_size=2), st.booleans()
        ),
    ),
}


@st.composite
def _domains(draw: st.DrawFn) -> DomainSummary:
    """Return a healthy domain with a few other fields, so that each condition is met alone too."""
    changed = draw(st.sets(st.sampled_from(sorted(_FIELDS)), max_size=3))
    return HEALTHY._replace(**{field: draw(_FIELDS[field]) for field in sorted(changed)})


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(domain=_domains())
@example(domain=HEALTHY)
@example(
    domain=HEALTHY._replace(c4_customer='Ünïted "Shops"', remarks=Remarks("acme", "mailed Tuesday", "alice"))
)
@example(domain=HEALTHY._replace(source=Source.TEXT, wanted=None, foreign=FOREIGN))
def test_text_is_that_of_the_json_shape(domain: DomainSummary) -> None:
    assert domain_text(domain, START) == encode_json(json_shapes.domain(domain, START))
