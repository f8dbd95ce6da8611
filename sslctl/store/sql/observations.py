"""The columns of a domain's observations: its finding, and what else passes and looks at C4 found.

Most domains have none, and a list reads a hundred thousand domains. So a query returns all of them as one value.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from sslctl.rules.model import (
    Caution,
    Finding,
    Installed,
    PassResult,
    Source,
    State,
    Suspicion,
    Unconfirmed,
)
from sslctl.rules.reasons import Code
from sslctl.store.sql.connection import Dialect
from sslctl.store.sql.values import optional_time_of, records_of, records_text, text_of, time_of
from sslctl.text import instant

# The columns of each value, in the order of its fields. The first one is NULL if there is no such value.
# fmt: off
_FINDING = (
    "finding_code", "finding_found", "finding_wanted", "finding_at", "retry_at", "finding_tries", "finding_records",
)
_FOREIGN = ("foreign_source", "foreign_fingerprint", "foreign_not_after", "foreign_state")
_UNCONFIRMED = (
    "unconfirmed_code", "unconfirmed_found", "unconfirmed_since", "unconfirmed_retry_at", "unconfirmed_tries",
)
_SUSPICION = (
    "suspicion_code", "suspicion_found", "suspicion_wanted", "suspicion_since", "suspicion_at", "suspicion_records",
)
_CAUTION = ("caution_code", "caution_found", "caution_wanted", "caution_since", "caution_records")
# fmt: on
_GROUPS = (_FINDING, _FOREIGN, _UNCONFIRMED, _SUSPICION, _CAUTION)

# Changes of a domain that empty columns: those of a foreign certificate, and all but those of the finding.
NO_FOREIGN = ", ".join(f"{column} = NULL" for column in _FOREIGN)
NOTHING_OBSERVED = ", ".join(f"{column} = NULL" for group in _GROUPS[1:] for column in group)


class Observations(NamedTuple):
    """What is known of a domain beside its certificates: `Domain` has fields of the same names."""

    finding: Finding | None = None
    foreign: Installed | None = None
    unconfirmed: Unconfirmed | None = None
    suspicion: Suspicion | None = None
    caution: Caution | None = None


_NONE = Observations()


def select_observations(dialect: Dialect) -> str:
    """Return the SQL expression of a domain's observations: a JSON array, NULL if there are none."""
    codes = ", ".join(f"domain.{group[0]}" for group in _GROUPS)
    columns = ", ".join(f"domain.{column}" for group in _GROUPS for column in group)
    return f"CASE WHEN coalesce({codes}) IS NOT NULL THEN {dialect.json_array(columns)} END"


def observations_of(stored: str | None) -> Observations:
    """Return the observations in a value of `select_observations`."""
    if stored is None:
        return _NONE
    values = json.loads(stored)
    finding, foreign, unconfirmed, suspicion, caution = (
        values[:7], values[7:11], values[11:16], values[16:22], values[22:],
    )  # fmt: skip
    return Observations(
        None if finding[0] is None else _finding(*finding),
        None if foreign[0] is None else _installed(*foreign),
        None if unconfirmed[0] is None else _unconfirmed(*unconfirmed),
        None if suspicion[0] is None else _suspicion(*suspicion),
        None if caution[0] is None else _caution(*caution),
    )


def _finding(
    code: str, found: str, wanted: str, at: str, retry_at: str | None, tries: int, records: str | None
) -> Finding:
    return Finding(
        Code(code),
        text_of(found),
        text_of(wanted),
        time_of(at),
        optional_time_of(retry_at),
        tries,
        records_of(records),
    )


def _installed(source: str, fingerprint: str, not_after: str, state: str) -> Installed:
    return Installed(Source(source), text_of(fingerprint), time_of(not_after), State(state))


def _unconfirmed(code: str, found: str, since: str, retry_at: str, tries: int) -> Unconfirmed:
    return Unconfirmed(Code(code), text_of(found), time_of(since), time_of(retry_at), tries)


def _suspicion(code: str, found: str, wanted: str, since: str, at: str, records: str | None) -> Suspicion:
    return Suspicion(
        Code(code), text_of(found), text_of(wanted), time_of(since), time_of(at), records_of(records)
    )


def _caution(code: str, found: str, wanted: str, since: str, records: str | None) -> Caution:
    return Caution(Code(code), text_of(found), text_of(wanted), time_of(since), records_of(records))


def installed_columns(installed: Installed | None) -> dict[str, object]:
    """Return the columns of a domain's `foreign` certificate with their values."""
    return {
        "foreign_source": installed and installed.source,
        "foreign_fingerprint": installed and installed.fingerprint,
        "foreign_not_after": installed and instant(installed.not_after),
        "foreign_state": installed and installed.state,
    }


def result_columns(result: PassResult) -> dict[str, object]:
    """Return the columns of a domain's `PassResult` with their values."""
    finding, unconfirmed, suspicion, caution = (
        result.finding, result.unconfirmed, result.suspicion, result.caution,
    )  # fmt: skip
    return {
        "finding_code": finding and finding.code,
        "finding_found": finding and finding.found,
        "finding_wanted": finding and finding.wanted,
        "finding_at": finding and instant(finding.at),
        "retry_at": finding and finding.retry_at and instant(finding.retry_at),
        "finding_tries": finding.tries if finding else 1,
        "finding_records": finding and records_text(finding.records),
        "unconfirmed_code": unconfirmed and unconfirmed.code,
        "unconfirmed_found": unconfirmed and unconfirmed.found,
        "unconfirmed_since": unconfirmed and instant(unconfirmed.since),
        "unconfirmed_retry_at": unconfirmed and instant(unconfirmed.retry_at),
        "unconfirmed_tries": unconfirmed and unconfirmed.tries,
        "suspicion_code": suspicion and suspicion.code,
        "suspicion_found": suspicion and suspicion.found,
        "suspicion_wanted": suspicion and suspicion.wanted,
        "suspicion_since": suspicion and instant(suspicion.since),
        "suspicion_at": suspicion and instant(suspicion.at),
        "suspicion_records": suspicion and records_text(suspicion.records),
        "caution_code": caution and caution.code,
        "caution_found": caution and caution.found,
        "caution_wanted": caution and caution.wanted,
        "caution_since": caution and instant(caution.since),
        "caution_records": caution and records_text(caution.records),
    }
