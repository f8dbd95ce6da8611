"""A `Query` as an SQL condition. Property tests compare each filter with the rules that it copies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import product
from math import prod
from string import ascii_lowercase, digits

from sslctl.rules import onboarding
from sslctl.rules.model import Source
from sslctl.rules.name_pattern import NamePattern
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.warnings import DEPARTED_AFTER, LEFT_THE_CDN, TEXT_EXPIRES_SOON
from sslctl.store.interface.domains import EVERYTHING, Codes, Query, Sort
from sslctl.store.sql import rows, status_sql
from sslctl.store.sql.connection import Dialect, Row
from sslctl.store.sql.remarks import CUSTOMER
from sslctl.store.sql.values import literals
from sslctl.text import instant

# `warnings.find_warnings` finds none for any other domain.
_MAY_BE_WARNED = (
    "(domain.source = 'text' OR domain.foreign_source IS NOT NULL OR domain.suspicion_code IS NOT NULL"
    " OR domain.caution_code IS NOT NULL)"
)
_IS_ADOPTED = "domain.source = 'text' AND domain.wanted_id IS NULL"
# The expiry of what C4 serves, ours or not; NULL if it serves nothing. `serving` is empty if it is the wanted certificate.
IN_SERVICE = (
    "coalesce(domain.foreign_not_after,"
    " CASE WHEN domain.serving_id IS NOT NULL THEN coalesce(serving.not_after, wanted.not_after) END)"
)

# The code whose owner is that of the status (`status.derive_status`); NULL in Success. For an expired domain it is what
# keeps it from being renewed.
BLAMED = f"""coalesce(domain.finding_code, CASE WHEN {status_sql.EXPIRY} <= :now THEN '{Code.CERT_EXPIRED}'
  WHEN {IN_SERVICE} IS NULL THEN CASE WHEN {_IS_ADOPTED} THEN '{Code.TEXT_MISSING}' ELSE '{Code.QUEUED}' END END)"""

# The codes of `warnings.find_warnings`; NULL without that warning.
_WARNINGS = (
    f"""CASE WHEN domain.foreign_not_after > :now AND domain.finding_code IS DISTINCT FROM '{Code.FOREIGN_TEXT}'
      AND NOT ({_IS_ADOPTED})
      THEN CASE domain.foreign_source WHEN 'text' THEN '{Code.OTHER_CERTIFICATE}' ELSE '{Code.KEY_MISSING}' END END""",
    "domain.suspicion_code",
    f"""CASE WHEN domain.source = 'text' AND {IN_SERVICE} > :now AND {IN_SERVICE} <= :text_expires
      THEN '{Code.TEXT_EXPIRES}' END""",
    f"""CASE WHEN domain.caution_code IN ({literals(LEFT_THE_CDN)}) AND domain.caution_since <= :departed
      THEN '{Code.DEPARTED}' ELSE domain.caution_code END""",
)

# Most domains are like this: the only code that they can have is that of an expired certificate. The index of the others,
# `domain_not_plain`, has the same words.
IS_PLAIN = (
    "domain.source = 'c4' AND domain.serving_id IS NOT NULL AND domain.finding_code IS NULL"
    " AND domain.unconfirmed_code IS NULL AND domain.suspicion_code IS NULL AND domain.caution_code IS NULL"
    " AND domain.foreign_source IS NULL"
)

# The domains with other names or A-labels. The index `domain_by_other_names` has the same words.
HAS_OTHER_NAMES = "(domain.sans <> '[]' OR domain.name LIKE '%xn--%')"

_WILDCARDS = {"*": "%", "?": "_"}
# What A-labels and the dots between them consist of.
_CHARACTERS = f"{ascii_lowercase}{digits}-."
# More comparisons than this take longer than the expression of a glob does.
_MOST_CHOICES = 10

# How far the expiry of what is served is from `:now`, in seconds; 0 if nothing is served although there is a certificate;
# NULL if there never was one (`fleet.troubles.find_time_left`, `urgency_of`). `{days}` is `Dialect.days_of`.
_FROM_NOW = "round(86400 * abs({end} - {now}))"


def condition(query: Query, now: datetime) -> tuple[str, dict[str, object]]:
    """Return `query` without its pattern as an SQL condition, with its values."""
    where = list(_by_row_alone(query))
    values: dict[str, object] = {"now": instant(now)}
    if query.statuses:
        where.append(f"{status_sql.STATUS} IN ({literals(query.statuses)})")
    if query.source is not None:
        where.append("domain.source = :source")
        values["source"] = query.source
    if query.warned:
        where.append(_MAY_BE_WARNED)
    if query.abandoned:
        where.append(
            f"domain.source = 'c4' AND {status_sql.STATUS} = '{Status.FAILURE}' AND domain.wanted_id IS NULL"
            f" AND domain.finding_code IN ({literals(_codes_of([Owner.CUSTOMER]))})"
            " AND domain.serving_id IS NULL AND domain.foreign_source IS NULL AND domain.created_at <= :abandoned"
        )
        values["abandoned"] = instant(now - onboarding.ABANDONED_AFTER)
    if query.expiring_within is not None:
        where.append(f"{status_sql.EXPIRY} <= :horizon")
        values["horizon"] = instant(now + query.expiring_within)
    if query.served_source is not None:
        where.append("coalesce(domain.foreign_source, serving.source, wanted.source) = :served_source")
        values["served_source"] = query.served_source
    for field, expression, wanted in (
        ("customer", CUSTOMER, query.customers),
        ("assignee", "domain.assignee", query.assignees),
    ):
        named = {f"{field}{place}": name for place, name in enumerate(wanted)}
        where += [f"coalesce({expression}, '') IN ({', '.join(f':{key}' for key in named)})"] if named else []
        values |= named
    if query.needing_within is not None:
        # With a certificate that is not served, the domain may wait for too long.
        unserved = f"domain.wanted_id IS NOT NULL AND {IN_SERVICE} IS NULL"
        acting = _any_of(
            [BLAMED, *_WARNINGS], _codes_of([each for each in Owner if each is not Owner.NOBODY])
        )
        where.append(f"({acting} OR {status_sql.EXPIRY} <= :needing OR {unserved})")
        values["needing"] = instant(now + query.needing_within)
    if query.owners or query.reasons or query.warnings or query.needing_within is not None:
        where += _by_code(query)
        values |= code_times(now)
    return " AND ".join(where), values


def _by_row_alone(query: Query) -> Iterator[str]:
    """Yield conditions that need no certificate, so most rows are left out before theirs are read."""
    yield "domain.deleted_at IS NOT NULL" if query.deleted else "domain.deleted_at IS NULL"
    if leaves_out_plain(query):
        yield f"NOT ({IS_PLAIN})"


def leaves_out_plain(query: Query) -> bool:
    """Return whether no plain domain can match `query`: their status is Success or Expired, their only code `CERT_EXPIRED`."""
    of_plain = (
        (query.statuses, {Status.SUCCESS, Status.EXPIRED}),
        (query.owners, {REASONS[Code.CERT_EXPIRED].owner}),
        (query.reasons, {Code.CERT_EXPIRED}),
        (query.warnings, set[Code]()),
    )
    return any(wanted and possible.isdisjoint(wanted) for wanted, possible in of_plain)


def narrowed(dialect: Dialect, query: Query, where: str) -> str:
    """Return the condition `where` of `query` with one that means no more, but finds the domains by indexes if they are few.

    It is for one query over all domains: each query reads these indexes anew.
    """
    horizon = "" if query.deleted else _horizon_of_plain(query)
    return f"{where} AND {ends_by(dialect, horizon)}" if horizon else where


def _horizon_of_plain(query: Query) -> str:
    """Return by when the certificate of a plain domain must end if `query` is to find it, as a value; empty if it need not."""
    if leaves_out_plain(query):
        return ""
    # Until it has expired, a plain domain is in Success and has no code.
    if query.owners or query.reasons or (query.statuses and Status.SUCCESS not in query.statuses):
        return ":now"
    if query.expiring_within is not None:
        return ":horizon"
    return "" if query.needing_within is None else ":needing"


def ends_by(dialect: Dialect, horizon: str) -> str:
    """Return the condition that leaves out most managed domains: the plain ones whose certificate ends after `horizon`.

    What C4 serves decides about the others, so they all fulfil it.
    """
    special, in_use = dialect.index_hint("domain_not_plain"), dialect.index_hint("certificate_in_use")
    return f"""domain.id IN (SELECT id FROM domain {special} WHERE deleted_at IS NULL AND NOT ({IS_PLAIN})
        UNION ALL SELECT domain_id FROM certificate {in_use} WHERE replaced_at IS NULL AND not_after <= {horizon})"""  # noqa: S608 - constants


def code_times(now: datetime) -> dict[str, object]:
    """Return the times that decide at `now` which codes a domain has."""
    return {
        "now": instant(now),
        "text_expires": instant(now + TEXT_EXPIRES_SOON),
        "departed": instant(now - DEPARTED_AFTER),
    }


def count_reasons(dialect: Dialect) -> str:
    """Return the query of the statuses and codes `BLAMED` of all managed domains, each row with a number; some have two rows.

    The many plain domains are only counted.
    """
    return f"""WITH {_count_plain(dialect)}
        SELECT '{Status.EXPIRED}' AS status, '{Code.CERT_EXPIRED}' AS code, expired AS number FROM plain WHERE expired > 0
        UNION ALL
        SELECT '{Status.SUCCESS}', NULL, number - expired FROM plain WHERE number > expired
        UNION ALL
        SELECT {status_sql.STATUS}, {BLAMED}, count(*) {rows.from_special_domains(dialect)}
        WHERE domain.deleted_at IS NULL AND NOT ({IS_PLAIN}) GROUP BY 1, 2"""  # noqa: S608 - constants


def _count_plain(dialect: Dialect) -> str:
    """Return the table `plain` of a query: the number of all managed plain domains, and of those that have expired.

    Indexes answer it: those that have expired are few, and among the certificates in use.
    """
    special, in_use = dialect.index_hint("domain_not_plain"), dialect.index_hint("certificate_in_use")
    return f"""managed AS (SELECT count(*) AS number FROM domain WHERE deleted_at IS NULL),
        special AS (SELECT count(*) AS number FROM domain {special} WHERE deleted_at IS NULL AND NOT ({IS_PLAIN})),
        ended AS (SELECT count(*) AS number FROM certificate AS held {in_use}
          CROSS JOIN domain WHERE {dialect.serves("held")}
          AND held.not_after <= :now AND held.replaced_at IS NULL AND domain.deleted_at IS NULL AND {IS_PLAIN}),
        plain AS (SELECT managed.number - special.number AS number, ended.number AS expired
          FROM managed CROSS JOIN special CROSS JOIN ended)"""  # noqa: S608 - constants


def soonest_of_plain(dialect: Dialect) -> str:
    """Return the query of the source and the expiry of the certificate of a plain domain that ends next after `:now`, by source."""
    by_expiry, by_source = dialect.index_hint("certificate_in_use"), dialect.index_hint("certificate_facts")
    served = f"""{dialect.serves("held")} AND held.not_after > :now
        AND held.replaced_at IS NULL AND domain.deleted_at IS NULL AND {IS_PLAIN}"""
    # Nearly all are from the CA, so the first ones by their expiry are. The few others are found by their source.
    return f"""SELECT * FROM (SELECT held.source AS source, held.not_after AS soonest
        FROM certificate AS held {by_expiry} CROSS JOIN domain WHERE {served} AND held.source = '{Source.C4}'
        ORDER BY held.not_after LIMIT 1) AS issued
        UNION ALL SELECT held.source, min(held.not_after)
        FROM certificate AS held {by_source} CROSS JOIN domain WHERE {served} AND held.source <> '{Source.C4}'
        GROUP BY held.source"""  # noqa: S608 - constants


def count_codes(dialect: Dialect, query: Query, where: str) -> str:
    """Return the query of the rows of `codes_of_row` of the domains for which `where` holds; its values are in `code_times`.

    The many plain domains are only counted, by an index if `query` leaves out none.
    """
    tables = others = rows.from_whole_domains(dialect)
    by_expiry = "TRUE"
    if not query.deleted:
        others, by_expiry = rows.from_special_domains(dialect), ends_by(dialect, ":now")
    if query == EVERYTHING:
        plain = _count_plain(dialect)
    elif leaves_out_plain(query):
        plain = "plain AS (SELECT 0 AS number, 0 AS expired)"
    else:
        plain = f"""plain AS (SELECT
          (SELECT count(*) {rows.from_domains_to_count(dialect, where)} WHERE {where} AND {IS_PLAIN}) AS number,
          (SELECT count(*) {tables} WHERE {where} AND {IS_PLAIN} AND {by_expiry} AND {status_sql.EXPIRY} <= :now) AS expired)"""
    return f"""WITH {plain}
        SELECT '{Status.EXPIRED}', '{Code.CERT_EXPIRED}', NULL, NULL, NULL, NULL, NULL, expired FROM plain WHERE expired > 0
        UNION ALL
        SELECT '{Status.SUCCESS}', NULL, NULL, NULL, NULL, NULL, NULL, number - expired FROM plain WHERE number > expired
        UNION ALL
        SELECT {status_sql.STATUS}, {BLAMED}, domain.unconfirmed_code, {", ".join(_WARNINGS)}, count(*)
        {others} WHERE {where} AND NOT ({IS_PLAIN}) GROUP BY 1, 2, 3, 4, 5, 6, 7"""  # noqa: S608 - constants


def among_first(dialect: Dialect, sort: Sort, where: str, *, is_from_end: bool) -> str:
    """Return the condition that a domain may be among the first or last `:reach` of those for which `where` holds, by `sort`.

    `where` is about managed domains, and only about columns of `domain`. A plain domain is among them if its certificate is among the `:reach` that expire next, or for `URGENCY` that expired last.
    """
    special, in_use = dialect.index_hint("domain_not_plain"), dialect.index_hint("certificate_in_use")
    where = f"{where} AND {IS_PLAIN}"
    served = f"{dialect.serves('held')} AND {where}"
    if sort is Sort.STATUS:
        nearest = _first_by_status(in_use, where, "DESC" if is_from_end else "ASC")
    else:
        nearest = " UNION ALL ".join(
            _first_by_expiry(in_use, served, *side) for side in _SIDES[sort, is_from_end]
        )
    return f"""domain.id IN (SELECT id FROM domain {special} WHERE deleted_at IS NULL AND NOT ({IS_PLAIN})
        UNION ALL {nearest})"""  # noqa: S608 - constants


# From where on which certificates are the first, or last: its comparison, that with the last one of them, their order, and
# what is beyond all of them.
_ALL_BY_EXPIRY = ("''", ">", "<=", "ASC", "9999")
_ALL_BACKWARDS = ("'9999'", "<", ">=", "DESC", "")
_SIDES = {
    (Sort.URGENCY, False): ((":now", ">", "<=", "ASC", "9999"), (":now", "<=", ">=", "DESC", "")),
    (Sort.URGENCY, True): (_ALL_BY_EXPIRY, _ALL_BACKWARDS),
    (Sort.EXPIRES, False): (_ALL_BY_EXPIRY,),
    (Sort.EXPIRES, True): (_ALL_BACKWARDS,),
}


def _first_by_expiry(
    in_use: str, served: str, start: str, beyond: str, within: str, order: str, end: str
) -> str:
    return f"""SELECT domain_id FROM certificate {in_use} WHERE replaced_at IS NULL AND not_after {beyond} {start}
        AND not_after {within} coalesce((
          SELECT held.not_after FROM certificate AS held {in_use} CROSS JOIN domain
          WHERE {served} AND held.replaced_at IS NULL AND held.not_after {beyond} {start}
          ORDER BY held.not_after {order} LIMIT 1 OFFSET :reach - 1), '{end}')"""  # noqa: S608 - constants


def _first_by_status(in_use: str, where: str, order: str) -> str:
    # Those that have expired are few. The others have the same status.
    return f"""SELECT domain_id FROM certificate {in_use} WHERE replaced_at IS NULL AND not_after <= :now
        UNION ALL SELECT * FROM (
          SELECT domain.id FROM domain JOIN certificate AS held ON held.id = domain.serving_id
          WHERE {where} AND held.not_after > :now
          ORDER BY domain.name {order} LIMIT :reach) AS well"""  # noqa: S608 - constants


def codes_of_row(row: Row) -> tuple[Codes, int]:
    """Return the status and codes in a row, and their number of domains."""
    status, blamed, unconfirmed, *warnings, number = row
    found = frozenset(Code(code) for code in warnings if code is not None)
    return Codes(Status(status), _optional(blamed), found, _optional(unconfirmed)), number


def _optional(code: str | None) -> Code | None:
    return None if code is None else Code(code)


def _by_code(query: Query) -> Iterator[str]:
    """Yield the conditions that owners, reasons and warnings must fulfil."""
    if query.owners:
        yield _any_of([BLAMED, *_WARNINGS], _codes_of(query.owners))
    if query.reasons:
        yield _has_reason(query.reasons)
    if query.warnings:
        yield _any_of(_WARNINGS, query.warnings)


def _codes_of(owners: Sequence[Owner]) -> list[Code]:
    return [code for code, reason in REASONS.items() if reason.owner in owners]


def _any_of(expressions: Iterable[str], codes: Sequence[Code]) -> str:
    """Return the condition that one of `expressions` is one of `codes`."""
    return "(" + " OR ".join(f"{each} IN ({literals(codes)})" for each in expressions) + ")"


def _has_reason(codes: Sequence[Code]) -> str:
    either = _any_of([BLAMED, "domain.unconfirmed_code", *_WARNINGS], codes)
    if Code.CERT_EXPIRED not in codes:
        return either
    return f"({either} OR {status_sql.STATUS} = '{Status.EXPIRED}')"


def urgency(days_of: str, now: str) -> str:
    """Return how far the expiry of what is served is from now, in seconds, as an SQL expression.

    `days_of` and `now` are `Dialect.days_of` of `{end}` and of `:now`. It is 0 if nothing is served although there is a
    certificate, and NULL if there never was one (`fleet.troubles.find_time_left`, `urgency_of`).
    """
    served = _FROM_NOW.format(end=days_of.format(end=IN_SERVICE), now=now)
    unserved = _FROM_NOW.format(end=days_of.format(end="wanted.not_after"), now=now)
    return (
        f"CASE WHEN {IN_SERVICE} IS NOT NULL THEN {served} WHEN wanted.not_after > :now THEN 0"
        f" WHEN wanted.not_after IS NOT NULL THEN {unserved} END"
    )


class PatternSql:
    """A `NamePattern` in SQL: which domains match `surely`, and which of the others `maybe`: `NamePattern.matches` decides.

    With `has_few_doubts`, only those with `HAS_OTHER_NAMES` match `maybe`.
    """

    def __init__(self, pattern: NamePattern) -> None:
        self.values: dict[str, object] = {}
        self.has_few_doubts = True
        surely, maybe = self._of_glob(pattern) if pattern.is_glob else self._of_part(pattern)
        if not pattern.text.isascii() or pattern.is_glob or "." in pattern.text:
            # A part without a dot has all its characters, in this order, in an A-label as well.
            runs = re.findall(r"[a-z0-9-]+", "".join(_outside_sets(pattern)))
            self.values["in_unicode"] = "".join(f"%{run}" for run in runs) + "%"
            maybe.append(
                "((domain.name LIKE '%xn--%' AND domain.name LIKE :in_unicode)"
                " OR (domain.sans LIKE '%xn--%' AND domain.sans LIKE :in_unicode))"
            )
        self.surely = " OR ".join(surely) or "FALSE"
        self.maybe = " OR ".join(maybe)

    def _of_part(self, pattern: NamePattern) -> tuple[list[str], list[str]]:
        if not pattern.text.isascii():
            return [], []
        # Stored names are a JSON array: no quote, comma or blank can be in a pattern.
        self.values["part"] = f"%{pattern.text}%"
        return ["domain.name LIKE :part", "domain.sans LIKE :part"], []

    def _of_glob(self, pattern: NamePattern) -> tuple[list[str], list[str]]:
        tokens = pattern.tokens
        like = "".join(_WILDCARDS.get(token, "_" if token.startswith("[") else token) for token in tokens)
        self.values["whole"], self.values["whole_san"] = like, f'%"{like}"%'
        name, sans = "domain.name LIKE :whole", "domain.sans LIKE :whole_san"
        # Between two quotes of an array, a wildcard may match the end of one name and the start of another.
        if not any(token.startswith("[") for token in tokens):
            return [name], [sans]
        likes = {f"whole{place}": like for place, like in enumerate(_without_sets(tokens))}
        self.values |= likes
        self.has_few_doubts = bool(likes)
        return [f"domain.name LIKE :{key}" for key in likes], [sans] if likes else [name, sans]


def _without_sets(tokens: Sequence[str]) -> list[str]:
    """Return for a glob what to compare A-labels with, once for each choice from its sets; nothing if those are too many."""
    choices = [
        [each for each in _CHARACTERS if NamePattern(token).matches((each,))]
        if token.startswith("[")
        else [_WILDCARDS.get(token, token)]
        for token in tokens
    ]
    return ["".join(each) for each in product(*choices)] if prod(map(len, choices)) <= _MOST_CHOICES else []


def _outside_sets(pattern: NamePattern) -> list[str]:
    """Return the characters that a name must have, with a blank in place of each wildcard."""
    return [" " if token[0] in "*?[" else token for token in pattern.tokens]
